"""The output folder: files that appear together, one audit at a time, and an input that stays."""

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from small_audit import QuickDetector, run

from skinfluence._audit import files, job, output_folder, report
from skinfluence._audit.table import AuditError

NAMES = list(output_folder.NAMES)


def contents(folder):
    """Name and bytes of every file in a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_all(folder, text):
    """Write the files together, all with the same text."""
    with output_folder.written_together(folder) as new:
        for name in NAMES:
            (new / name).write_text(text, encoding="utf-8")


def disk_full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def partly_written(path, *args):
    """Write half a line, then find that the disk is full."""
    Path(path).write_text("a,b\n1.0", encoding="utf-8")
    disk_full()


FAILING_STEPS = [
    (files, "write_suspects", partly_written),
    (files, "write_cleaned", partly_written),
    (report, "render", disk_full),
    (os, "fsync", disk_full),
]


@pytest.mark.parametrize(("module", "step", "fail"), FAILING_STEPS)
@pytest.mark.parametrize("has_earlier_files", [True, False])
def test_a_full_disk_leaves_the_folder_as_it_was(
    quick_audit, audit_table, tmp_path, monkeypatch, capsys, module, step, fail, has_earlier_files
):
    out = tmp_path / "new" / "out"
    if has_earlier_files:
        run(audit_table, "--output", out, "--action", "drop", "--quiet")
    before = contents(out) if has_earlier_files else None
    monkeypatch.setattr(module, step, fail)
    options = ["--contamination", 0.3, "--action", "drop", "--quiet"]
    assert run(audit_table, "--output", out, *options) == 2
    err = capsys.readouterr().err
    assert "No space left on device; nothing was written" in err
    assert err.count("\n") == 1
    if has_earlier_files:
        assert contents(out) == before
    else:
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("failing_move", range(8))
@pytest.mark.parametrize("error", [OSError(errno.EIO, "no"), KeyboardInterrupt()])
def test_a_move_that_fails_is_undone(tmp_path, monkeypatch, failing_move, error):
    for name in NAMES:
        (tmp_path / name).write_text("earlier", encoding="utf-8")
    before = contents(tmp_path)
    rename, n_moves = Path.rename, iter(range(100))

    def failing(source, target):
        if next(n_moves) == failing_move:
            raise error
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(error)):
        write_all(tmp_path, "later")
    assert contents(tmp_path) == before


def test_other_files_of_the_folder_stay(quick_audit, audit_table, tmp_path):
    for _ in range(2):
        assert run(audit_table, "--output", tmp_path, "--action", "drop", "--quiet") == 0
    assert sorted(contents(tmp_path)) == sorted([*NAMES, audit_table.name])


def test_a_cleaned_table_of_an_earlier_audit_goes_if_no_new_one_is_written(
    quick_audit, audit_table, tmp_path
):
    out = tmp_path / "out"
    assert run(audit_table, "--output", out, "--action", "drop", "--quiet") == 0
    assert sorted(contents(out)) == sorted(NAMES)
    assert run(audit_table, "--output", out, "--quiet") == 0
    assert sorted(contents(out)) == sorted(set(NAMES) - {"cleaned.csv"})


def test_a_folder_is_used_by_one_audit_at_a_time(quick_audit, audit_table, tmp_path, capsys):
    out = tmp_path / "out"
    with output_folder.reserved(out, None):
        assert run(audit_table, "--output", out) == 2
        (tmp_path / "link").symlink_to(out)
        assert run(audit_table, "--output", tmp_path / "link") == 2
        assert run(audit_table, "--output", tmp_path / "other", "--quiet") == 0
    err = capsys.readouterr().err
    assert err.count("another audit is writing to") == 2
    assert err.count("\n") == 2
    assert run(audit_table, "--output", out, "--quiet") == 0


def write_ten_times(folder, word):
    """Write the files ten times; wait while another process writes them."""
    n_written = 0
    while n_written < 10:
        try:
            with (
                output_folder.reserved(folder, None),
                output_folder.written_together(folder) as new,
            ):
                for name in NAMES:
                    (new / name).write_text(word, encoding="utf-8")
            n_written += 1
        except AuditError:
            time.sleep(0.001)


def test_processes_that_write_to_one_folder_never_mix_their_files(tmp_path):
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=write_ten_times, args=(tmp_path, f"run {i}")) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    found = contents(tmp_path)
    assert sorted(found) == sorted(NAMES)
    assert len(set(found.values())) == 1


def test_a_killed_audit_releases_the_folder(tmp_path):
    (tmp_path / output_folder.LOCK).touch()  # left by a process that was killed
    with output_folder.reserved(tmp_path, None):
        pass
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", [*NAMES, output_folder.LOCK])
@pytest.mark.parametrize("link", [None, "hardlink_to", "symlink_to"])
def test_the_input_is_never_overwritten(quick_audit, audit_table, tmp_path, capsys, name, link):
    out = tmp_path / "out"
    out.mkdir()
    inside, text = out / name, audit_table.read_bytes()
    if link is None:
        audit_table = audit_table.rename(inside)
    else:
        getattr(inside, link)(audit_table)
    assert run(audit_table, "--output", out) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "the audit would overwrite its own input" in captured.err
    assert captured.err.count("\n") == 1
    assert list(contents(out)) == [name]
    assert inside.read_bytes() == audit_table.read_bytes() == text


def test_a_link_at_the_place_of_an_output_is_replaced_and_its_target_stays(
    quick_audit, audit_table, tmp_path
):
    out, other = tmp_path / "out", tmp_path / "precious.csv"
    out.mkdir()
    other.write_text("precious", encoding="utf-8")
    (out / "cleaned.csv").symlink_to(other)
    (out / "suspects.csv").hardlink_to(other)
    (out / "report.html").symlink_to("nowhere")
    assert run(audit_table, "--output", out, "--action", "drop", "--quiet") == 0
    assert other.read_text(encoding="utf-8") == "precious"
    assert not any((out / name).is_symlink() for name in NAMES)
    assert not (out / "nowhere").exists()


def read_only(path, *args, **kwargs):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def read_only_folder(monkeypatch, out):
    out.mkdir()
    monkeypatch.setattr(os, "open", read_only)


def read_only_parent(monkeypatch, out):
    monkeypatch.setattr(Path, "mkdir", read_only)


def write_protected_file(monkeypatch, out):
    out.mkdir()
    (out / "cleaned.csv").touch(mode=0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write to every file


def folder_at_the_place_of_a_file(monkeypatch, out):
    (out / "report.html").mkdir(parents=True)


@pytest.mark.parametrize(
    ("make_unusable", "message"),
    [
        (read_only_folder, "cannot be written to: Read-only file system; choose another folder"),
        (read_only_parent, "cannot be created: Read-only file system; choose another folder"),
        (write_protected_file, "is write-protected; remove the file"),
        (folder_at_the_place_of_a_file, "is a folder, but the audit writes a file of this name"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_training(
    audit_table, tmp_path, monkeypatch, capsys, make_unusable, message
):
    def no_training(*args):
        raise AssertionError("the output folder is checked first")

    monkeypatch.setattr(job, "make_detector", no_training)
    make_unusable(monkeypatch, tmp_path / "out")
    code = run(audit_table, "--output", tmp_path / "out")
    monkeypatch.undo()
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "step"),
    [(QuickDetector, "fit_predict"), (files, "write_cleaned"), (report, "render")],
)
@pytest.mark.parametrize("has_earlier_files", [True, False])
def test_an_interrupt_writes_nothing_and_exits_with_130(
    quick_audit, audit_table, tmp_path, monkeypatch, capsys, owner, step, has_earlier_files
):
    out = tmp_path / "out"
    if has_earlier_files:
        run(audit_table, "--output", out, "--action", "drop", "--quiet")
        before = contents(out)
    monkeypatch.setattr(owner, step, interrupt)
    options = ["--contamination", 0.3, "--action", "drop", "--quiet"]
    assert run(audit_table, "--output", out, *options) == 130
    assert capsys.readouterr().err == "skinfluence audit: interrupted.\n"
    assert contents(out) == before if has_earlier_files else not out.exists()
