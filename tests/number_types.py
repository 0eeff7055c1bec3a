"""Nets with complex parameters or of several dtypes, and a loop over rows with plain autograd."""

import copy

import numpy as np
import torch
from torch import nn
from zoo import initialized

DOUBLE, COMPLEX = torch.float64, torch.complex128


class Spectral(nn.Module):
    """A filter of the frequencies of a row, as in Fourier neural operators."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(5, dtype=COMPLEX))
        self.head = nn.Linear(8, 3, dtype=DOUBLE)

    def forward(self, X):
        return self.head(torch.fft.irfft(torch.fft.rfft(X, dim=-1) * self.filter, n=8, dim=-1))


class Operator(nn.Module):
    """A Fourier neural operator: its real layers come first, and it mixes channels."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Linear(1, 2, dtype=DOUBLE)
        self.modes = nn.Parameter(0.5 * torch.randn(2, 2, 3, dtype=COMPLEX))
        self.skip = nn.Conv1d(2, 2, 1, dtype=DOUBLE)
        self.head = nn.Linear(2, 3, dtype=DOUBLE)

    def forward(self, X):
        h = self.lift(X.unsqueeze(2)).transpose(1, 2)
        low = torch.fft.rfft(h, dim=2)[:, :, :3]
        mixed = torch.fft.irfft(torch.einsum("nix,iox->nox", low, self.modes), n=8, dim=2)
        return self.head(torch.tanh(mixed + self.skip(h)).mean(2))


class ComplexLayers(nn.Module):
    """Complex linear layers, one of them called twice, and a complex buffer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 4, dtype=COMPLEX)
        self.again = nn.Linear(4, 4, dtype=COMPLEX)
        self.register_buffer("turn", torch.polar(torch.ones(4), torch.arange(4.0)).to(COMPLEX))
        self.head = nn.Linear(4, 3, dtype=DOUBLE)

    def forward(self, X):
        h = self.first(torch.complex(X, X.roll(1, 1))) * self.turn
        return self.head(self.again(self.again(h)).conj().abs())


class ComplexLast(nn.Module):
    """A complex last layer, whose real part is the output."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 4, dtype=DOUBLE), nn.Linear(4, 3, dtype=COMPLEX)

    def forward(self, X):
        return self.head(torch.tanh(self.body(X)).to(COMPLEX)).real


class ComplexTies(nn.Module):
    """A complex weight under two names, one used as its conjugate, and one not used at all."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 8, dtype=COMPLEX))
        self.same = self.weight
        self.unused = nn.Parameter(torch.randn(2, dtype=COMPLEX))

    def forward(self, X):
        z = X.to(COMPLEX)
        return (z @ self.weight.T).imag + ((z @ self.same.mH) ** 2).real


class ComplexConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 3, dtype=COMPLEX)
        self.norm, self.head = nn.LayerNorm(12, dtype=DOUBLE), nn.Linear(12, 3, dtype=DOUBLE)

    def forward(self, X):
        return self.head(self.norm(self.conv(X.unsqueeze(1).to(COMPLEX)).abs().flatten(1)))


COMPLEX_MODULES = [Spectral, Operator, ComplexLayers, ComplexLast, ComplexTies, ComplexConvolution]


def complex_net(kind, **params):
    """A net of float64 and complex128 numbers, and rows for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = initialized(kind(), dtype=None, **params)
    rng = np.random.RandomState(0)
    return net, rng.randn(7, 8), rng.randint(0, 3, 7)


def loop_of(net, X, y, loss=nn.functional.cross_entropy):
    """Gradients of single rows: {name: (n, *shape)}, by autograd of a copy of the module."""
    module = copy.deepcopy(net.module_).eval()
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    rows = []
    for i in range(len(y)):
        f = module(torch.as_tensor(X[i : i + 1]))
        f = f.to(torch.promote_types(f.dtype, torch.float32))
        value = loss(f, torch.as_tensor(y[i : i + 1]))
        g = torch.autograd.grad(
            value, list(named.values()), allow_unused=True, materialize_grads=True
        )
        rows.append(dict(zip(named, g, strict=True)))
    stacked = {name: torch.stack([row[name] for row in rows]) for name in named}
    return {n: (g if g.is_complex() else g.double()).numpy() for n, g in stacked.items()}


def inner_products(rows, others):
    """Re Σ conj(g) h over all parameters, for each pair of rows."""
    return sum(
        (g.reshape(len(g), -1).conj() @ others[name].reshape(len(others[name]), -1).T).real
        for name, g in rows.items()
    )


def as_vectors(rows):
    """The rows with the real and imaginary part of each number side by side, (n, numbers)."""
    parts = [np.stack([g.real, g.imag], -1) if g.dtype.kind == "c" else g for g in rows.values()]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


class LogScale(nn.Module):
    """Its first parameter is in double precision, as NumPy's numbers are."""

    rows, precision = torch.float32, 1e-5

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(np.log(3.0)))
        self.body, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, X):
        return self.log_scale.exp() * self.head(torch.tanh(self.body(X)))


class HalfBody(nn.Module):
    """A body in half precision under a head in single precision, as with adapters."""

    rows, precision = torch.bfloat16, 0.05

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 6).bfloat16(), nn.Linear(6, 3)

    def forward(self, X):
        return self.head(torch.tanh(self.body(X)).float())


class FrozenHalfBody(HalfBody):
    def __init__(self):
        super().__init__()
        self.body.requires_grad_(False)


class DoubleHead(nn.Module):
    rows, precision = torch.float32, 1e-5

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 6), nn.Linear(6, 3).double()

    def forward(self, X):
        return self.head(torch.tanh(self.body(X)).double())


class DoubleBuffer(nn.Module):
    """A double buffer comes into the outputs, behind a head in single precision."""

    rows, precision = torch.float32, 1e-5

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 6), nn.Linear(6, 3)
        self.register_buffer("scale", torch.tensor(2.0, dtype=torch.float64))
        self.register_buffer("prior", torch.linspace(0, 1, 3, dtype=torch.float64))

    def forward(self, X):
        return self.head(torch.tanh(self.body(X)) * self.scale) + self.prior


class CentersFirst(nn.Module):
    """Half precision only after rows of values near 10,000 were centered in single precision."""

    rows, precision = torch.float32, 0.05

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).bfloat16()

    def forward(self, X):
        return self.body((X - 1e4).bfloat16())


class CentersInDouble(nn.Module):
    """Single precision only after rows near 1e9 were centered in double precision."""

    rows, precision = torch.float64, 1e-5

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, X):
        return self.body((X - 1e9).float())


class Half(nn.Sequential):
    rows, precision = torch.bfloat16, 0.05

    def __init__(self):
        super().__init__(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
        self.to(self.rows)


class Float16(Half):
    rows, precision = torch.float16, 0.01


CENTERS = {CentersFirst: 1e4, CentersInDouble: 1e9}
MIXED_MODULES = [
    LogScale, HalfBody, FrozenHalfBody, DoubleHead, DoubleBuffer, CentersFirst, CentersInDouble,
    Half, Float16,
]  # fmt: skip


def mixed_net(kind, **params):
    """A net of several dtypes, and rows for it in the dtype that it trains on."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = initialized(kind(), dtype=None, **params)
    rng = np.random.RandomState(0)
    X = torch.as_tensor(rng.randn(7, 8) + CENTERS.get(kind, 0)).to(kind.rows)
    return net, X, rng.randint(0, 3, 7)


def gauss_newton_of(net, X, y):
    """Gauss-Newton matrix of the mean cross-entropy, from gradients of single outputs."""
    with torch.no_grad():
        p = copy.deepcopy(net.module_).eval()(torch.as_tensor(X)).double().softmax(1).numpy()
    J = np.stack(
        [as_vectors(loop_of(net, X, y, lambda f, _, k=k: f[0, k])) for k in range(p.shape[1])], 1
    )
    H = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    return np.einsum("nkp,nkl,nlq->pq", J, H, J) / len(y)
