"""Run a module on a few rows of similar length at a time, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ROWS_AT_ONCE = 8  # rows that are padded to a common length


def map_in_chunks(of_chunk: Callable[[Tensor], Tensor], lengths: Tensor) -> Tensor:
    """Call `of_chunk` on the indices of rows of similar length; return its rows in order."""
    n = len(lengths)
    if n <= ROWS_AT_ONCE:
        return of_chunk(torch.arange(n, device=lengths.device))
    order = lengths.argsort(stable=True)
    found = torch.cat([of_chunk(rows) for rows in order.split(ROWS_AT_ONCE)])
    return found[order.argsort()]


def longest_row(mask: Tensor, least: int = 1) -> int:
    """Return the length of the longest row in a mask, at least `least`.

    For a single row, return the whole width, because vmap cannot read values.
    """
    return mask.shape[1] if len(mask) == 1 else max(int(mask.sum(1).max()), least)
