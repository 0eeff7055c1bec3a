"""Gradients ∂ℓ/∂f of a row's loss under every label, and their products with tangents.

Let G_c be the gradient of a row's loss with respect to the net's K outputs if the row had label c.
Multiplying G_c by each of d tangents, for each of C labels, takes d C K operations per row. For
most losses, G_c has the form

    G_c = α_c b + δ_c e_c + γ_c e_0,

where b does not depend on the label, e_c is 1 at the output of label c and 0 elsewhere, and e_0 is
the same for the first label. Cross-entropy has this form, with or without weights or smoothing, and
so have focal losses and one-against-all losses. The products then take d C operations per row.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import Rows, wide

# With fewer tangents, the general products take less time than the search for the form above.
_FEW_TANGENTS = 32

# The form must reproduce each entry of G_c up to this many machine epsilons of the largest entry.
_ROUNDINGS = 16

_MAX_NUMBERS = 2**24  # entries of G_c that are formed at a time: 128 MB


class LabelGradients:
    """G_c of the rows of one batch under each label.

    Parameters
    ----------
    fnet : FunctionalNet
    X : rows of the batch
    f : Tensor of shape (n, ...)
        Outputs of the rows.
    labels : Tensor of shape (n_labels,)
    n_tangents : int
        Number of tangents that `lowest_products` gets in total.
    """

    def __init__(
        self, fnet: FunctionalNet, X: Rows, f: Tensor, labels: Tensor, n_tangents: int
    ) -> None:
        self.fnet, self.X, self.f, self.labels = fnet, X, f, labels
        width = f[0].numel()
        are_outputs = not labels.is_floating_point() and 0 <= labels.min() <= labels.max() < width
        may_have_form = are_outputs and n_tangents >= _FEW_TANGENTS and width > 2
        self._form = self._find_form() if may_have_form else None

    def lowest_products(self, t: Tensor) -> Tensor:
        """Lowest <G_c, t> over the tangents t, (n, n_labels); `t` is (d, n, ...)."""
        t = t.flatten(2) if t.ndim > 2 else t.unsqueeze(2)
        if self._form is not None:
            return self._form.lowest_products(t)
        n, width = t.shape[1:]
        step = max(1, _MAX_NUMBERS // (n * max(width, len(t))))
        t = t.double().permute(1, 2, 0)
        parts = []
        for start in range(0, len(self.labels), step):
            G = torch.stack(list(self._under(self.labels[start : start + step])), 1)
            parts.append((G.double() @ t).amin(2))
        return torch.cat(parts, 1)

    def _under(self, labels: Tensor) -> Iterator[Tensor]:
        """G_c under each of the labels, (n, K)."""
        n = len(self.f)
        for label in labels:
            yield self.fnet.cotangents(self.f, self.X, label.expand(n)).reshape(n, -1)

    def _find_form(self) -> _Form | None:
        """Find b, α, δ and γ (see the module's docstring); None if a G_c does not have the form."""
        columns, n = self.labels.tolist(), len(self.f)
        first = columns[0]
        # Allocated at once: many small tensors between large ones would fragment the memory.
        alphas, deltas, gammas = wide(self.f).new_zeros(3, n, len(columns))
        for k, (c, G) in enumerate(zip(columns, self._under(self.labels), strict=True)):
            G = wide(G)
            if k == 0:
                b = G.clone()
                b[:, first] = 0
                # α_c is G_c / b at an output other than those of label c and of the first label.
                at = b.abs().topk(2, 1).indices
            i = torch.where(at[:, :1] == c, at[:, 1:], at[:, :1])
            divisor = b.gather(1, i)
            alpha = torch.where(divisor == 0, 0, G.gather(1, i) / divisor)
            rest = G - alpha * b
            alphas[:, k], deltas[:, k] = alpha[:, 0], rest[:, c]
            if c != first:
                gammas[:, k] = rest[:, first]
            rest[:, [c, first]] = 0
            bound = _ROUNDINGS * torch.finfo(G.dtype).eps * G.abs().amax(1)
            if not (rest.abs().amax(1) <= bound).all():
                return None
        return _Form(b, alphas, deltas, gammas, self.labels)


class _Form:
    """α_c b + δ_c e_c + γ_c e_0 of n rows: b is (n, K); α, δ and γ are (n, n_labels)."""

    def __init__(
        self, b: Tensor, alphas: Tensor, deltas: Tensor, gammas: Tensor, labels: Tensor
    ) -> None:
        self.b, self.alphas, self.deltas, self.gammas = b, alphas, deltas, gammas
        self.labels = labels.long()

    def lowest_products(self, t: Tensor) -> Tensor:
        """Lowest product over the tangents, (n, n_labels); `t` is (d, n, K)."""
        are_all = torch.equal(self.labels, torch.arange(t.shape[2], device=t.device))
        lowest = t.new_empty(0)
        # One tangent at a time, because its products stay in the processor's cache.
        for u in map(wide, t):
            at = u if are_all else u[:, self.labels]
            products = at * self.deltas
            products.addcmul_((u * self.b).sum(1, keepdim=True), self.alphas)
            products.addcmul_(u[:, self.labels[:1]], self.gammas)
            lowest = torch.minimum(lowest, products) if len(lowest) else products
        return lowest.double()
