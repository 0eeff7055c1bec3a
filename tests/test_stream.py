"""Streamed scores equal those of `score_samples`, from every source and after interruptions."""

import copy
import json
import os
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from small import blobs, line, quick, quick_regressor, scorer
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from skinfluence import NoisyLabelDetector
from skinfluence.stream import score_stream

X, Y = blobs()
X32 = X.astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    return scorer().fit(X32, Y)


def close(got, want):
    # float32: the last bits depend on the size of the batch
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


class Chunks(IterableDataset):
    def __iter__(self):
        for start in range(0, 90, 40):
            yield X32[start : start + 40], Y[start : start + 40]


def memmap(path, array):
    mapped = np.memmap(path, array.dtype, "w+", shape=array.shape)
    mapped[:] = array
    mapped.flush()
    return mapped


def saved(path, array):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def in_zarr(path, array):
    store = zarr.open(
        path, mode="w", shape=array.shape, dtype=array.dtype, chunks=(7, 4)[: array.ndim]
    )
    store[:] = array
    return store


SOURCES = {
    "array": lambda tmp: (X32, Y),
    "float64": lambda tmp: (X, Y.tolist()),
    "tensor": lambda tmp: (torch.as_tensor(X32), torch.as_tensor(Y)),
    "frame": lambda tmp: (pd.DataFrame(X32), pd.Series(Y, index=range(90, 180))),
    "memmap": lambda tmp: (memmap(tmp / "X", X32), memmap(tmp / "y", Y)),
    "npy": lambda tmp: (saved(tmp / "X.npy", X32), saved(tmp / "y.npy", Y)),
    "columns first": lambda tmp: (saved(tmp / "X.npy", np.asfortranarray(X32)), Y),
    "view of a memmap": lambda tmp: (memmap(tmp / "X", np.repeat(X32, 2, 0))[::2], Y),
    "zarr": lambda tmp: (in_zarr(tmp / "X", X32), in_zarr(tmp / "y", Y)),
    "dataset": lambda tmp: (TensorDataset(torch.as_tensor(X32), torch.as_tensor(Y)), None),
    "generator": lambda tmp: (iter([(X32[:50], Y[:50]), (X32[50:], Y[50:])]), None),
    "iterable dataset": lambda tmp: (Chunks(), None),
    "data loader": lambda tmp: (
        DataLoader(TensorDataset(torch.as_tensor(X32), torch.as_tensor(Y)), batch_size=17),
        None,
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scores_are_the_same_from_every_source(kind, n_jobs, fitted, tmp_path):
    rows, labels = SOURCES[kind](tmp_path)
    got = score_stream(fitted, rows, labels, chunk_size=17, n_jobs=n_jobs)
    close(got, fitted.scores_)


@pytest.mark.parametrize("chunk_size", [1, 7, 90, 10**6])
def test_the_size_of_a_chunk_does_not_matter(chunk_size, fitted):
    close(score_stream(fitted, X32, Y, chunk_size=chunk_size), fitted.scores_)


def test_without_labels_the_predicted_ones_are_used(fitted):
    close(score_stream(fitted, X32, chunk_size=40), fitted.score_samples(X32))


def test_regressors_and_detectors_are_streamed_too():
    rows, numbers = line()
    of_numbers = scorer(estimator=quick_regressor()).fit(rows, numbers)
    close(score_stream(of_numbers, rows, numbers, chunk_size=30), of_numbers.scores_)
    detector = NoisyLabelDetector(quick(), cv=2, random_state=0).fit(X32, Y)
    close(score_stream(detector, X32, Y, chunk_size=30), detector.score_samples(X32, Y))


def test_a_memmap_is_not_sent_to_the_processes(fitted, tmp_path):
    from skinfluence.stream._sources import open_source

    source = open_source(memmap(tmp_path / "X", np.repeat(X32, 1000, 0)), None, 45_000)
    (first, _) = source.tasks()
    assert len(joblib.dump(first, tmp_path / "task")) == 1
    assert os.path.getsize(tmp_path / "task") < 2000
    assert first.read()[0].shape == (45_000, 4)


def test_changes_of_a_memmap_in_memory_are_used(fitted, tmp_path):
    np.save(tmp_path / "X.npy", X32 * 100)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="c")
    mapped /= 100
    close(score_stream(fitted, mapped, Y, chunk_size=20), fitted.score_samples(mapped, Y))


def test_scores_are_written_to_the_callers_array(fitted, tmp_path):
    out = np.memmap(tmp_path / "scores", np.float64, "w+", shape=(90,))
    assert score_stream(fitted, X32, Y, chunk_size=17, out=out) is out
    close(out, fitted.scores_)


def test_a_column_of_a_mapping_may_hold_the_labels(fitted):
    class Table:  # like a Hugging Face dataset in the format "numpy"
        column_names = ("x", "label")

        def __len__(self):
            return 90

        def __getitem__(self, rows):
            return {"x": X32[rows], "label": Y[rows]}

    close(score_stream(fitted, Table(), "label", chunk_size=40), fitted.scores_)


def test_verbose_shows_rows(fitted, capsys):
    score_stream(fitted, X32, Y, verbose=1)
    assert "row" in capsys.readouterr().err


# Resuming


class Fragile(Dataset):
    """Rows of which one cannot be read."""

    def __init__(self, fails_at=None):
        self.fails_at = fails_at

    def __len__(self):
        return 90

    def __getitem__(self, i):
        if i == self.fails_at:
            raise KeyboardInterrupt
        return X32[i], int(Y[i])


def counting(fitted, stop=None):
    """Copy a scorer; the copy records the lengths of chunks, and is interrupted after `stop`."""
    other, lengths = copy.copy(fitted), []

    def score_samples(X, y=None):
        if len(lengths) == stop:
            raise KeyboardInterrupt
        lengths.append(len(X))
        return fitted.score_samples(X, y)

    other.score_samples, other.lengths = score_samples, lengths
    return other


def test_a_stopped_run_continues_where_it_stopped(fitted, tmp_path):
    options = {"chunk_size": 20, "checkpoint_dir": tmp_path / "kept"}
    with pytest.raises(KeyboardInterrupt):
        score_stream(fitted, Fragile(fails_at=50), **options)
    rest = counting(fitted)
    got = score_stream(rest, Fragile(), **options)
    close(got, fitted.scores_)
    assert rest.lengths == [20, 20, 10]
    again = counting(fitted)
    assert np.array_equal(score_stream(again, Fragile(), **options), got)
    assert again.lengths == []


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_can_be_resumed(kind, fitted, tmp_path):
    options = {"chunk_size": 17, "checkpoint_dir": tmp_path / "kept"}
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    with pytest.raises(KeyboardInterrupt):
        score_stream(counting(fitted, stop=1), *SOURCES[kind](tmp_path / "1"), **options)
    rest = counting(fitted)
    close(score_stream(rest, *SOURCES[kind](tmp_path / "2"), **options), fitted.scores_)
    assert 0 < sum(rest.lengths) < 90


def test_other_rows_of_an_iterable_are_refused(fitted, tmp_path):
    def chunks(rows=X32, labels=Y, stop=90):
        return ((rows[i : i + 30], labels[i : i + 30]) for i in range(0, stop, 30))

    score_stream(fitted, chunks(stop=60), checkpoint_dir=tmp_path)
    changed = X32.copy()
    changed[45, 2] += 1
    for other in (chunks(rows=changed), chunks(labels=np.roll(Y, 1)), iter([("a", "b")])):
        with pytest.raises(ValueError, match="holds scores of other rows: the rows or labels"):
            score_stream(fitted, other, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="2 chunks are finished, but X has only 1"):
        score_stream(fitted, chunks(stop=30), checkpoint_dir=tmp_path)
    rest = counting(fitted)
    close(score_stream(rest, chunks(), checkpoint_dir=tmp_path), fitted.scores_)
    assert rest.lengths == [30]


@pytest.mark.parametrize("torn", ["scores", "lengths", "both"])
def test_a_half_written_chunk_is_scored_again(torn, fitted, tmp_path):
    options = {"chunk_size": 20, "checkpoint_dir": tmp_path}
    want = score_stream(fitted, X32, Y, **options)
    if torn in ("scores", "both"):
        os.truncate(tmp_path / "scores.f8", 8 * 47 + 3)
    if torn in ("lengths", "both"):
        text = (tmp_path / "chunks.txt").read_text()
        (tmp_path / "chunks.txt").write_text(text[: text.index("\n20", 99) + 20])
    assert np.array_equal(score_stream(fitted, X32, Y, **options), want)
    assert os.path.getsize(tmp_path / "scores.f8") == 8 * 90


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"X": X32[:80], "y": Y[:80]}, "rows differ"),
        ({"chunk_size": 21}, "chunk_size differ"),
        ({"X": X32 + 1}, "labels of chunk 0 differ"),
        ({"y": 2 - Y}, "labels of chunk 0 differ"),
        ({"y": np.where(np.arange(len(Y)) == 57, 2 - Y, Y)}, "labels of chunk 2 differ"),
        ({"scorer": "another"}, "scorer differ"),
    ],
)
def test_scores_of_another_run_are_refused(change, said, fitted, tmp_path):
    given = {"scorer": fitted, "X": X32, "y": Y, "chunk_size": 20, "checkpoint_dir": tmp_path}
    score_stream(**given)
    if "scorer" in change:
        change = {"scorer": scorer(random_state=1).fit(X32, Y)}
    with pytest.raises(ValueError, match=said):
        score_stream(**given | change)


KILLED = """
import os, sys
import numpy as np
sys.path.insert(0, {tests!r})
import joblib
from torch.utils.data import Dataset
from skinfluence.stream import score_stream

class Deadly(Dataset):
    def __len__(self):
        return 90
    def __getitem__(self, i):
        if i == 70:
            os.kill(os.getpid(), 9)
        return X[i], int(Y[i])

fitted, X, Y = joblib.load({path!r})
score_stream(fitted, Deadly(), chunk_size=20, checkpoint_dir={kept!r})
"""


def test_the_chunks_of_a_killed_process_are_kept(fitted, tmp_path):
    joblib.dump((fitted, X32, Y), tmp_path / "fitted")
    code = KILLED.format(
        tests=os.path.dirname(__file__), path=str(tmp_path / "fitted"), kept=str(tmp_path / "kept")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.returncode == -9
    assert os.path.getsize(tmp_path / "kept" / "scores.f8") == 8 * 60
    rest = counting(fitted)
    got = score_stream(rest, Fragile(), chunk_size=20, checkpoint_dir=tmp_path / "kept")
    close(got, fitted.scores_)
    assert rest.lengths == [20, 10]


def test_a_full_disk_leaves_only_whole_chunks(fitted, tmp_path, monkeypatch):
    from skinfluence.stream import _checkpoints

    add, done = _checkpoints.ScoreStore.add, []

    def full(self, scores):
        if len(done) == 2:
            with open(self.path, "ab") as file:
                file.write(b"half")
            raise OSError(28, "No space left on device")
        done.append(scores)
        add(self, scores)

    options = {"chunk_size": 20, "checkpoint_dir": tmp_path}
    with monkeypatch.context() as patch:
        patch.setattr(_checkpoints.ScoreStore, "add", full)
        with pytest.raises(OSError, match="No space left"):
            score_stream(fitted, X32, Y, **options)
    close(score_stream(fitted, X32, Y, **options), fitted.scores_)


@pytest.mark.parametrize("damage", ["cut", "nan", "other number", "both cut", "swapped lines"])
def test_a_damaged_chunk_is_scored_again(damage, fitted, tmp_path):
    options = {"chunk_size": 20, "checkpoint_dir": tmp_path}
    want = score_stream(fitted, X32, Y, **options)
    path, lines = tmp_path / "scores.f8", (tmp_path / "chunks.txt").read_text().splitlines()
    scores = np.fromfile(path)
    if damage == "cut":  # in the middle: later chunks move
        scores = np.delete(scores, slice(25, 40))
    if damage == "both cut":
        scores = np.delete(scores, slice(25, 40))
        lines[1] = lines[1].replace("20", "5", 1)
    if damage == "nan":
        scores[30] = np.nan
    if damage == "other number":
        scores[30] += 1e-9
    if damage == "swapped lines":
        lines[1], lines[2] = lines[2], lines[1]
    scores.tofile(path)
    (tmp_path / "chunks.txt").write_text("\n".join(lines) + "\n")
    again = counting(fitted)
    assert np.array_equal(score_stream(again, X32, Y, **options), want)
    assert again.lengths == [20, 20, 20, 10]


def test_scores_that_are_not_finite_are_not_resumed(fitted, tmp_path):
    broken = copy.copy(fitted)
    broken.score_samples = lambda X, y: np.full(len(X), np.nan)
    score_stream(broken, X32, Y, checkpoint_dir=tmp_path)
    close(score_stream(fitted, X32, Y, checkpoint_dir=tmp_path), fitted.scores_)


def test_a_damaged_or_lost_plan_proves_nothing(fitted, tmp_path):
    want = score_stream(fitted, X32, Y, checkpoint_dir=tmp_path)
    plan = tmp_path / "plan.json"
    plan.write_text(plan.read_text()[:20])
    with pytest.raises(ValueError, match=r"is damaged: its plan.json cannot be read"):
        score_stream(fitted, X32, Y, checkpoint_dir=tmp_path)
    plan.unlink()
    other = scorer(random_state=1).fit(X32, Y)
    close(score_stream(other, X32, Y, checkpoint_dir=tmp_path), other.scores_)
    assert not np.allclose(want, other.scores_)


def test_the_plan_identifies_the_rows(fitted, tmp_path):
    score_stream(fitted, X32, Y, chunk_size=20, checkpoint_dir=tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["rows"] == 90
    assert plan["chunk_size"] == 20


# Errors


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"chunk_size": 0}, ValueError, "chunk_size=0"),
        ({"chunk_size": 1.5}, ValueError, "chunk_size=1.5"),
        ({"y": Y[:80]}, ValueError, "X has 90 rows and y has 80"),
        ({"out": np.zeros(80)}, ValueError, r"out has shape \(80,\); expected \(90,\)"),
        (
            {"X": iter([X32]), "y": None},
            ValueError,
            "its chunk 0 is of type ndarray; expected a pair",
        ),
        ({"X": iter([(X32, Y)])}, ValueError, "hold the labels: omit y"),
        ({"X": iter([(X32, Y)]), "y": None, "out": np.zeros(90)}, ValueError, "omit out"),
        ({"X": 3}, TypeError, "X is a int"),
    ],
)
def test_bad_input_is_refused(options, error, said, fitted):
    with pytest.raises(error, match=said):
        score_stream(fitted, **{"X": X32, "y": Y} | options)
