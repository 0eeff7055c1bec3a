"""Runs that are interrupted, doubled, damaged and resumed never give a wrong score."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from small import blobs
from torch.utils.data import TensorDataset

from skinfluence.stream import score_stream

X, Y = blobs(60)


class Sums(BaseEstimator):
    """A quick scorer: a score is a function of the row and its label."""

    def __init__(self, weight=1.0):
        self.weight = weight

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def score_samples(self, X, y):
        if isinstance(X, torch.utils.data.Dataset):
            items = [X[i] for i in range(len(X))]
            X, y = (np.array([np.asarray(item[k]) for item in items]) for k in (0, 1))
        return self.weight * np.asarray(X).sum(1) + np.asarray(y)


def stopping(at, weight=1.0):
    """Return a scorer that is interrupted at a chunk, or never."""
    found, left = Sums(weight), [at]

    def score_samples(X, y):
        if left[0] == 0:
            raise KeyboardInterrupt
        if left[0] is not None:
            left[0] -= 1
        return Sums(weight).score_samples(X, y)

    found.score_samples = score_samples
    return found


FORMS = {
    "array": lambda X, y, size: (X, y),
    "tensor": lambda X, y, size: (torch.as_tensor(X), torch.as_tensor(y)),
    "dataset": lambda X, y, size: (TensorDataset(torch.as_tensor(X), torch.as_tensor(y)), None),
    "iterable": lambda X, y, size: (
        ((X[i : i + size], y[i : i + size]) for i in range(0, len(X), size)),
        None,
    ),
}


def damage(directory, data):
    """Cut or overwrite a part of one of the files."""
    path = directory / data.draw(st.sampled_from(["scores.f8", "chunks.txt"]))
    content = bytearray(path.read_bytes()) if path.exists() else bytearray()
    if not content:
        return
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "remove", "repeat"]))
    if kind == "flip":
        content[at] ^= data.draw(st.integers(1, 255))
    elif kind == "repeat":
        content += content[at:]
    else:
        del content[at : None if kind == "cut" else at + data.draw(st.integers(1, 80))]
    path.write_bytes(bytes(content))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_number_is_right_or_there_is_an_error(data, tmp_path):
    directory = tmp_path / "kept"
    shutil.rmtree(directory, ignore_errors=True)
    form, size = data.draw(st.sampled_from(sorted(FORMS))), data.draw(st.integers(7, 40))
    for _ in range(data.draw(st.integers(1, 4))):
        rows, labels, weight = X, Y, 1.0
        change = data.draw(
            st.sampled_from(["nothing", "nothing", "row", "label", "weight", "files"])
        )
        position = data.draw(st.integers(0, len(X) - 1))
        if change == "row":
            rows = X.copy()
            rows[position, 1] += 1
        if change == "label":
            labels = Y.copy()
            labels[position] += 1
        if change == "weight":
            weight = 2.0
        if change == "files" and directory.exists():
            damage(directory, data)
        stop = data.draw(st.none() | st.integers(0, 8))
        scorer, given_rows = stopping(stop, weight), FORMS[form](rows, labels, size)
        allowed = KeyboardInterrupt if stop is not None else ()
        refusal = None
        try:
            got = score_stream(scorer, *given_rows, chunk_size=size, checkpoint_dir=directory)
        except allowed:
            continue
        except ValueError as error:
            refusal = str(error)
        if refusal is None:
            np.testing.assert_array_equal(got, Sums(weight).score_samples(rows, labels))
        else:
            assert "holds scores of" in refusal
    assert not (directory / "lock.json").exists()


def test_two_runs_at_once_do_not_mix(tmp_path):
    """The second run is refused while the first one runs; both are stopped, then resumed."""
    inside, go_on = threading.Event(), threading.Event()
    first = Sums()

    def waits(X, y):
        inside.set()
        go_on.wait(60)
        return Sums().score_samples(X, y)

    first.score_samples = waits
    options = {"chunk_size": 20, "checkpoint_dir": tmp_path}
    got = []
    run = threading.Thread(target=lambda: got.append(score_stream(first, X, Y, **options)))
    run.start()
    try:
        assert inside.wait(60)
        for scorer in (Sums(), Sums(2.0)):
            with pytest.raises(ValueError, match=f"is used by another run, process {os.getpid()} "):
                score_stream(scorer, X, Y, **options)
    finally:
        go_on.set()
        run.join()
    want = Sums().score_samples(X, Y)
    np.testing.assert_array_equal(got[0], want)
    np.testing.assert_array_equal(score_stream(stopping(0), X, Y, **options), want)


DOUBLED = """
import os, sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
import test_interrupted_runs as t
scorer, calls = t.Sums(), []
def score_samples(X, y):
    calls.append(1)
    if len(calls) > 2:
        os._exit(9)
    while not os.path.exists({refused!r}):
        time.sleep(.01)
    return t.Sums().score_samples(X, y)
scorer.score_samples = score_samples
print("ready", flush=True)
input()
try:
    t.score_stream(scorer, t.X, t.Y, chunk_size=15, checkpoint_dir={kept!r})
except ValueError as error:
    print(error)
    Path({refused!r}).touch()
"""


def test_two_processes_that_start_together_and_die_leave_right_chunks(tmp_path):
    here = Path(__file__).parent
    code = DOUBLED.format(
        paths=[str(here), str(here.parent)],
        refused=str(tmp_path / "refused"),
        kept=str(tmp_path / "kept"),
    )
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([sys.executable, "-c", code], **options) for _ in range(2)]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    said = sorted(run.communicate(timeout=120)[0] for run in runs)
    assert sorted(run.returncode for run in runs) == [0, 9]
    assert said[0] == ""
    assert "is used by another run" in said[1]
    assert (tmp_path / "kept" / "lock.json").exists()  # of the process that died
    options = {"chunk_size": 15, "checkpoint_dir": tmp_path / "kept"}
    got = score_stream(stopping(2), X, Y, **options)
    np.testing.assert_array_equal(got, Sums().score_samples(X, Y))


def test_a_run_whose_directory_is_taken_over_stops(tmp_path):
    scorer = Sums()

    def score_samples(X, y):
        (tmp_path / "lock.json").write_text('{"pid": 5, "host": "another", "run": "b"}')
        return Sums().score_samples(X, y)

    scorer.score_samples = score_samples
    with pytest.raises(ValueError, match="process 5 on another"):
        score_stream(scorer, X, Y, chunk_size=20, checkpoint_dir=tmp_path)
    assert not (tmp_path / "scores.f8").read_bytes()
