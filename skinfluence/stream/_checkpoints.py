"""Checkpoints of `score_stream`: the scores of the chunks that are finished, in a directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from torch.utils.data import Dataset

from skinfluence.stream._sources import Iterated, Slice, Sliced, cut


class ScoreStore:
    """Scores of the finished chunks, in a directory.

    `scores.f8` holds the scores and `chunks.txt` the length of each chunk. `plan.json` holds hashes
    and settings that identify the rows and the scorer.
    """

    def __init__(self, directory: Path, scorer: Any, source: Sliced | Iterated) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path, plan = directory / "scores.f8", directory / "plan.json"
        mine = {"rows": source.n, "chunk_size": getattr(source, "chunk_size", None)}
        mine |= {"scorer": _hash_scorer(scorer), "some_rows": _hash_rows(source)}
        if plan.exists():
            known = json.loads(plan.read_text(encoding="utf-8"))
            other = [key for key, value in mine.items() if known.get(key) != value]
            if other:
                raise ValueError(
                    f"checkpoint_dir={os.fspath(directory)!r} holds scores of another run: "
                    f"{', '.join(other)} differ. Give another directory, or delete this one."
                )
        else:
            _write_whole(plan, json.dumps(mine))
        self.lengths = directory / "chunks.txt"

    def chunks(self) -> list[np.ndarray]:
        """Return the scores of the finished chunks; an incomplete chunk is cut off the file."""
        lengths = []
        if self.lengths.exists():
            lines = self.lengths.read_text(encoding="utf-8").split("\n")[
                :-1
            ]  # the last is incomplete
            lengths = [int(line) for line in lines]
        scores = np.fromfile(self.path, dtype="<f8") if self.path.exists() else np.empty(0)
        while lengths and sum(lengths) > len(scores):
            lengths.pop()
        with open(self.path, "ab") as file:
            file.truncate(8 * sum(lengths))
        _write_whole(self.lengths, "".join(f"{length}\n" for length in lengths))
        return np.split(scores[: sum(lengths)], np.cumsum(lengths)[:-1]) if lengths else []

    def add(self, scores: np.ndarray) -> None:
        """Write a chunk: first its scores, then its length; without its length, it is ignored."""
        for path, data in (
            (self.path, scores.astype("<f8").tobytes()),
            (self.lengths, f"{len(scores)}\n".encode()),
        ):
            with open(path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def _hash_scorer(scorer: Any) -> str:
    """Return a hash of a fitted scorer that is the same in every process."""
    return str(joblib.hash(np.asarray(scorer.scores_)))


def _hash_rows(source: Sliced | Iterated) -> str | None:
    """Return a hash of some rows and all labels; None for an iterable."""
    if isinstance(source, Iterated):
        return None
    if isinstance(source.X, Dataset):
        return str(joblib.hash([source.X[i] for i in (0, source.n - 1)]))
    starts = np.unique(np.linspace(0, max(source.n - 10, 0), 20).astype(int))
    some = [Slice(source.X, source.y, int(i), min(int(i) + 10, source.n)).read() for i in starts]
    elsewhere = source.y is None or isinstance(source.y, str)  # y is a column of X
    labels = None if elsewhere else np.asarray(cut(source.y, slice(0, source.n)))
    return str(joblib.hash((some, labels)))


def _write_whole(path: Path, text: str) -> None:
    """Write a file completely or, if the process is stopped, not at all."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
