"""Derivatives of a FunctionalNet over batches, each in the memory of one batch.

Letters: f outputs (n, ...), G cotangents (gradients by the outputs, shape of f), u a direction in
parameter space, t = J u the tangent of the outputs. A row's gradient is g_i = J_i^T G_i, and
<g_i, u> = <G_i, t_i>: rows times parameters never has to exist.
"""

from __future__ import annotations

import functools
import threading
import warnings
import weakref
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from skinfluence._core.kernels import plain_kernels
from skinfluence._core.memory import OutputWatch, is_out_of_memory
from skinfluence._core.net import FunctionalNet
from skinfluence._core.shell import module_of
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, map_tensors, wide

Directions = Params  # each entry (d, *shape of the parameter)

_TURN = threading.RLock()  # torch has one level of dual numbers in a process: threads take turns

# How the tangents of a module are computed, by autocast and the parameters that have them: one fit
# makes several FunctionalNets of it, and what was found out and said of one is known of all.
_ENGINES: weakref.WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Any]] = (
    weakref.WeakKeyDictionary()
)


def forward(fnet: FunctionalNet, X: Rows) -> Tensor:
    """Outputs f(X), (n, ...), without a graph."""
    with torch.no_grad(), plain_kernels(fnet):
        return fnet.outputs(fnet.params, X)


def precision(fnet: FunctionalNet, X: Rows) -> float:
    """Machine epsilon of the coarsest numbers that outputs are computed with (by autocast, say)."""
    with OutputWatch() as seen:
        forward(fnet, X)
    return max(fnet.eps, seen.eps)


def pullback(fnet: FunctionalNet, X: Rows, G: Tensor) -> Params:
    """Σ_i J_i^T G_i over the rows of one batch: a dict of the parameters' shapes."""
    params = _leaves(fnet)
    with torch.enable_grad(), plain_kernels(fnet):
        outputs = fnet.outputs(params, X)
        if not outputs.requires_grad:
            return {name: torch.zeros_like(p) for name, p in params.items()}
        grads = torch.autograd.grad(
            outputs,
            list(params.values()),
            G.to(outputs.dtype),
            allow_unused=True,
            materialize_grads=True,
        )
    return dict(zip(params, grads, strict=True))


def pushforward(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """Outputs f (n, ...) and t = J u for each direction, (d, n, ...), in one forward pass.

    Forward mode where every operation has a rule for it; otherwise the double-backward trick,
    which is exact and costs about twice as much. Found out once a module, and said once.
    """
    _load_forward_mode()
    engines = [_forward_mode, _forward_mode_one_by_one, _double_backward]
    known = _ENGINES.setdefault(module_of(fnet._net), {})
    case = (torch.is_autocast_enabled(fnet.device.type), *fnet.params)
    if case in known:
        return known[case](fnet, X, U)
    if _count(U) == 1 or fnet.contains(_ConvNd) or fnet.contains(nn.MultiheadAttention):
        engines = engines[1:]  # their batched rules take two to three times as long
    for engine in engines:
        try:
            result = engine(fnet, X, U)
        except (NotImplementedError, RuntimeError) as error:
            if engine is _double_backward or is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0][:200]
            continue
        break
    if engine is _double_backward:
        warnings.warn(
            f"no forward-mode derivative for this net ({reason}); using the double-backward trick: "
            "the same numbers at about twice the time.",
            RuntimeWarning,
            stacklevel=2,
        )
    if engine is _double_backward or (engine is _forward_mode_one_by_one and _count(U) > 1):
        known[case] = engine
    return result


def pushforward_members(
    fnet: FunctionalNet, X: Rows, states: Params, U: Directions
) -> tuple[Tensor, Tensor]:
    """Outputs (k, n, ...) and tangents (k, d, n, ...) of k members in one pass.

    `states` is from `fnet.stacked`; each member has its own directions, entries (k, d, *shape).
    Raises NotImplementedError or RuntimeError where an operation has no rule for it.
    """
    _load_forward_mode()

    def member(state: Params, u: Directions) -> tuple[Tensor, Tensor]:
        primal = {name: state.get(name, p) for name, p in fnet.params.items()}

        def along(direction: Params) -> tuple[Tensor, Tensor]:
            f, t = torch.func.jvp(  # type: ignore[misc]
                lambda p: fnet.outputs(state | p, X), (primal,), (direction,)
            )
            return f, t

        f, t = torch.vmap(along)(u)  # no out_dims of None: in a nested vmap torch refuses it
        return f[0], t

    with _TURN, torch.no_grad(), plain_kernels(fnet):
        return torch.vmap(member)(states, U)


def row_gradients(
    fnet: FunctionalNet, X: Rows, G: Tensor, names: list[str] | None = None
) -> Params:
    """g_i = J_i^T G_i of every row, entries (n, *shape): rows x parameters, for small things."""
    params = fnet.params if names is None else {name: fnet.params[name] for name in names}

    def one(x: Rows, g: Tensor) -> Params:
        batch = map_tensors(lambda t: t.unsqueeze(0), x)
        return torch.func.grad(lambda p: (fnet.outputs(p, batch) * g.unsqueeze(0)).sum())(params)

    with plain_kernels(fnet):
        try:
            return torch.vmap(one)(X, G)
        except RuntimeError:  # an operation that vmap cannot batch (data-dependent control flow)
            rows = [pullback(fnet, _row(X, i), G[i : i + 1]) for i in range(len(G))]
    return {name: torch.stack([row[name] for row in rows]) for name in params}


def wide_zeros(fnet: FunctionalNet) -> Params:
    """Return zeros to add gradients to: in half precision, small ones would be lost in the sum."""
    return {name: wide(torch.zeros_like(p)) for name, p in fnet.params.items()}


def hvp(fnet: FunctionalNet, batches: Any, u: Params) -> Params:
    """H u, H the Hessian of the mean loss over `batches` of (X, y), one batch in memory."""
    total = wide_zeros(fnet)
    n = 0
    for X, y in batches:
        params = _leaves(fnet)
        with torch.enable_grad(), plain_kernels(fnet):
            loss = fnet.losses(fnet.outputs(params, X), X, y).sum()
            leaves = list(params.values())
            grads = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
            inner = sum((g * u[name]).sum() for name, g in zip(params, grads, strict=True))
            if not isinstance(inner, Tensor) or not inner.requires_grad:
                products = [torch.zeros_like(p) for p in leaves]
            else:
                products = list(torch.autograd.grad(inner, leaves, materialize_grads=True))
        for name, product in zip(params, products, strict=True):
            total[name] += product
        n += len(y)
    return {name: (value / n).to(fnet.params[name].dtype) for name, value in total.items()}


def ggnvp(fnet: FunctionalNet, batches: Any, u: Params) -> Params:
    """G u, G = mean of J_i^T (∂²ℓ/∂f²) J_i over `batches` of (X, y): no second derivative of f."""
    total = wide_zeros(fnet)
    n = 0
    for X, y in batches:
        f, t = pushforward(fnet, X, {name: value.unsqueeze(0) for name, value in u.items()})
        with torch.enable_grad():
            f = f.detach().requires_grad_()
            (G,) = torch.autograd.grad(fnet.losses(f, X, y).sum(), f, create_graph=True)
            bent = torch.zeros_like(f)
            if G.requires_grad:  # a loss that is linear in the outputs has no curvature
                (bent,) = torch.autograd.grad((G * t[0]).sum(), f, materialize_grads=True)
        for name, product in pullback(fnet, X, bent).items():
            total[name] += product
        n += len(y)
    return {name: (value / n).to(fnet.params[name].dtype) for name, value in total.items()}


def _forward_mode(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """All directions at once: the primal pass is shared."""

    def along(u: Params) -> tuple[Tensor, Tensor]:
        f, t = torch.func.jvp(  # type: ignore[misc]
            lambda p: fnet.outputs(p, X), (fnet.params,), (u,)
        )
        return f, t

    with _TURN, torch.no_grad(), plain_kernels(fnet):
        return torch.vmap(along, out_dims=(None, 0))(U)  # type: ignore[arg-type]


def _forward_mode_one_by_one(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """A forward-mode pass for each direction, by dual numbers without functorch in between."""
    tangents = []
    frozen = _FrozenLinears() if fnet.has_frozen_linear else nullcontext()
    with _TURN, torch.no_grad(), plain_kernels(fnet):
        for k in range(_count(U)):
            with forward_ad.dual_level(), frozen:
                dual = {n: forward_ad.make_dual(p, U[n][k]) for n, p in fnet.params.items()}
                f, t = forward_ad.unpack_dual(fnet.outputs(dual, X))
                tangents.append(torch.zeros_like(f) if t is None else t)
    return f, tangents[0].unsqueeze(0) if len(tangents) == 1 else torch.stack(tangents)


def _double_backward(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """J u by differentiating <J^T w, u> by w: two backward passes, no forward-mode rule needed."""
    params = _leaves(fnet)
    with torch.enable_grad(), plain_kernels(fnet):
        f = fnet.outputs(params, X)
        w = torch.zeros_like(f, requires_grad=True)
        leaves = list(params.values())
        grads = torch.autograd.grad(f, leaves, w, create_graph=True, materialize_grads=True)
        tangents = []
        for k in range(_count(U)):
            inner = torch.stack([(g * U[n][k]).sum() for n, g in zip(params, grads, strict=True)])
            tangents.append(torch.autograd.grad(inner.sum(), w, retain_graph=True)[0])
    return f.detach(), torch.stack(tangents)


class _FrozenLinear(torch.autograd.Function):
    """x W^T + b for W and b without a tangent; torch's own rule adds x times a matrix of zeros."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx: Any, x_t: Tensor, *of_parameters: Any) -> Tensor:
        return F.linear(x_t, ctx.saved_tensors[0])


class _FrozenLinears(TorchFunctionMode):
    """Puts `_FrozenLinear` in the place of each linear layer whose parameters have no tangent."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs:
            x, weight, bias = (*args, None)[:3]
            parameters = (weight,) if bias is None else (weight, bias)
            if all(forward_ad.unpack_dual(p).tangent is None for p in parameters):
                return _FrozenLinear.apply(x, weight, bias)
        return func(*args, **(kwargs or {}))


@functools.cache
def _load_forward_mode() -> None:
    # torch registers its forward-mode decompositions at the first dual number, with a
    # DeprecationWarning about its own use of torch.jit that is none of the user's business.
    with _TURN, warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def _leaves(fnet: FunctionalNet) -> Params:
    """Return the parameters as fresh leaves over the same memory."""
    return {name: p.detach().requires_grad_() for name, p in fnet.params.items()}


def _count(U: Directions) -> int:
    return len(next(iter(U.values())))


def _row(X: Rows, i: int) -> Rows:
    return map_tensors(lambda t: t[i : i + 1], X)
