"""Flags of the process that stay off while at least one thread needs them off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Switch:
    """A flag of the process that is off while any thread is inside `off`.

    The last thread to leave restores the flag.
    """

    def __init__(self, read: Callable[[], bool], write: Callable[[bool], None]) -> None:
        self._read, self._write = read, write
        self._lock, self._inside, self._before = threading.Lock(), 0, True

    @contextmanager
    def off(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._before = self._read()
                self._write(False)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._write(self._before)


# torch warns of operations that vmap runs in a loop over rows, although their results are right and
# only take longer. torch has no function that reads this flag; it is on by default.
VMAP_WARNINGS = Switch(
    lambda: True,
    torch._C._functorch._set_vmap_fallback_warning_enabled,  # type: ignore[attr-defined]
)
