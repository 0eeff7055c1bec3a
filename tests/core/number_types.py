"""Nets with complex parameters, and a loop over their rows with plain autograd."""

import copy

import numpy as np
import torch
from torch import nn
from zoo import initialized

COMPLEX = torch.complex128


class Spectral(nn.Module):
    """A filter of the frequencies of a row, as in Fourier neural operators."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(5, dtype=COMPLEX))
        self.head = nn.Linear(8, 3)

    def forward(self, X):
        return self.head(torch.fft.irfft(torch.fft.rfft(X, dim=-1) * self.filter, n=8, dim=-1))


class Operator(nn.Module):
    """A Fourier neural operator: its real layers come first, and it mixes channels."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Linear(1, 2)
        self.modes = nn.Parameter(0.5 * torch.randn(2, 2, 3, dtype=COMPLEX))
        self.skip = nn.Conv1d(2, 2, 1)
        self.head = nn.Linear(2, 3)

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
        self.head = nn.Linear(4, 3)

    def forward(self, X):
        h = self.first(torch.complex(X, X.roll(1, 1))) * self.turn
        return self.head(self.again(self.again(h)).conj().abs())


class ComplexLast(nn.Module):
    """A complex last layer, whose real part is the output."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 4), nn.Linear(4, 3, dtype=COMPLEX)

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
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 3)

    def forward(self, X):
        return self.head(self.norm(self.conv(X.unsqueeze(1).to(COMPLEX)).abs().flatten(1)))


COMPLEX_MODULES = [Spectral, Operator, ComplexLayers, ComplexLast, ComplexTies, ComplexConvolution]


def complex_net(kind, **params):
    """A net of float64 and complex128 numbers, and rows for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = kind()
        real = [m for m in module.modules() if not any(p.is_complex() for p in m.parameters(False))]
        for m in real:
            m.double()
        net = initialized(module, dtype=None, **params)
    rng = np.random.RandomState(0)
    return net, rng.randn(7, 8), rng.randint(0, 3, 7)


def loop_of(net, X, y):
    """Gradients of single rows: {name: (n, *shape)}, by autograd of a copy of the module."""
    module = copy.deepcopy(net.module_).eval()
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    rows = []
    for i in range(len(y)):
        f = module(torch.as_tensor(X[i : i + 1]))
        loss = nn.functional.cross_entropy(f, torch.as_tensor(y[i : i + 1]))
        g = torch.autograd.grad(
            loss, list(named.values()), allow_unused=True, materialize_grads=True
        )
        rows.append(dict(zip(named, g, strict=True)))
    return {name: torch.stack([row[name] for row in rows]).numpy() for name in named}


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
