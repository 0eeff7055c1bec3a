"""Run a causal language model as two parts, and keep the outputs of the first part."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class HiddenStateCache:
    """Cache of the hidden states of token rows at one depth of a frozen model.

    Copies of a module share the cache. A pickle does not contain the cached rows.

    Parameters
    ----------
    depth : int
        Number of layers below the hidden states.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.rows: dict[tuple[int, ...], Tensor] = {}

    def __call__(
        self, compute: Callable[[Tensor, Tensor], Tensor], ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Return the hidden states of a batch, calling `compute` for rows that are not cached."""
        given = zip(ids.tolist(), mask.bool().tolist(), strict=True)
        keys = [tuple(itertools.compress(*row)) for row in given]
        new = [i for i, key in enumerate(keys) if key not in self.rows]
        if new:
            for i, found in zip(new, compute(ids[new], mask[new]), strict=True):
                self.rows[keys[i]] = found[mask[i].bool()].cpu()
        rows = [self.rows[key].to(ids.device) for key in keys]
        batch = rows[0].new_zeros(*ids.shape, rows[0].shape[-1])
        for i, row in enumerate(rows):
            batch[i, mask[i].bool()] = row
        return batch

    def __deepcopy__(self, memo: Any) -> HiddenStateCache:
        return self

    def __reduce__(self) -> Any:
        return type(self), (self.depth,)


def positions_of(mask: Tensor) -> dict[str, Any]:
    """Return the arguments by which a model ignores padding on the left."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {"attention_mask": mask, "position_ids": positions, "use_cache": False}


def with_layers(network: Any, which: slice) -> Any:
    """Return a view of a causal language model, with only the layers in `which`."""
    view, decoder = copy.copy(network), copy.copy(network.get_decoder())
    decoder._modules = decoder._modules | {"layers": nn.ModuleList([*decoder.layers][which])}
    view._modules = view._modules | {network.base_model_prefix: decoder}
    return view


@torch.no_grad()
def run_below(network: Any, depth: int, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the hidden states after the first `depth` layers, (n, length, width).

    The layers run in evaluation mode. Afterwards, the mode of each module is restored.
    """
    part = with_layers(network, slice(0, depth)).get_decoder()
    part._modules["norm"] = nn.Identity()
    in_training = [module for module in part.modules() if module.training]
    part.eval()
    try:
        return part(input_ids=ids, **positions_of(mask)).last_hidden_state
    finally:
        for module in in_training:
            module.training = True


def cannot_split(network: Any) -> ValueError:
    """Return the error for a model whose layers cannot be run as two parts."""
    name = type(network.get_base_model()).__name__
    return ValueError(
        f"cache=True: {name} is not built of layers that can be run in two parts; set cache=False."
    )
