"""A causal language model in two parts, and what is known of the first."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class _Known:
    """What is known of rows of tokens; it is shared by copies of a module, and not pickled."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.rows: dict[tuple[int, ...], Tensor] = {}

    def __call__(
        self, compute: Callable[[Tensor, Tensor], Tensor], ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Return what `compute` gives for a batch, asking it for unknown rows only."""
        given = zip(ids.tolist(), mask.bool().tolist(), strict=True)
        keys = [tuple(itertools.compress(*row)) for row in given]
        new = [i for i, key in enumerate(keys) if key not in self.rows]
        if new:
            for i, found in zip(new, compute(ids[new], mask[new]), strict=True):
                self.rows[keys[i]] = found[mask[i].bool()].cpu()
        batch = None
        for i, key in enumerate(keys):
            row = self.rows[key].to(ids.device)
            batch = row.new_zeros(*ids.shape, row.shape[-1]) if batch is None else batch
            batch[i, mask[i].bool()] = row
        return batch

    def __deepcopy__(self, memo: Any) -> _Known:
        return self

    def __reduce__(self) -> Any:
        return type(self), (self.depth,)


def _places(mask: Tensor) -> dict[str, Any]:
    """What a model has to know of tokens that are padded on the left."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {"attention_mask": mask, "position_ids": positions, "use_cache": False}


def _with_layers(network: Any, which: slice) -> Any:
    """A view of a causal language model with some of its layers; all else is shared."""
    view, decoder = copy.copy(network), copy.copy(network.get_decoder())
    decoder._modules = decoder._modules | {"layers": nn.ModuleList([*decoder.layers][which])}
    view._modules = view._modules | {network.base_model_prefix: decoder}
    return view


def _not_in_parts(network: Any) -> ValueError:
    name = type(network.get_base_model()).__name__
    return ValueError(f"cache=True: {name} is not built of layers that can be run in two parts.")
