"""Checkpoints of `score_stream`: the scores of the chunks that are finished, in a directory.

A stored chunk is used again only if it is proven to belong to the call: by the fingerprint of the
scorer, by the fingerprint of the chunk's own rows, and by a digest of the stored scores.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skinfluence.stream._fingerprint import fingerprint, fingerprint_scorer
from skinfluence.stream._lock import DirectoryLock
from skinfluence.stream._sources import Iterated, Sliced

_FORMAT = 2  # of the files; format 1 had no fingerprints of chunks


@dataclass
class Chunk:
    """The scores of a chunk, and the fingerprint of its rows and labels."""

    scores: np.ndarray
    rows: str


class ScoreStore:
    """Scores of the finished chunks, in a directory that one run owns inside a ``with`` block.

    `lock.json` says which run owns the directory. `plan.json` holds the settings of the run and the
    fingerprint of the scorer. `scores.f8` holds the scores. `chunks.txt` has one line per chunk:
    its length, the fingerprint of its rows, and a digest of plan, rows and scores.
    """

    def __init__(self, directory: Path, scorer: Any, source: Sliced | Iterated) -> None:
        self.name = f"checkpoint_dir={os.fspath(directory)!r}"
        self.path, self.lines = directory / "scores.f8", directory / "chunks.txt"
        self.plan = {
            "format": _FORMAT,
            "rows": source.n,
            "chunk_size": getattr(source, "chunk_size", None),
            "scorer": fingerprint_scorer(scorer),
        }
        directory.mkdir(parents=True, exist_ok=True)
        self.lock = DirectoryLock(directory, self.name)

    def __enter__(self) -> ScoreStore:
        with ExitStack() as on_error:
            on_error.enter_context(self.lock)
            plan = self.path.with_name("plan.json")
            if plan.exists():
                self._check_plan(plan.read_bytes())
            else:
                _write_whole(plan, json.dumps(self.plan))
            on_error.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.lock.__exit__(*error)

    def _check_plan(self, text: bytes) -> None:
        """Raise if the plan in the directory is damaged or belongs to another run."""
        try:
            known = dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{self.name} is damaged: its plan.json cannot be read, so its scores may belong "
                "to other rows. Give another directory, or delete this one."
            ) from error
        other = [key for key, value in self.plan.items() if known.get(key) != value]
        if other:
            raise ValueError(
                f"{self.name} holds scores of another run: {', '.join(other)} differ. Give "
                "another directory, or delete this one."
            )

    def chunks(self) -> list[Chunk]:
        """Return the finished chunks. The first damaged chunk and all later chunks are deleted."""
        text = self.lines.read_bytes().decode(errors="replace") if self.lines.exists() else ""
        scores = np.fromfile(self.path, dtype="<f8") if self.path.exists() else np.empty(0)
        found: list[Chunk] = []
        kept, stop = "", 0
        for line in text.split("\n")[:-1]:  # a line without an end is incomplete
            length, _, rest = line.partition(" ")
            start, stop = stop, stop + (int(length) if length.isdecimal() else 0)
            chunk = Chunk(scores[start:stop], rest.partition(" ")[0])
            if line != self._line(chunk) or not np.isfinite(chunk.scores).all():
                stop = start
                break
            found.append(chunk)
            kept += f"{line}\n"
        with open(self.path, "ab") as file:
            file.truncate(8 * stop)
        _write_whole(self.lines, kept)
        return found

    def _line(self, chunk: Chunk) -> str:
        scores = chunk.scores.astype("<f8")
        return f"{len(scores)} {chunk.rows} {fingerprint(self.plan, chunk.rows, scores)}"

    def check_rows(self, chunks: list[Chunk], given: Iterable[str]) -> None:
        """Raise if the rows of a finished chunk are not the rows that are given now.

        Parameters
        ----------
        chunks : list of Chunk
            The finished chunks.
        given : iterable of str
            Fingerprints of the first ``len(chunks)`` chunks of the rows given now.
        """
        number = -1
        for number, rows in enumerate(given):
            if rows != chunks[number].rows:
                raise ValueError(
                    f"{self.name} holds scores of other rows: the rows or labels of chunk "
                    f"{number} differ from those given now. Give another directory, or delete this "
                    "one. If X draws rows at random, make it return the same rows every time."
                )
        if number + 1 < len(chunks):
            raise ValueError(
                f"{self.name} holds scores of other rows: {len(chunks)} chunks are finished, but "
                f"X has only {number + 1}. Give another directory, or delete this one."
            )

    def add(self, chunk: Chunk) -> None:
        """Write a chunk: first its scores, then its line. Scores without a line are ignored."""
        self.lock.check()
        for path, data in (
            (self.path, chunk.scores.astype("<f8").tobytes()),
            (self.lines, f"{self._line(chunk)}\n".encode()),
        ):
            with open(path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def _write_whole(path: Path, text: str) -> None:
    """Write a file completely or, if the process is stopped, not at all."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
