"""Turns at torch's global random state, which all threads of a process share."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from joblib import parallel_config
from joblib.parallel import get_active_backend

_TURN = threading.RLock()


@contextmanager
def turn_at_random_state() -> Iterator[None]:
    """Let one thread at a time draw from torch's global random state.

    Dropout and initial weights draw from this state only. If two nets were trained at the same
    time, the numbers that each of them draws would depend on the other.
    """
    # Trap: nested joblib threads would wait forever for the turn that this thread holds.
    has_threads = getattr(get_active_backend()[0], "uses_threads", False)
    with _TURN, parallel_config(backend="sequential") if has_threads else nullcontext():
        yield


@contextmanager
def forked_random_state(devices: Iterable[Any] = ()) -> Iterator[None]:
    """Take a turn at torch's global random state, and restore the state afterwards."""
    with turn_at_random_state(), torch.random.fork_rng(devices=list(devices)):
        yield
