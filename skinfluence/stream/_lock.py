"""A lock file that lets only one run at a time use a directory."""

from __future__ import annotations

import json
import os
import socket
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

_HELD: set[str] = set()  # run ids of the locks that this process holds


class DirectoryLock:
    """A context manager that locks a directory, by a file that says which run owns it.

    If the process of a lock has died on this machine, its lock is taken over. Whether a process on
    another machine still runs is not known, so its lock is respected.

    Parameters
    ----------
    directory : Path
        The directory; it has to exist.
    name : str
        What the directory is called in messages.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.path, self.name = directory / "lock.json", name
        self.run = uuid.uuid4().hex

    def __enter__(self) -> DirectoryLock:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "run": self.run}
        mine = self.path.with_name(f"lock-{self.run}.tmp")
        _HELD.add(self.run)
        try:
            mine.write_text(json.dumps(owner), encoding="utf-8")
            if not _link(mine, self.path):
                found = self._owner()
                if not _has_ended(found):
                    raise ValueError(self._refusal(found))
                os.replace(mine, self.path)
            self.check()
        except BaseException:
            _HELD.discard(self.run)
            raise
        finally:
            mine.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._owner().get("run") == self.run:
            self.path.unlink(missing_ok=True)
        _HELD.discard(self.run)

    def check(self) -> None:
        """Raise if another run has taken the directory over, or the lock file was deleted."""
        found = self._owner()
        if found.get("run") != self.run:
            raise ValueError(self._refusal(found))

    def _owner(self) -> dict[str, Any]:
        """Return the content of the lock file; {} if there is no file, or it is damaged."""
        try:
            return dict(json.loads(self.path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def _refusal(self, owner: dict[str, Any]) -> str:
        who = "another run"
        if "pid" in owner:
            who = f"another run, process {owner['pid']} on {owner.get('host')}"
        return (
            f"{self.name} is used by {who}. Give each run its own directory, or wait until that "
            f"run has ended. If it no longer exists, delete {os.fspath(self.path)!r}."
        )


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name, unless that name is taken; the file appears whole."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with open(target, "xb") as file:
                file.write(source.read_bytes())
        except FileExistsError:
            return False
    return True


def _has_ended(owner: dict[str, Any]) -> bool:
    """Whether the process of a lock has certainly ended."""
    pid = owner.get("pid")
    if not isinstance(pid, int) or owner.get("host") != socket.gethostname():
        return False
    if pid == os.getpid():  # if we do not hold the lock, an earlier process had our id
        return owner.get("run") not in _HELD
    if os.name != "posix":  # os.kill would send a signal
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it exists, but belongs to another user
        return False
    return False
