"""Reserve the space of a memmap before it is written to."""

from __future__ import annotations

import errno
import os
from typing import Any

import numpy as np

# The disk is full, or a limit of the user is reached. Other errors are ignored, such as a file that
# was deleted after it was mapped, or a file system that cannot reserve space.
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_output(out: Any, shape: tuple[int | None, ...], hint: str, name: str = "out") -> None:
    """Raise unless an array or a store has the given shape and a floating-point dtype.

    An array of integers would cut scores to whole numbers.
    """
    if hasattr(out, "detach"):
        raise TypeError(f"{name} is a tensor; give an array, such as the tensor's {name}.numpy().")
    given = getattr(out, "shape", None)
    if given is None or tuple(given) != shape:
        wanted = f"({shape[0]},)" if len(shape) == 1 else shape
        raise ValueError(f"{name} has shape {given}; expected {wanted}{hint}.")
    dtype = str(getattr(out, "dtype", "float64")).removeprefix("torch.").strip("<>=")
    if dtype not in ("float32", "float64", "f4", "f8"):
        raise TypeError(
            f"{name} has dtype {dtype}; scores need float64 or float32, as in np.empty(shape)."
        )
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError(f"{name} is read-only; open a memmap with mode='r+' or 'w+'.")


def reserve(out: Any, name: str = "out") -> None:
    """Reserve the disk space of an array that is a memmap, or a view of one.

    A new memmap is a file without content: the disk gives it space only when it is written to. If
    the disk is full by then, the operating system ends the process with the signal SIGBUS, and no
    error can be raised. On a system without ``os.posix_fallocate``, nothing is reserved.

    Parameters
    ----------
    out : object
        Any array or store; only memmaps whose changes go to a file are reserved.
    name : str
        Name of the argument, for the message.

    Raises
    ------
    OSError
        If there is not enough space.
    """
    mapped = _mapped(out)
    if mapped is None or mapped.mode not in ("r+", "w+") or mapped.filename is None:
        return
    if not hasattr(os, "posix_fallocate") or not mapped.nbytes:
        return
    path = os.fspath(mapped.filename)
    try:
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), mapped.offset, mapped.nbytes)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            return
        raise OSError(
            error.errno,
            f"{name} is a memmap of {mapped.nbytes:,} bytes, and the disk has too little space for "
            "it. Nothing was computed. Free some space, or put the file on another disk",
            path,
        ) from error


def _mapped(out: Any) -> np.memmap | None:
    """Return the whole memmap that an array is a view of, or None."""
    found = None
    while isinstance(out, np.ndarray):
        found = out if isinstance(out, np.memmap) else found
        out = out.base
    return found
