"""One run at a time owns a directory, and a dead run owns nothing."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from skinfluence.stream import _lock
from skinfluence.stream._lock import DirectoryLock

HOST = socket.gethostname()


def ended_pid():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def write_lock(directory, **owner):
    (directory / "lock.json").write_text(json.dumps(owner))


def test_the_directory_is_free_again_afterwards(tmp_path):
    for error in (None, KeyboardInterrupt):
        try:
            with DirectoryLock(tmp_path, "d"):
                owner = json.loads((tmp_path / "lock.json").read_text())
                assert (owner["pid"], owner["host"]) == (os.getpid(), HOST)
                if error:
                    raise error
        except KeyboardInterrupt:
            pass
        assert not list(tmp_path.iterdir())


def test_a_second_run_of_the_same_process_is_refused(tmp_path):
    refused = []

    def second():
        try:
            with DirectoryLock(tmp_path, "checkpoint_dir='d'"):
                pass
        except ValueError as error:
            refused.append(str(error))

    with DirectoryLock(tmp_path, "d") as lock:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        lock.check()
    assert refused[0].startswith(
        f"checkpoint_dir='d' is used by another run, process {os.getpid()}"
    )


@pytest.mark.parametrize(
    "owner",
    [
        {"pid": os.getppid(), "host": HOST, "run": "a"},
        {"pid": 1, "host": HOST, "run": "a"},
        {"pid": 2**22 + 5, "host": "another", "run": "a"},
        {},
    ],
)
def test_a_lock_that_may_be_in_use_is_respected(owner, tmp_path):
    write_lock(tmp_path, **owner)
    with pytest.raises(ValueError, match=r"is used by another run.*delete '.*lock\.json'"):
        DirectoryLock(tmp_path, "d").__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]


def test_a_damaged_lock_is_respected(tmp_path):
    (tmp_path / "lock.json").write_text("{")
    with pytest.raises(ValueError, match="is used by another run"):
        DirectoryLock(tmp_path, "d").__enter__()


@pytest.mark.parametrize("pid", [ended_pid, os.getpid], ids=["ended", "our number"])
def test_the_lock_of_a_dead_process_is_taken_over(pid, tmp_path):
    write_lock(tmp_path, pid=pid(), host=HOST, run="a")
    with DirectoryLock(tmp_path, "d") as lock:
        lock.check()
    assert not list(tmp_path.iterdir())


def test_a_run_that_lost_its_directory_notices_it(tmp_path):
    with DirectoryLock(tmp_path, "d") as lock:
        write_lock(tmp_path, pid=5, host="another", run="b")
        with pytest.raises(ValueError, match="process 5 on another"):
            lock.check()
    assert json.loads((tmp_path / "lock.json").read_text())["run"] == "b"


def test_file_systems_without_hard_links_have_locks_too(tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(_lock.os, "link", link)
    with DirectoryLock(tmp_path, "d") as lock:
        lock.check()
        with pytest.raises(ValueError, match="is used by"):
            DirectoryLock(tmp_path, "d").__enter__()
    assert not list(tmp_path.iterdir())
