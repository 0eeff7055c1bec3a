"""Run work under a seed and a number of threads; the caller's settings are restored afterwards."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from skinfluence.nets import is_small


@contextmanager
def seeded(seed: int, device: Any = "cpu") -> Iterator[None]:
    """Run under a seed of torch; the caller's random state is restored afterwards."""
    cuda = [torch.device(device)] if device and torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield


@contextmanager
def threads_for(estimator: Any) -> Iterator[None]:
    """Run in one thread of torch if the net is a small ready-made one.

    On two cores that were busy with other work, training a small net in two threads took 3 to 8
    times the CPU time of training it in one thread, and sometimes far more. The reason is that
    waiting threads keep a core busy.
    """
    if not (estimator is None or is_small(estimator)):
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_one_thread(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method of an estimator so that it runs under `threads_for` its net."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with threads_for(self.estimator):
            return method(self, *args, **kwargs)

    return run
