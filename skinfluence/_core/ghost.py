"""Norms and inner products of row gradients, layer by layer, without forming the gradients.

Let a be the input of a layer and d the gradient of a row's loss with respect to the output of the
layer. The row's gradient with respect to the weight is Σ_t d_t ⊗ a_t. The norm of this gradient,
called the "ghost norm", is computed from a and d alone [1]_. The rules for each type of layer are
in `layer_rules`.

Each rule is first tested on up to four rows. It is used for a parameter only if it gives the same
gradients as plain autograd. For all other parameters, for example those of attention, recurrent,
tied or reparametrized layers, the gradient of each row is formed, with vmap.

References
----------
.. [1] Goodfellow, "Efficient per-example gradient computations", arXiv 1510.01799.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from skinfluence._core.factors import Dense, Factor, rows_per_piece
from skinfluence._core.gradients import Directions, forward, precision, pullback, row_gradients
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.layer_rules import has_rule, layer_factors, layer_input
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import Params
from skinfluence._core.tensors import (
    Rows,
    as_matrix,
    join_rows,
    layer_argument,
    n_rows,
    slice_rows,
    wide,
)

# G = ∂ℓ/∂f of a batch, or a function ``(outputs, rows) -> G``. With a function, one forward pass is
# enough: it gives the outputs, from which G is computed, and the inputs of the layers.
Cotangents = Tensor | Callable[[Tensor, slice], Tensor]


class Ghost:
    """Ghost norms, and inner products, of row gradients g_i = J_i^T G_i of one net.

    Parameters
    ----------
    fnet : FunctionalNet
    X : rows
        At least one row. The rules are tested on the first four rows.

    Attributes
    ----------
    trusted : set of str
        Parameters whose gradients are computed by a rule.
    by_vmap : list of str
        All other parameters.
    has_rules : bool
        Whether rules cover more than half of the numbers in the parameters, so that they save time.
    """

    def __init__(self, fnet: FunctionalNet, X: Rows) -> None:
        self.fnet = fnet
        self._layers = _layers_with_rules(fnet)
        X = slice_rows(X, slice(0, 4))
        # Random cotangents, because those of the loss are 0 if the fit is perfect. Then every rule
        # would pass.
        f = forward(fnet, X)
        G = torch.randn(f.shape, generator=torch.Generator().manual_seed(0)).to(f)
        truth = [
            pullback(fnet, slice_rows(X, slice(i, i + 1)), G[i : i + 1]) for i in range(len(G))
        ]
        by_rule, _ = self._factors(X, G)
        # At most .05: otherwise any rule would pass in half precision, which rounds coarsely.
        tolerance = min(100 * precision(fnet, X) ** 0.75, 0.05)
        self.trusted = {n for n, factor in by_rule.items() if _agrees(factor, n, truth, tolerance)}
        self.by_vmap = [name for name in fnet.params if name not in self.trusted]
        sizes = {name: p.numel() for name, p in fnet.params.items()}
        # Using vmap for a few parameters can cost more time than the rules save for all others.
        self.has_rules = 2 * sum(sizes[name] for name in self.trusted) > sum(sizes.values())
        layers = {name.rpartition(".")[0] for name in self.trusted}
        self._layers = {name: layer for name, layer in self._layers.items() if name in layers}

    def of_losses(self, X: Rows, y: Any) -> Cotangents:
        """Cotangents of the rows' losses, computed in the same pass as the factors."""
        return lambda f, rows: self.fnet.cotangents(f, slice_rows(X, rows), y[rows])

    def factors(self, X: Rows, G: Cotangents) -> dict[str, Factor]:
        """Row gradients of each parameter: compact if there is a rule, otherwise in full."""
        by_rule, G = self._factors(X, G)
        rest = row_gradients(self.fnet, X, G, self.by_vmap) if self.by_vmap else {}
        return self._only_trusted(by_rule) | {name: Dense(wide(g)) for name, g in rest.items()}

    def square_norms(self, X: Rows, G: Cotangents) -> Tensor:
        """‖g_i‖², (n,)."""
        return self._total(X, G, lambda _, factor: factor.square_norms())

    def unit_cotangents(self, X: Rows, G: Tensor) -> Tensor:
        """G scaled so that each row's gradient has length 1; gradients of 0 stay 0."""
        norms = self.square_norms(X, G).sqrt()
        scale = torch.where(norms > 0, 1 / norms, 0)
        return G * scale.reshape(-1, *[1] * (G.ndim - 1))

    def inner(self, X: Rows, G: Cotangents, U: Directions, *, normalize: bool = False) -> Tensor:
        """<g_i, u> for each direction u, divided by ‖g_i‖ if `normalize` is true: (n, d) float64.

        Each direction takes about as long as a forward pass of the layers that have rules.
        Computing J u instead would take twice as long.
        """

        def of_parameter(name: str, factor: Factor) -> Tensor:
            products = factor.inner(U[name]).double()
            if not normalize:
                return products
            return torch.cat([products, factor.square_norms().double().unsqueeze(1)], 1)

        total = self._total(X, G, of_parameter)
        if not normalize:
            return total
        norms = total[:, -1:].sqrt()
        return torch.where(norms > 0, total[:, :-1] / norms, 0)

    def _total(
        self, X: Rows, G: Cotangents, of_parameter: Callable[[str, Factor], Tensor]
    ) -> Tensor:
        """Sum of ``of_parameter(name, factor)`` over all parameters, (n, ...)."""
        by_rule, G = self._factors(X, G)
        parts = [of_parameter(name, factor) for name, factor in self._only_trusted(by_rule).items()]
        if self.by_vmap:
            width = sum(self.fnet.params[name].numel() for name in self.by_vmap)
            step = rows_per_piece(width)
            pieces = []
            for start in range(0, len(G), step):
                rows = slice(start, start + step)
                rest = row_gradients(self.fnet, slice_rows(X, rows), G[rows], self.by_vmap)
                each = (of_parameter(name, Dense(wide(g))) for name, g in rest.items())
                pieces.append(reduce(torch.add, each))
            parts.append(torch.cat(pieces))
        return reduce(torch.add, parts)

    def _only_trusted(self, by_rule: dict[str, Factor]) -> dict[str, Factor]:
        return {name: factor for name, factor in by_rule.items() if name in self.trusted}

    def _factors(self, X: Rows, G: Cotangents) -> tuple[dict[str, Factor], Tensor]:
        """Factors from all rules, trusted or not, and ∂ℓ/∂f."""
        if isinstance(G, Tensor):
            given = G
            G = lambda _, rows: given[rows]  # noqa: E731
        n = n_rows(X)
        step = self.fnet.rows_at_once or n
        pieces = [slice(i, i + step) for i in range(0, n, step)]
        calls = [self._in_one_call(slice_rows(X, rows), G, rows) for rows in pieces]
        if len(calls) == 1:
            return calls[0]
        first, *others = (factors for factors, _ in calls)
        stacked = {n: f.stack([other[n] for other in others]) for n, f in first.items()}
        return stacked, join_rows([cotangents for _, cotangents in calls])

    def _in_one_call(
        self, X: Rows, cotangents: Callable[[Tensor, slice], Tensor], rows: slice
    ) -> tuple[dict[str, Factor], Tensor]:
        """Factors and ∂ℓ/∂f of rows that go through the net in one call."""
        outputs, calls = self._recorded_calls(X)
        G = cotangents(outputs.detach(), rows)
        if not calls:
            return {}, G
        grads = torch.autograd.grad(
            outputs,
            [c[2] for c in calls],
            G.to(outputs.dtype),
            allow_unused=True,
            materialize_grads=True,
        )
        factors: dict[str, Factor] = {}
        with torch.no_grad():
            for (name, a, _), d in zip(calls, grads, strict=True):
                if len(a) != len(G) or len(d) != len(G):
                    continue  # rows are not the first axis here, so this layer needs vmap
                for own, factor in layer_factors(self._layers[name], a, wide(d)).items():
                    full = f"{name}.{own}" if name else own
                    if full in self.fnet.params:
                        factors[full] = factors[full].join(factor) if full in factors else factor
        return factors, G

    def _recorded_calls(self, X: Rows) -> tuple[Tensor, list[tuple[str, Tensor, Tensor]]]:
        """Outputs of the net, and (name, input, output) of each call of a layer, with a graph."""
        calls: list[tuple[str, Tensor, Tensor]] = []

        def record(name: str) -> Callable[..., Tensor | None]:
            def hook(
                layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
            ) -> Tensor | None:
                if not isinstance(output, Tensor) or not output.requires_grad:
                    return None
                if _is_inside_transform(output):
                    return None  # the layer is called inside a vmap or grad of the user's forward
                x = layer_argument(inputs, named)
                calls.append((name, wide(layer_input(layer, x)), output))
                # Return a copy: an in-place activation after the layer would overwrite this output.
                return output.clone()

            return hook

        fnet = self.fnet
        leaves = {name: p.detach().requires_grad_() for name, p in fnet.params.items()}
        # prepend=True: the user's hooks, which may change the output, are called after these.
        hooks = [
            layer.register_forward_hook(record(n), prepend=True, with_kwargs=True)
            for n, layer in self._layers.items()
        ]
        try:
            with torch.enable_grad(), plain_kernels(fnet):
                outputs = fnet.outputs(leaves, X)
        finally:
            for hook in hooks:
                hook.remove()
        return outputs, calls


def _layers_with_rules(fnet: FunctionalNet) -> dict[str, nn.Module]:
    """Layers that have a rule and at least one parameter in `fnet.params`."""
    return {
        name: layer
        for name, layer in fnet.shell.named_modules()
        if has_rule(layer)
        and not any(p.is_complex() for p in layer.parameters(recurse=False))
        and any(
            (f"{name}.{own}" if name else own) in fnet.params
            for own, _ in layer.named_parameters(recurse=False)
        )
    }


def _is_inside_transform(t: Tensor) -> bool:
    return torch._C._functorch.is_functorch_wrapped_tensor(t)


def _agrees(factor: Factor, name: str, truth: list[Params], tolerance: float) -> bool:
    """Whether the factor of a parameter gives the true gradients, up to the tolerance."""
    got = as_matrix(factor.dense())
    want = torch.stack([row[name].flatten() for row in truth])
    scale = want.abs().max()
    if got.shape != want.shape or scale == 0:
        return False
    return bool((got - want).abs().max() <= tolerance * scale)
