"""Run work under a seed, a number of threads, and Ctrl-C; the settings are restored afterwards."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from skorch import NeuralNet

from skinfluence._core.random_state import forked_random_state, turn_at_random_state
from skinfluence.nets import is_small


@contextmanager
def seeded(seed: int, device: Any = "cpu") -> Iterator[None]:
    """Run under a seed of torch, one thread at a time; restore the caller's random state."""
    cuda = [torch.device(device)] if device and torch.device(device).type == "cuda" else []
    with outside_inference_mode(), forked_random_state(cuda):
        torch.manual_seed(seed)
        yield


def outside_inference_mode() -> AbstractContextManager[Any]:
    """Leave the caller's `torch.inference_mode`, in which nothing has a gradient."""
    inside = torch.is_inference_mode_enabled()
    return torch.inference_mode(False) if inside else nullcontext()


def turn_for(estimator: Any) -> AbstractContextManager[None]:
    """Return the context to fit an estimator of any kind in: nets take turns, others need none."""
    inside = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    has_net = any(isinstance(value, NeuralNet) for value in (estimator, *inside))
    return turn_at_random_state() if has_net else nullcontext()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end if Ctrl-C was pressed and the work swallowed it.

    skorch ends a training quietly at a KeyboardInterrupt, because its callbacks raise one to stop
    early. The net then looks fitted. A stop by a callback sends no signal, so it stays quiet.
    """
    before = signal.getsignal(signal.SIGINT)
    # Python runs signal handlers in the main thread only, so no other thread is interrupted.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    raised = False

    def note(signum: int, frame: Any) -> None:
        nonlocal raised
        try:
            before(signum, frame)
        except KeyboardInterrupt:
            raised = True
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # the work may have set a handler
            signal.signal(signal.SIGINT, before)
    if raised:
        raise KeyboardInterrupt("the training was interrupted; the half-trained net is not used.")


@contextmanager
def threads_for(estimator: Any) -> Iterator[None]:
    """Run outside inference mode, and in one thread of torch if the net is a small ready-made one.

    On two cores that were busy with other work, training a small net in two threads took 3 to 8
    times the CPU time of training it in one thread, and sometimes far more. The reason is that
    waiting threads keep a core busy.
    """
    with outside_inference_mode():
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
