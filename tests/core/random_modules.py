"""Random modules: a `Plan` says which layers a module has, and `build` makes the module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from random_layers import WIDTH, InPlaceResidual, Last, Residual
from random_tables import LAYERS, POOLS, STEMS
from torch import nn

# A layer is a name, or a pair of a name and what it is made of: the number of an earlier layer, or
# a tuple of layers inside.
Layer = Any


@dataclass(frozen=True)
class Plan:
    """What a random module is made of."""

    rows: str  # "table", "series", "tokens", "bags" or "images"
    stem: str
    layers: tuple[Layer, ...]
    pool: str
    frozen: frozenset[int]  # of the parameters, by position
    seed: int


class Net(nn.Module):
    """A stem, layers in a row, a pool and a linear head; a head per step if nothing is pooled."""

    def __init__(self, plan: Plan, n_outputs: int):
        super().__init__()
        self.stem = STEMS[plan.rows][plan.stem]()
        self.layers = nn.ModuleList()
        for layer in plan.layers:
            self.layers.append(self._made(plan.rows, layer))
        self.pool, self.per_step = POOLS[plan.rows][plan.pool], plan.pool == "steps"
        self.head = nn.Linear(WIDTH, n_outputs)

    def _made(self, rows: str, layer: Layer) -> nn.Module:
        if isinstance(layer, str):
            return LAYERS[rows][layer]()
        name, inside = layer
        if name == "again":  # the same layer under a second name
            return self.layers[inside % len(self.layers)] if len(self.layers) else nn.Identity()
        if name == "tied":  # another layer with the weight of an earlier one
            kinds = (nn.Linear, nn.Embedding)
            earlier = [m for m in self.modules() if type(m) in kinds and m.weight.shape[1] == WIDTH]
            return self._tied(rows, earlier[inside % len(earlier)]) if earlier else nn.Identity()
        layers = nn.Sequential(*(self._made(rows, part) for part in inside))
        return (Residual if name == "residual" else InPlaceResidual)(layers)

    def _tied(self, rows: str, earlier: nn.Linear | nn.Embedding) -> nn.Module:
        tied = nn.Linear(*reversed(earlier.weight.shape))
        tied.weight = earlier.weight
        if tied.out_features != WIDTH:
            tied = nn.Sequential(tied, nn.Linear(tied.out_features, WIDTH))
        return Last(tied) if rows == "images" else tied

    def forward(self, X):
        h = self.stem(X)
        for layer in self.layers:
            h = layer(h)
        f = self.head(self.pool(h))
        return f.transpose(1, 2) if self.per_step else f


def build(plan: Plan, n_outputs: int) -> nn.Module:
    """Make the module of a plan: float64, in eval mode, with statistics of earlier batches."""
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        module = Net(plan, n_outputs).double()
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_mean.uniform_(-0.5, 0.5)
                layer.running_var.uniform_(0.5, 2.0)
        parameters = list(module.parameters())
        for p in parameters:
            if p.ndim < 2:  # zeros and ones hide errors
                p.data += 0.3 * torch.randn(p.shape, dtype=p.dtype)
        for position in plan.frozen:
            parameters[position % len(parameters)].requires_grad_(False)
        module.head.bias.requires_grad_()
    return module


def layers_of(rows: str) -> st.SearchStrategy:
    """One layer of a plan."""
    name = st.sampled_from(sorted(LAYERS[rows]))
    several = st.lists(name, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        name,
        name,
        st.tuples(st.just("again"), st.integers(0, 4)),
        st.tuples(st.just("tied"), st.integers(0, 4)),
        st.tuples(st.sampled_from(["residual", "residual in place"]), several),
    )


@st.composite
def plans(draw, rows=("table", "series", "tokens", "bags", "images"), pools=None) -> Plan:
    """Plan of a random module for one of these kinds of rows."""
    kind = draw(st.sampled_from(rows))
    pools = pools or [name for name in POOLS[kind] if name != "steps"]
    return Plan(
        kind,
        draw(st.sampled_from(sorted(STEMS[kind]))),
        draw(st.lists(layers_of(kind), min_size=2, max_size=5).map(tuple)),
        draw(st.sampled_from(pools)),
        draw(st.frozensets(st.integers(0, 30), max_size=4)),
        draw(st.integers(0, 99)),
    )
