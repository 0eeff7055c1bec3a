"""The output folder: one audit at a time writes to it, and its files appear together."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from skinfluence._audit.table import AuditError

NAMES = ("suspects.csv", "scores.csv", "issues.csv", "cleaned.csv", "report.html")

LOCK = ".skinfluence-audit.lock"

EARLIER = "earlier-"  # prefix of files of an earlier audit while they are replaced


@contextmanager
def reserved(folder: Path, source: str | None, names: Sequence[str] = NAMES) -> Iterator[None]:
    """Create and lock the output folder; raise AuditError if the files cannot be written there.

    Parameters
    ----------
    folder : Path
        The output folder. If it is created here and no file is written, it is removed again.
    source : str or None
        Path of the input, which must not be one of the files that the audit writes.
    names : sequence of str
        Names of the files that the audit writes.
    """
    try:
        created = _create(folder)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise AuditError(
            f"--output {str(folder)!r} cannot be created: {why}; choose another folder."
        ) from error
    try:
        with _locked(folder, source, names):
            yield
    finally:
        for path in created:
            with suppress(OSError):  # the folder is not empty
                path.rmdir()


@contextmanager
def written_together(folder: Path, names: Sequence[str] = NAMES) -> Iterator[Path]:
    """Yield a temporary folder for the files, and move those called `names` to `folder` at the end.

    A name may also be that of a folder, as of a data set. Of names that are not written, files of
    an earlier audit are removed, so that old and new files are not mixed. If an exception is
    raised, nothing is moved, and the files of an earlier audit stay.
    """
    # Inside the output folder: renaming is only possible on one file system.
    staging = Path(tempfile.mkdtemp(prefix=".skinfluence-audit-", dir=folder))
    try:
        yield staging
        written = [name for name in names if (staging / name).exists()]
        for path in [path for name in written for path in _files(staging / name)]:
            with open(path, "r+b") as file:
                os.fsync(file.fileno())  # some file systems notice only now that a disk is full
        _move_together(staging, folder, names, written)
    finally:
        for name in names:
            _remove(staging / name)
        with suppress(OSError):
            staging.rmdir()


def _files(path: Path) -> list[Path]:
    """The file, or the files in the folder."""
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _create(folder: Path) -> Sequence[Path]:
    """Create the folder and its parents; return the folders that did not exist, deepest first."""
    if folder.exists() and not folder.is_dir():
        raise AuditError(f"--output {str(folder)!r} is a file; give a folder instead.")
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return created


def _refuse_unusable(folder: Path, source: str | None, names: Sequence[str]) -> None:
    for path in [folder / name for name in (*names, LOCK)]:
        if not path.exists():
            continue
        # Also true of hard links, symbolic links, and names that differ only in upper case.
        if source is not None and os.path.samefile(source, path):
            raise AuditError(
                f"the audit would overwrite its own input {source!r}, which is the same file as "
                f"{str(path)!r}; choose another folder with --output."
            )
        # A saved data set is a folder; only an earlier one of these is replaced.
        if path.is_dir() and not (path / "dataset_info.json").is_file():
            raise AuditError(
                f"{str(path)!r} is a folder, but the audit writes a file of this name; choose "
                "another folder with --output."
            )
        if not os.access(path, os.W_OK):
            raise AuditError(
                f"{str(path)!r} is write-protected; remove the file, or choose another folder "
                "with --output."
            )


@contextmanager
def _locked(folder: Path, source: str | None, names: Sequence[str]) -> Iterator[None]:
    """Check the folder and hold its lock, which the system releases if the process is killed."""
    path = folder / LOCK
    try:
        _refuse_unusable(folder, source, names)
        descriptor = _acquire(path)
    except (BlockingIOError, FileExistsError) as error:
        raise AuditError(
            f"another audit is writing to {str(folder)!r}; wait until it ends, or choose another "
            "folder with --output."
        ) from error
    except OSError as error:
        raise AuditError(
            f"--output {str(folder)!r} cannot be written to: {error.strerror}; choose another "
            "folder."
        ) from error
    try:
        yield
    finally:
        # Remove before closing: later, the file may be the lock of another audit.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """Descriptor of the locked file; raise BlockingIOError or FileExistsError if it is locked."""
    if sys.platform == "win32":  # the system removes the file when it is closed
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TEMPORARY)
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The audit before may have removed the file between the two calls above.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _move_together(
    staging: Path, folder: Path, names: Sequence[str], written: Sequence[str]
) -> None:
    """Replace the files called `names` by the written ones; if one step fails, bring them back."""
    earlier = [name for name in names if os.path.lexists(folder / name)]
    # The earlier files leave first. If the process is killed, old and new files are not mixed.
    moves = [(folder / name, staging / (EARLIER + name)) for name in earlier]
    moves += [(staging / name, folder / name) for name in written]
    started = []
    try:
        for source, target in moves:
            started.append((source, target))
            source.rename(target)
    except BaseException:
        for source, target in reversed(started):
            if not os.path.lexists(source):
                target.rename(source)
        raise
    for name in earlier:
        with suppress(OSError):
            _remove(staging / (EARLIER + name))
