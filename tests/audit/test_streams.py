"""Standard output and standard error that are closed, full, or no longer read."""

import os
import sys

import pytest
from small_audit import QuickDetector, run

from skinfluence._audit import job, output_folder


def unread_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w", encoding="utf-8")


def full_file():
    return open("/dev/full", "w", encoding="utf-8")


def closed_file():
    with open(os.devnull, "w", encoding="utf-8") as file:
        return file


def no_file():
    """What Python has in place of a stream that is closed when it starts."""


class PrintingDetector(QuickDetector):
    """Prints during the training, as a training loop and a progress bar do."""

    def fit_predict(self, X, y):
        for stream in (sys.stdout, sys.stderr):
            print("epoch 1", file=stream)
            stream.flush()
        return super().fit_predict(X, y)


@pytest.fixture(params=["stdout", "stderr"])
def stream(request, monkeypatch):
    """Name of one of the two streams; the detector prints to both."""
    monkeypatch.setattr(job, "make_detector", lambda options, _: PrintingDetector(0.1))
    return request.param


@pytest.mark.parametrize("make", [unread_pipe, full_file, closed_file, no_file])
def test_a_stream_that_takes_no_text_does_not_end_the_audit(
    audit_table, tmp_path, monkeypatch, capsys, stream, make
):
    if make is full_file and not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    broken = make()
    monkeypatch.setattr(sys, stream, broken)
    code = run(audit_table, "--output", tmp_path / "out", "--action", "drop")
    assert sys.__dict__[stream] is broken
    if broken is not None:
        broken.close()  # would raise again if the lost text was still in its buffer
    monkeypatch.undo()
    out, err = capsys.readouterr()
    assert sorted(os.listdir(tmp_path / "out")) == sorted(output_folder.NAMES)
    if stream == "stderr":
        assert code == 0
        assert "2 suspects in 80 rows" in out
    elif make is full_file:
        assert code == 2
        assert err == (
            "epoch 1\nskinfluence: error: standard output cannot be written to: No space left on "
            "device.\n"
        )
    else:
        assert (code, err) == (0, "epoch 1\n")


def test_help_that_nobody_reads_ends_quietly(monkeypatch, capsys):
    pipe = unread_pipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    with pytest.raises(SystemExit):
        run("--help")
    pipe.close()
    assert capsys.readouterr().err == ""
