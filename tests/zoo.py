"""Small nets of every kind that the engines must handle, with rows for them."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn


class Sequence(nn.Module):
    """A layer on sequences, then a linear head on the mean over time."""

    def __init__(self, layer, width, embed=False):
        super().__init__()
        self.embed = nn.Embedding(11, 6, padding_idx=0) if embed else None
        self.layer = layer
        self.head = nn.Linear(width, 3)

    def forward(self, X):
        h = X if self.embed is None else self.embed(X)
        h = self.layer(h)
        h = h[0] if isinstance(h, tuple) else h
        return self.head(h.mean(1))


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, X):
        return self.attention(X, X, X, need_weights=False)[0]


class Tied(nn.Module):
    """One Linear used twice, and an embedding that shares its weight with the head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, X):
        h = torch.tanh(self.mix(self.embed(X)))
        return self.head(torch.tanh(self.mix(h)).mean(1))


class WeightUsedElsewhere(nn.Module):
    """A layer whose weight is also used without calling its forward."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, X):
        h = torch.relu_(self.a(X))
        return self.head(h + nn.functional.linear(X, self.a.weight))


class LogitScale(nn.Module):
    """A parameter without axes, before all others."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.layers = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, X):
        return self.scale.exp() * self.layers(X)


class Residual(nn.Module):
    def __init__(self, groups=1):
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=groups)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding="same", dilation=2)

    def forward(self, X):
        return X + self.conv2(torch.relu_(self.norm(self.conv1(X))))


class OwnRegressor(nn.Sequential):
    pass


def frozen_first():
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    net[0].requires_grad_(False)
    return net


def _image(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(3))


def _series(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.LazyLinear(3))


MODULES = {
    "mlp": lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)),
    "no bias": lambda: nn.Sequential(nn.Linear(5, 8, bias=False), nn.Tanh(), nn.Linear(8, 3)),
    "inplace relu": lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(inplace=True), nn.Linear(8, 3)),
    "dropout": lambda: nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3)),
    "batchnorm1d": lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
    "layernorm": lambda: nn.Sequential(
        nn.Linear(5, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)
    ),
    "frozen first layer": frozen_first,
    "weight used elsewhere": WeightUsedElsewhere,
    "weight norm": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 8)), nn.Tanh(), nn.Linear(8, 3)
    ),
    "conv2d": lambda: _image(nn.Conv2d(4, 6, 3, stride=2), nn.ReLU()),
    "conv2d groups": lambda: _image(nn.Conv2d(4, 6, 3, groups=2), nn.ReLU()),
    "conv2d same": lambda: _image(nn.Conv2d(4, 6, (3, 5), padding="same"), nn.ReLU()),
    "conv2d circular": lambda: _image(
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), nn.ReLU()
    ),
    "residual batchnorm2d": lambda: _image(Residual(), nn.ReLU(), Residual(groups=2)),
    "conv1d": lambda: _series(nn.Conv1d(4, 6, 3, padding=1, dilation=2), nn.ReLU()),
    "groupnorm": lambda: _image(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6)),
    "embedding": lambda: Sequence(nn.Identity(), 6, embed=True),
    "linear over time": lambda: Sequence(nn.Sequential(nn.Linear(6, 7), nn.LayerNorm(7)), 7),
    "lstm": lambda: Sequence(nn.LSTM(6, 5, batch_first=True), 5),
    "gru": lambda: Sequence(nn.GRU(6, 5, batch_first=True, bidirectional=True), 10),
    "attention": lambda: Sequence(SelfAttention(), 6),
    "transformer encoder": lambda: Sequence(
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 12, batch_first=True), 2, enable_nested_tensor=False
        ),
        6,
    ),
    "tied": Tied,
    "logit scale": LogitScale,
}


def rows_for(name, n=7, seed=0):
    """Make inputs and integer labels for the module of that name."""
    rng = np.random.RandomState(seed)
    if name in ("embedding", "tied"):
        X = rng.randint(0, 11, (n, 4))
    elif "conv2d" in name or name in ("residual batchnorm2d", "groupnorm"):
        X = rng.randn(n, 4, 8, 7)
    elif name == "conv1d":
        X = rng.randn(n, 4, 9)
    elif name in ("lstm", "gru", "attention", "transformer encoder", "linear over time"):
        X = rng.randn(n, 4, 6)
    else:
        X = rng.randn(n, 5)
    return X, rng.randint(0, 3, n)


def initialized(module, net_class=NeuralNetClassifier, dtype=torch.float64, X=None, **params):
    """Initialize a net as a user would pass it: in training mode, with changed batch statistics.

    A dtype of None leaves the dtypes of the module as they are.
    """
    params = {"criterion": nn.CrossEntropyLoss, "train_split": None} | params
    if "batch_size" in params:  # also the batch size of scoring
        params = {"iterator_valid__batch_size": params["batch_size"]} | params
    if X is not None:  # materialize lazy layers
        module = module.to(torch.float64)
        with torch.no_grad():
            module.eval()(torch.as_tensor(X))
    module = module if dtype is None else module.to(dtype)
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.running_mean.uniform_(-0.5, 0.5)
            m.running_var.uniform_(0.5, 2.0)
            m.weight.data.uniform_(0.5, 1.5)
    net = net_class(module, **params).initialize()
    net.module_.train()
    return net


def make(name, dtype=torch.float64, seed=0, **params):
    """Make the initialized net of that name, with rows for it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        X, y = rows_for(name)
        net = initialized(MODULES[name](), dtype=dtype, X=X, **params)
    numpy_dtype = {torch.float64: np.float64, torch.float32: np.float32}[dtype]
    return net, X if X.dtype.kind == "i" else X.astype(numpy_dtype), y


def loop_gradients(net, X, y, loss=None):
    """Compute per-row gradients, (n, p), by one backward pass per row on a copy of the module."""
    import copy

    module = copy.deepcopy(net.module_).eval()
    parameters = [p for p in module.parameters() if p.requires_grad]
    loss = loss or nn.functional.cross_entropy
    rows = []
    for i in range(len(y)):
        value = loss(module(torch.as_tensor(X[i : i + 1])), torch.as_tensor(y[i : i + 1]))
        grads = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([g.reshape(-1) for g in grads]))
    return torch.stack(rows).double().numpy()


BINARY, REGRESSOR = NeuralNetBinaryClassifier, NeuralNetRegressor


KINDS = ["mlp", "batchnorm1d", "residual batchnorm2d", "embedding", "lstm", "tied", "logit scale"]


def assert_close(got, want):
    """Equal in float64 up to the rounding of sums in another order."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())
