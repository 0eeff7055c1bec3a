"""Checkpoints of a training: copies of the module's state at some epochs."""

from __future__ import annotations

import errno
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

from skinfluence._core.shell import module_of
from skinfluence._core.states import SavedState, State
from skinfluence._data.params import check_count

_IN_MEMORY = 2**30  # bytes; checkpoints that take more go to a temporary directory


class Snapshots(Callback):
    """Keep checkpoints of the module at epochs that are spaced geometrically.

    Checkpoints of early epochs separate wrong labels from right ones best, since the net has not
    yet memorized the wrong labels. To score a frozen net with
    :class:`~skinfluence.ensembles.Checkpoints`, pass this callback to the net before it is fitted:
    ``callbacks=[Snapshots(6)]``. If a training continues an earlier training (``partial_fit`` or a
    warm start), only the epochs of the later training are counted and kept.

    Parameters
    ----------
    number : int, default=6
        Maximum number of checkpoints; the last epoch is always kept.
    dirname : str or path, default=None
        Directory for the checkpoints, one file per epoch; it is created if it does not exist.
        `torch.load` reads the files with ``weights_only=True``. By default, the checkpoints stay in
        memory. If they take more than 1 GiB, they go to a temporary directory instead, which is
        removed when none of its checkpoints is in use.

    Attributes
    ----------
    states_ : list of dict or SavedState
        The checkpoints, oldest first. Checkpoints of the nets of :mod:`skinfluence.text` leave out
        the frozen parameters.
    learning_rates_ : list of float
        Learning rate of the optimizer's first parameter group, at each checkpoint.
    """

    def __init__(self, number: int = 6, dirname: Any = None) -> None:
        self.number = number
        self.dirname = dirname

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Choose the epochs."""
        check_count(self, "number")
        # from the last to the first, so that number=1 keeps the last
        spaced = np.geomspace(max(net.max_epochs, 1), 1, self.number)
        self.epochs_ = {int(e) for e in np.round(spaced)}
        self._by_epoch: dict[int, tuple[State, float]] = {}
        self._temporary: _Temporary | None = None
        self._directory = None if self.dirname is None else Path(self.dirname).absolute()
        self._rate = _rate(net)
        self._before = len(net.history)
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)

    @property
    def states_(self) -> list[State]:
        """Checkpoints kept so far, oldest first."""
        return [state for state, _ in getattr(self, "_by_epoch", {}).values()]

    @property
    def learning_rates_(self) -> list[float]:
        """Learning rate at each checkpoint."""
        return [lr for _, lr in self._by_epoch.values()]

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Note the learning rate; a scheduler may change it before the end of the epoch."""
        self._rate = _rate(net)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Copy the state if the epoch is one to keep."""
        if len(net.history) - self._before in self.epochs_:
            self._keep(net)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Copy the final state, even if the training stopped early."""
        self._keep(net)

    def _keep(self, net: NeuralNet) -> None:
        epoch, state = len(net.history) - self._before, state_of(net)
        if self._directory is None:
            size = sum(t.numel() * t.element_size() for t in state.values())
            if size * self.number > _IN_MEMORY:
                self._temporary = _Temporary()
                self._directory = self._temporary.path
        kept: State = state
        if self._directory is not None:
            path = self._directory / f"epoch-{epoch:05d}.pt"
            _save(state, path)
            kept = SavedState(path, self._temporary)
        self._by_epoch[epoch] = kept, self._rate

    def __getstate__(self) -> dict[str, Any]:
        # A pickle outlives the directory, so it holds the checkpoints themselves.
        return {k: v for k, v in vars(self).items() if k not in ("_temporary", "_directory")}


class _Temporary:
    """A temporary directory that is removed together with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="checkpoints-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _save(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a checkpoint to a file, whole or not at all."""
    try:
        # Trap: given a path, torch hides the system's error ("enforce fail at inline_container").
        with path.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        size = sum(t.numel() * t.element_size() for t in state.values())
        if not isinstance(error, PermissionError):  # without permission, nothing was written
            with suppress(OSError):
                path.unlink()
        code = getattr(error, "errno", None)
        if code is None:
            is_full = shutil.disk_usage(path.parent).free < size
            code = errno.ENOSPC if is_full else errno.EIO
        why = "the disk is full" if code in (errno.ENOSPC, errno.EDQUOT) else str(error)
        raise OSError(
            code,
            f"the checkpoint {path} of {size:,} bytes could not be written: {why}. Free some "
            "space, keep fewer checkpoints, or choose another disk: by dirname= or, if you give no "
            "dirname, by the environment variable TMPDIR",
        ) from error


def checkpoints_of(net: NeuralNet) -> Snapshots | None:
    """Return the callback that a user gave to a net, or None if it kept no checkpoint."""
    kept = [cb for _, cb in net.callbacks_ if isinstance(cb, Snapshots)]
    return kept[0] if kept and kept[0].states_ else None


def _rate(net: NeuralNet) -> float:
    return float(net.optimizer_.param_groups[0]["lr"])


def state_of(net: NeuralNet) -> dict[str, torch.Tensor]:
    """Return a copy of a net's state, in the memory of the CPU."""
    module, left_out = module_of(net), set()
    if getattr(net, "frozen_is_pretrained", False):  # frozen parameters are the same in each clone
        left_out = {name for name, p in module.named_parameters() if not p.requires_grad}
    kept = {n: t for n, t in module.state_dict().items() if n not in left_out}
    # On the CPU, so that a pickle can be loaded without the device of the net.
    return {name: t.detach().to("cpu", copy=True) for name, t in kept.items()}
