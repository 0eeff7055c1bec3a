"""Run work under a seed, in one thread, or with a check for Ctrl-C; restore the settings."""

from __future__ import annotations

import functools
import signal
import threading
import traceback
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
    """Return the context to fit an estimator in: nets take turns, other estimators need not."""
    inside = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    has_net = any(isinstance(value, NeuralNet) for value in (estimator, *inside))
    return turn_at_random_state() if has_net else nullcontext()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end if a training was interrupted but returned as if complete.

    skorch ends a training quietly at a KeyboardInterrupt, because its callbacks raise one to stop
    early. The net then looks fitted. Here, Ctrl-C always counts as an interrupt. A
    KeyboardInterrupt that code raises counts as an interrupt if it is raised in the middle of an
    epoch or by the net itself. If a callback raises it at the start or the end of an epoch, it
    counts as early stopping.
    """
    with _noting_signals() as signals, _noting_fit_loops() as loops:
        yield
    if signals or loops:
        raise KeyboardInterrupt("the training was interrupted; the half-trained net is not used.")


@contextmanager
def _noting_signals() -> Iterator[list[BaseException]]:
    """Collect the interrupts that Ctrl-C raises."""
    noted: list[BaseException] = []
    before = signal.getsignal(signal.SIGINT)
    # Python runs signal handlers in the main thread only, so no other thread is interrupted.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield noted
        return

    def note(signum: int, frame: Any) -> None:
        try:
            before(signum, frame)
        except KeyboardInterrupt as interrupt:
            noted.append(interrupt)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # the work may have set a handler
            signal.signal(signal.SIGINT, before)


_OPEN = threading.local()  # per thread: the lists of all `_noting_fit_loops` that are open
_PATCH_LOCK = threading.Lock()
_PATCHED: dict[type[Any], Any] = {}  # classes of nets, with the fit_loop that they had
_USERS = 0


@contextmanager
def _noting_fit_loops() -> Iterator[list[BaseException]]:
    """Collect the interrupts that end the training loop of a net in this thread.

    skorch has no hook that sees such an interrupt, because `partial_fit` catches what `fit_loop`
    raises. While the context is open, the classes of skorch are patched rather than single nets,
    because estimators fit clones of their nets.
    """
    noted: list[BaseException] = []
    open_lists = _OPEN.__dict__.setdefault("lists", [])
    open_lists.append(noted)
    _patch(+1)
    try:
        yield noted
    finally:
        _patch(-1)
        open_lists.remove(noted)


def _patch(change: int) -> None:
    """Wrap the `fit_loop` of all classes of nets for the first user; restore it after the last."""
    global _USERS
    with _PATCH_LOCK:
        _USERS += change
        if _USERS == 0:
            for cls, fit_loop in _PATCHED.items():
                cls.fit_loop = fit_loop
            _PATCHED.clear()
            return
        for cls in _with_subclasses(NeuralNet):
            if "fit_loop" in vars(cls) and cls not in _PATCHED:
                _PATCHED[cls] = cls.fit_loop
                cls.fit_loop = _noting(cls.fit_loop)


def _with_subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    yield cls
    for subclass in type.__subclasses__(cls):
        yield from _with_subclasses(subclass)


def _noting(fit_loop: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fit_loop)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return fit_loop(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            if not _is_early_stop(interrupt):
                for noted in getattr(_OPEN, "lists", ()):
                    noted.append(interrupt)
            raise

    return run


def _is_early_stop(interrupt: BaseException) -> bool:
    """Whether a callback, and not a net inside it, raised the interrupt to stop the training."""
    called = [frame.f_code.co_name for frame, _ in traceback.walk_tb(interrupt.__traceback__)]
    hooks = [k for k, name in enumerate(called) if name in ("on_epoch_begin", "on_epoch_end")]
    # forward_iter: the net reads a dataset and predicts. _call_impl: a module is called.
    return bool(hooks) and not {"forward_iter", "_call_impl"}.intersection(called[hooks[0] :])


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
