"""Derivatives of a FunctionalNet, batch by batch.

Let f_i be the outputs of row i, J_i their Jacobian with respect to the parameters, and G_i =
∂ℓ/∂f_i the gradient of the row's loss with respect to its outputs (the cotangent). The gradient of
the row's loss with respect to the parameters is

    g_i = J_i^T G_i.

For a direction u in parameter space, the tangent t_i = J_i u is the derivative of the outputs along
u. The inner product

    <g_i, u> = <G_i, t_i>

is computed from the right-hand side. The matrix of all g_i (rows times parameters) is not formed.
"""

from __future__ import annotations

import functools
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.conv import _ConvNd

from skinfluence._core.factors import rows_per_piece
from skinfluence._core.forward_mode import FrozenLinears
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.memory import OutputWatch, is_out_of_memory
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, as_matrix, map_tensors, slice_rows, wide

Directions = Params  # d directions u: each entry is (d, *shape of the parameter)

# torch allows one level of dual numbers per process, so threads have to wait for each other.
_DUAL_LEVEL_LOCK = threading.RLock()

# For each module, by (autocast, parameters): the function below that was found to compute J u. One
# fit creates several FunctionalNets of a module, but searches and warns only once.
_ENGINES: weakref.WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Any]] = (
    weakref.WeakKeyDictionary()
)


def forward(fnet: FunctionalNet, X: Rows) -> Tensor:
    """Outputs f(X), (n, ...), without a graph."""
    # Not no_grad, because a forward may compute derivatives itself. There is no graph of the
    # parameters, because they are detached.
    with torch.enable_grad(), plain_kernels(fnet):
        return fnet.outputs(fnet.params, X).detach()


def precision(fnet: FunctionalNet, X: Rows) -> float:
    """Machine epsilon of the least precise numbers in a forward pass, which autocast may lower."""
    return forward_with_precision(fnet, X)[1]


def forward_with_precision(fnet: FunctionalNet, X: Rows) -> tuple[Tensor, float]:
    """Outputs f(X) without a graph, and the `precision` of this pass."""
    with OutputWatch() as watch:
        f = forward(fnet, X)
    return f, max(fnet.eps, watch.eps)


def pullback(fnet: FunctionalNet, X: Rows, G: Tensor) -> Params:
    """Σ_i J_i^T G_i over the rows of one batch, in the shapes of the parameters."""
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
    """Outputs f (n, ...) and tangents t = J u of each direction (d, n, ...) of one batch.

    Forward mode is used if every operation supports it. Otherwise the double-backward trick is
    used, which is also exact but takes about twice the time. If an operation has no second
    derivative either, row gradients are used, one backward pass per output of a row. A warning
    says that forward mode is not used. It is given once per module.
    """
    _load_forward_mode()
    engines = [_forward_mode, _forward_mode_one_by_one, _double_backward, _by_row_gradients]
    known = _ENGINES.setdefault(fnet.module, {})
    case = _case(fnet)
    if case in known:
        return known[case](fnet, X, U)
    if _count(U) == 1 or fnet.contains(_ConvNd) or fnet.contains(nn.MultiheadAttention):
        # Convolutions and attention take two to three times as long if batched over directions.
        engines = engines[1:]
    reason = "its forward writes into its weights"
    if not fnet.allows_forward_mode(X):
        engines = engines[-2:]
    for engine in engines:
        try:
            result = engine(fnet, X, U)
        except (NotImplementedError, RuntimeError) as error:
            if engine is _by_row_gradients or is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0][:200]
            continue
        break
    if engine in _SLOWER:
        warnings.warn(_SLOWER[engine].format(reason), RuntimeWarning, stacklevel=2)
    if engine in _SLOWER or (engine is _forward_mode_one_by_one and _count(U) > 1):
        known[case] = engine
    return result


def tangents_are_costly(fnet: FunctionalNet) -> bool:
    """Whether `pushforward` is known to take one backward pass per output of a row."""
    return _ENGINES.get(fnet.module, {}).get(_case(fnet)) is _by_row_gradients


def _case(fnet: FunctionalNet) -> tuple[Any, ...]:
    return (torch.is_autocast_enabled(fnet.device.type), *fnet.params)


def pushforward_members(
    fnet: FunctionalNet, X: Rows, states: Params, U: Directions
) -> tuple[Tensor, Tensor]:
    """Outputs (k, n, ...) and tangents (k, d, n, ...) of k members of an ensemble in one pass.

    `states` comes from `fnet.stacked`. Each member has its own directions: entries of U are
    (k, d, *shape).

    Raises
    ------
    NotImplementedError or RuntimeError
        If an operation does not support forward mode or vmap.
    """
    _load_forward_mode()
    if not fnet.allows_forward_mode(X):
        raise NotImplementedError("the net's forward writes into its weights")

    def member(state: Params, u: Directions) -> tuple[Tensor, Tensor]:
        primal = {name: state.get(name, p) for name, p in fnet.params.items()}

        def jvp(direction: Params) -> tuple[Tensor, Tensor]:
            f, t = torch.func.jvp(  # type: ignore[misc]
                lambda p: fnet.outputs(state | p, X), (primal,), (direction,)
            )
            return f, t

        f, t = torch.vmap(jvp)(u)  # torch refuses out_dims=None in a nested vmap
        return f[0], t

    with _DUAL_LEVEL_LOCK, torch.enable_grad(), plain_kernels(fnet):
        f, t = torch.vmap(member)(states, U)
    return f.detach(), t.detach()


def row_gradients(
    fnet: FunctionalNet, X: Rows, G: Tensor, names: list[str] | None = None
) -> Params:
    """Gradients g_i = J_i^T G_i of all rows, entries (n, *shape). Needs rows × parameters memory.

    `names` selects parameters; by default, all are used.
    """
    params = fnet.params if names is None else {name: fnet.params[name] for name in names}

    def of_row(x: Rows, g: Tensor) -> Params:
        batch = map_tensors(lambda t: t.unsqueeze(0), x)
        return torch.func.grad(lambda p: (fnet.outputs(p, batch) * g.unsqueeze(0)).sum())(params)

    with plain_kernels(fnet):
        try:
            return torch.vmap(of_row)(X, G)
        except RuntimeError:
            # vmap does not support some operation, such as control flow that depends on the data.
            rows = [pullback(fnet, _row(X, i), G[i : i + 1]) for i in range(len(G))]
    return {name: torch.stack([row[name] for row in rows]) for name in params}


def wide_zeros(fnet: FunctionalNet) -> Params:
    """Zeros to which gradients are added; at least float32, since less would lose small terms."""
    return {name: wide(torch.zeros_like(p)) for name, p in fnet.params.items()}


def hvp(fnet: FunctionalNet, batches: Any, u: Params) -> Params:
    """H u, where H is the Hessian of the mean loss over `batches` of (X, y)."""
    total = wide_zeros(fnet)
    n = 0
    for X, y in batches:
        params = _leaves(fnet)
        with torch.enable_grad(), plain_kernels(fnet):
            loss = fnet.losses(fnet.outputs(params, X), X, y).sum()
            products = _hessian_product(loss, list(params.values()), [u[name] for name in params])
        for name, term in zip(params, products, strict=True):
            total[name] += term
        n += len(y)
    return {name: (value / n).to(fnet.params[name].dtype) for name, value in total.items()}


def _hessian_product(loss: Tensor, leaves: list[Tensor], u: list[Tensor]) -> Sequence[Tensor]:
    grads = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
    product = torch.stack([(g * direction).sum() for g, direction in zip(grads, u, strict=True)])
    if not product.requires_grad:
        return [torch.zeros_like(p) for p in leaves]
    with _second_derivatives():
        return torch.autograd.grad(product.sum(), leaves, materialize_grads=True)


@contextmanager
def _second_derivatives() -> Iterator[None]:
    """Raise a ValueError if an operation has no second derivative."""
    try:
        yield
    except RuntimeError as error:
        if "derivative for" not in str(error) or "is not implemented" not in str(error):
            raise
        raise ValueError(
            f"this curvature needs second derivatives, but {str(error).rstrip('.')} in torch. Use "
            "a curvature that needs first derivatives only, such as EKFAC() or DataInf(). If the "
            "operation is in the net rather than in the criterion, matrix='ggn' works as well."
        ) from error


def ggnvp(fnet: FunctionalNet, batches: Any, u: Params) -> Params:
    """M u, where M is the generalized Gauss-Newton matrix of the mean loss over `batches`.

    M is the mean of J_i^T (∂²ℓ/∂f²) J_i. It is the Hessian without the second derivatives of f.
    """
    total = wide_zeros(fnet)
    n = 0
    for X, y in batches:
        f, t = pushforward(fnet, X, {name: value.unsqueeze(0) for name, value in u.items()})
        with torch.enable_grad():
            f = f.detach().requires_grad_()
            (G,) = torch.autograd.grad(fnet.losses(f, X, y).sum(), f, create_graph=True)
            Ht = torch.zeros_like(f)  # (∂²ℓ/∂f²) t; 0 for a loss that is linear in the outputs
            if G.requires_grad:
                with _second_derivatives():
                    (Ht,) = torch.autograd.grad((G * t[0]).sum(), f, materialize_grads=True)
        for name, product in pullback(fnet, X, Ht).items():
            total[name] += product
        n += len(y)
    return {name: (value / n).to(fnet.params[name].dtype) for name, value in total.items()}


def _forward_mode(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """All directions in one batched pass; the outputs are computed once."""

    def jvp(u: Params) -> tuple[Tensor, Tensor]:
        f, t = torch.func.jvp(  # type: ignore[misc]
            lambda p: fnet.outputs(p, X), (fnet.params,), (u,)
        )
        return f, t

    with _DUAL_LEVEL_LOCK, torch.enable_grad(), plain_kernels(fnet):
        f, t = torch.vmap(jvp, out_dims=(None, 0))(U)  # type: ignore[arg-type]
    return f.detach(), t.detach()


def _forward_mode_one_by_one(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """One forward-mode pass per direction, with plain dual numbers instead of functorch."""
    tangents = []
    frozen = FrozenLinears() if fnet.has_frozen_linear else nullcontext()
    with _DUAL_LEVEL_LOCK, torch.enable_grad(), plain_kernels(fnet):
        for k in range(_count(U)):
            with forward_ad.dual_level(), frozen:
                dual = {n: forward_ad.make_dual(p, U[n][k]) for n, p in fnet.params.items()}
                f, t = forward_ad.unpack_dual(fnet.outputs(dual, X))
                tangents.append(torch.zeros_like(f) if t is None else t.detach())
    return f.detach(), tangents[0].unsqueeze(0) if len(tangents) == 1 else torch.stack(tangents)


def _double_backward(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """J u as the derivative of <J^T w, u> with respect to w: two backward passes."""
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


def _by_row_gradients(fnet: FunctionalNet, X: Rows, U: Directions) -> tuple[Tensor, Tensor]:
    """Compute J u output by output: the gradient of one output of every row, times u.

    Needs first derivatives only.
    """
    f = forward(fnet, X)
    n, step = len(f), rows_per_piece(sum(p.numel() for p in fnet.params.values()))
    t = f.new_zeros(_count(U), *f.shape).reshape(_count(U), n, -1)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        Xp, zeros = slice_rows(X, rows), as_matrix(torch.zeros_like(f[rows]))
        for k in range(t.shape[2]):
            G = zeros.index_fill(1, torch.tensor(k, device=f.device), 1).reshape(f[rows].shape)
            g = row_gradients(fnet, Xp, G)
            for name, u in U.items():
                t[:, rows, k] += (as_matrix(u) @ as_matrix(g[name]).T).to(t)
    return f, t.reshape(-1, *f.shape)


# Engines that are slower than forward mode, each with the text of its warning.
_SLOWER = {
    _double_backward: (
        "no forward-mode derivative for this net ({}). The double-backward trick is used instead: "
        "the scores are the same, but computing them takes about twice the time."
    ),
    _by_row_gradients: (
        "torch has neither a forward-mode nor a second derivative for an operation of this net "
        "({}). Gradients of single rows are used instead: the scores are the same, but computing "
        "them takes longer. If the time matters, replace the operation by others: for example, "
        "write a distance as a norm of differences."
    ),
}


@functools.cache
def _load_forward_mode() -> None:
    # When the first dual number is created, torch registers its forward-mode decompositions and
    # warns that torch itself uses torch.jit. Users cannot do anything about this warning.
    with _DUAL_LEVEL_LOCK, warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def _leaves(fnet: FunctionalNet) -> Params:
    """The parameters as new leaf tensors, in the same memory."""
    return {name: p.detach().requires_grad_() for name, p in fnet.params.items()}


def _count(U: Directions) -> int:
    return len(next(iter(U.values())))


def _row(X: Rows, i: int) -> Rows:
    return map_tensors(lambda t: t[i : i + 1], X)
