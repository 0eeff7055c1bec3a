"""Rows a few at a time, of about the same length."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_ROWS_AT_ONCE = 8  # as many are padded to a common length


def _in_chunks(of_chunk: Callable[[Tensor], Tensor], lengths: Tensor) -> Tensor:
    """What `of_chunk` gives for some rows at a time, of about the same length each, in order."""
    n = len(lengths)
    if n <= _ROWS_AT_ONCE:
        return of_chunk(torch.arange(n, device=lengths.device))
    order = lengths.argsort(stable=True)
    found = torch.cat([of_chunk(rows) for rows in order.split(_ROWS_AT_ONCE)])
    return found[order.argsort()]


def _longest(mask: Tensor, least: int = 1) -> int:
    """Columns of the longest row; of a single row, the whole width (vmap cannot look at values)."""
    return mask.shape[1] if len(mask) == 1 else max(int(mask.sum(1).max()), least)
