"""Names of the layers, the first steps and the pools of random modules, for each kind of rows."""

import torch
from random_layers import (
    CHANNELS,
    COLUMNS,
    SIDE,
    STEPS,
    TOKENS,
    WIDTH,
    Adapter,
    Attention,
    Bare,
    Bilinear,
    Channels,
    Checkpointed,
    Clipped,
    Cubed,
    DotProduct,
    FirstOf,
    Function,
    Keyword,
    Last,
    LookedUp,
    RareLinear,
    WeightUsedTwice,
    WithPositions,
    hooked,
    linear,
)
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

ELEMENTWISE = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky relu in place": lambda: nn.LeakyReLU(0.1, inplace=True),
    "elu in place": lambda: nn.ELU(inplace=True),
    "silu in place": lambda: nn.SiLU(inplace=True),
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "gelu, tanh": lambda: nn.GELU("tanh"),
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "softsign": nn.Softsign,
    "celu": nn.CELU,
    "hardtanh": lambda: nn.Hardtanh(-0.5, 0.5),
    "dropout": lambda: nn.Dropout(0.4),
    "dropout in place": lambda: nn.Dropout(0.4, inplace=True),
    "alpha dropout": lambda: nn.AlphaDropout(0.4),
    "prelu": nn.PReLU,
    "scale": lambda: Bare(lambda X, s: X * s, ()),
    "square": lambda: Function(lambda X: X + 0.1 * X.square()),
    "times in place": lambda: Function(lambda X: (X * 1.5).mul_(0.7).tanh_()),
    "identity": nn.Identity,
}
ON_LAST = {
    "linear": linear,
    "linear without bias": lambda: linear(bias=False),
    "linear by keyword": lambda: Keyword(linear()),
    "weight norm": lambda: parametrizations.weight_norm(linear()),
    "spectral norm": lambda: parametrizations.spectral_norm(linear()),
    "orthogonal": lambda: parametrizations.orthogonal(linear()),
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "layer norm without bias": lambda: nn.LayerNorm(WIDTH, bias=False),
    "rms norm": lambda: nn.RMSNorm(WIDTH),
    "adapter": Adapter,
    "weight used twice": WeightUsedTwice,
    "matrix": lambda: Bare(lambda X, A, b: X @ A + b, (WIDTH, WIDTH), (WIDTH,)),
    "low rank": lambda: Bare(lambda X, A, B: X @ A @ B, (WIDTH, 2), (2, WIDTH)),
    "gated": lambda: nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GLU()),
    "softmax": lambda: nn.Softmax(-1),
    "normalize": lambda: Function(lambda X: F.normalize(X + 0.1, dim=-1)),
    "sort": lambda: Function(lambda X: X.sort(-1).values),
    "rare rows": lambda: RareLinear(WIDTH, WIDTH),
    "clipped": Clipped,
    "hooked": hooked,
    "own function": lambda: Function(Cubed.apply),
    "stopped gradient": lambda: Bare(lambda X, A: X + (X @ A).detach(), (WIDTH, WIDTH)),
    "masked": lambda: Function(lambda X: X.masked_fill(X > 0.7, 0.3)),
    "distances": lambda: Bare(
        lambda X, A: (X.unsqueeze(-2) - A).square().sum(-1).neg().exp(), (WIDTH, WIDTH)
    ),
    "checkpointed": lambda: Checkpointed(nn.Sequential(linear(), nn.Tanh())),
}
LAYERS = {
    "table": {
        "batch norm": lambda: nn.BatchNorm1d(WIDTH),
        "batch norm without weight": lambda: nn.BatchNorm1d(WIDTH, affine=False),
        "group norm": lambda: nn.GroupNorm(2, WIDTH),
        "dropout of channels": lambda: nn.Dropout(0.2),
        "bilinear": Bilinear,
    },
    "series": {
        "positions": lambda: Bare(torch.add, (STEPS, WIDTH)),
        "conv": lambda: Channels(nn.Conv1d(WIDTH, WIDTH, 3, padding=1)),
        "conv, groups": lambda: Channels(
            nn.Conv1d(WIDTH, WIDTH, 3, padding=2, dilation=2, groups=2)
        ),
        "conv, reflect": lambda: Channels(
            nn.Conv1d(WIDTH, WIDTH, 3, padding=1, padding_mode="reflect", bias=False)
        ),
        "conv, weight norm": lambda: Channels(
            parametrizations.weight_norm(nn.Conv1d(WIDTH, WIDTH, 1))
        ),
        "batch norm": lambda: Channels(nn.BatchNorm1d(WIDTH)),
        "group norm": lambda: Channels(nn.GroupNorm(2, WIDTH)),
        "lstm": lambda: FirstOf(nn.LSTM(WIDTH, WIDTH, batch_first=True)),
        "lstm both ways": lambda: FirstOf(
            nn.LSTM(WIDTH, 2, num_layers=2, batch_first=True, bidirectional=True)
        ),
        "gru": lambda: FirstOf(nn.GRU(WIDTH, WIDTH, batch_first=True, dropout=0.0)),
        "rnn": lambda: FirstOf(nn.RNN(WIDTH, WIDTH, batch_first=True, bias=False)),
        "attention": lambda: Attention(False),
        "attention with weights": lambda: Attention(True),
        "dot product": DotProduct,
        "encoder": lambda: nn.TransformerEncoderLayer(WIDTH, 2, 6, batch_first=True),
        "encoder, norm first": lambda: nn.TransformerEncoderLayer(
            WIDTH, 2, 6, batch_first=True, norm_first=True, activation="gelu"
        ),
        "cumulative sum": lambda: Function(lambda X: X.cumsum(1)),
        "flip": lambda: Function(lambda X: X.flip(1)),
    },
    "images": {
        "conv": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
        "conv, groups": lambda: nn.Conv2d(WIDTH, WIDTH, (3, 1), padding=(1, 0), groups=2),
        "conv, depthwise": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding="same", groups=WIDTH),
        "conv, circular": lambda: nn.Conv2d(
            WIDTH, WIDTH, 3, padding=1, padding_mode="circular", bias=False
        ),
        "conv, dilated": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2),
        "conv, transposed": lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 3, padding=1),
        "conv, spectral norm": lambda: parametrizations.spectral_norm(nn.Conv2d(WIDTH, WIDTH, 1)),
        "batch norm": lambda: nn.BatchNorm2d(WIDTH),
        "group norm": lambda: nn.GroupNorm(2, WIDTH),
        "linear": lambda: Last(linear()),
        "layer norm": lambda: nn.LayerNorm([WIDTH, SIDE, SIDE]),
        "max": lambda: nn.MaxPool2d(3, stride=1, padding=1),
        "mean": lambda: nn.AvgPool2d(3, stride=1, padding=1),
        "dropout of channels": lambda: nn.Dropout2d(0.3),
        "shift": lambda: Bare(torch.add, (WIDTH, 1, 1)),
    },
}


for kind, of_kind in LAYERS.items():
    of_kind.update(ELEMENTWISE if kind == "images" else ELEMENTWISE | ON_LAST)
LAYERS["tokens"], LAYERS["bags"] = LAYERS["series"], LAYERS["table"]

STEMS = {
    "table": {"linear": lambda: nn.Linear(COLUMNS, WIDTH)},
    "series": {
        "linear": lambda: nn.Linear(COLUMNS, WIDTH),
        "conv": lambda: Channels(nn.Conv1d(COLUMNS, WIDTH, 1)),
    },
    "tokens": {
        "embedding": lambda: nn.Embedding(TOKENS, WIDTH),
        "padded": lambda: nn.Embedding(TOKENS, WIDTH, padding_idx=0),
        "padded from the end": lambda: nn.Embedding(TOKENS, WIDTH, padding_idx=-1),
        "by keyword": lambda: Keyword(nn.Embedding(TOKENS, WIDTH, padding_idx=0)),
        "sparse": lambda: nn.Embedding(TOKENS, WIDTH, sparse=True),
        "with positions": WithPositions,
        "looked up": lambda: LookedUp(None),
        "looked up, padded": lambda: LookedUp(0),
        "weight norm": lambda: parametrizations.weight_norm(nn.Embedding(TOKENS, WIDTH)),
        "indexed": lambda: Bare(lambda X, W: W[X], (TOKENS, WIDTH)),
        "one hot": lambda: Bare(lambda X, W: F.one_hot(X, TOKENS).to(W.dtype) @ W, (TOKENS, WIDTH)),
    },
    "bags": {
        "mean": lambda: nn.EmbeddingBag(TOKENS, WIDTH),
        "mean, padded": lambda: nn.EmbeddingBag(TOKENS, WIDTH, padding_idx=0),
        "sum": lambda: nn.EmbeddingBag(TOKENS, WIDTH, mode="sum", padding_idx=3),
        "most": lambda: nn.EmbeddingBag(TOKENS, WIDTH, mode="max", padding_idx=0),
        "mean by keyword": lambda: Keyword(nn.EmbeddingBag(TOKENS, WIDTH)),
    },
    "images": {
        "conv": lambda: nn.Conv2d(CHANNELS, WIDTH, 3, padding=1),
        "patches": lambda: nn.Sequential(
            nn.Conv2d(CHANNELS, WIDTH, 2, stride=2), nn.Upsample(SIDE)
        ),
    },
}
POOLS = {
    "table": {"none": lambda X: X},
    "series": {
        "mean": lambda X: X.mean(1),
        "last": lambda X: X[:, -1],
        "most": lambda X: X.amax(1),
        "sum of logs": lambda X: X.logsumexp(1),
        "steps": lambda X: X,
    },
    "images": {"mean": lambda X: X.mean((2, 3)), "most": lambda X: X.flatten(2).amax(2)},
}
POOLS["tokens"], POOLS["bags"] = POOLS["series"], POOLS["table"]
