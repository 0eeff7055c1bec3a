"""Layers of which random modules are made; every hidden layer has the same width."""

import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 4  # of every hidden layer, so that any layer may follow any other
STEPS, TOKENS, COLUMNS, CHANNELS, SIDE = 3, 7, 5, 2, 4


class Channels(nn.Module):
    """A layer for channels on the second axis, applied to a sequence."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, X):
        return self.layer(X.transpose(1, 2)).transpose(1, 2)


class Last(nn.Module):
    """A layer for channels on the last axis, applied to an image."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, X):
        return self.layer(X.movedim(1, -1)).movedim(-1, 1)


class Residual(nn.Module):
    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, X):
        return X + self.inside(X)


class InPlaceResidual(Residual):
    def forward(self, X):
        h = self.inside(X).clone()
        h += X
        return h


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, X):
        return self.function(X)


class Bare(nn.Module):
    """Parameters without a layer."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.values = nn.ParameterList(nn.Parameter(torch.randn(shape)) for shape in shapes)

    def forward(self, X):
        return self.function(X, *self.values)


class Keyword(nn.Module):
    """A layer that is called by keyword."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, X):
        return self.layer(input=X)


class FirstOf(nn.Module):
    """The first output of a layer that returns several."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, X):
        return self.layer(X)[0]


class Attention(nn.Module):
    def __init__(self, need_weights):
        super().__init__()
        self.layer = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.need_weights = need_weights

    def forward(self, X):
        return self.layer(X, X, value=X, need_weights=self.need_weights)[0]


class DotProduct(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, X):
        q, k, v = self.qkv(X).reshape(*X.shape[:2], 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return seen.transpose(1, 2).flatten(2)


class Adapter(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
        self.down, self.up = nn.Linear(WIDTH, 2, bias=False), nn.Linear(2, WIDTH, bias=False)

    def forward(self, X):
        return self.body(X) + self.up(self.down(X))


class WeightUsedTwice(nn.Linear):
    """Calls F.linear by itself, and uses its weight once more."""

    def __init__(self):
        super().__init__(WIDTH, WIDTH)

    def forward(self, X):
        return F.linear(F.linear(X, self.weight, self.bias).tanh(), self.weight.T)


class Bilinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Bilinear(WIDTH, WIDTH, WIDTH)

    def forward(self, X):
        return self.layer(X, X.tanh())


class Checkpointed(nn.Module):
    """Computes its hidden values again in the backward pass."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, X):
        return torch.utils.checkpoint.checkpoint(self.layer, X, use_reentrant=False)


class RareLinear(nn.Linear):
    """Treats rare rows in another way."""

    def forward(self, X):
        return torch.where(X > 1.5, X, super().forward(X))


class Clipped(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("limit", torch.tensor(0.8))
        self.layer = linear()

    def forward(self, X):
        return self.layer(X).clamp(-self.limit, self.limit)


class Cubed(torch.autograd.Function):
    """Has no rule for forward mode, and none for vmap."""

    @staticmethod
    def forward(ctx, X):
        ctx.save_for_backward(X)
        return 0.1 * X**3

    @staticmethod
    def backward(ctx, grad):
        (X,) = ctx.saved_tensors
        return 0.3 * X**2 * grad


def hooked():
    layer = linear()
    layer.register_forward_hook(lambda _, inputs, f: f * (1 + (inputs[0] > 1)))
    layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].tanh(),))
    return layer


def linear(**options):
    return nn.Linear(WIDTH, WIDTH, **options)


class WithPositions(nn.Embedding):
    """Adds positions to the lookup, also where the token is padding."""

    def __init__(self):
        super().__init__(TOKENS, WIDTH, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(STEPS, WIDTH))

    def forward(self, X):
        return super().forward(X) + self.positions


class LookedUp(nn.Module):
    """Looks its rows up without a layer."""

    def __init__(self, padding_idx):
        super().__init__()
        self.weight, self.padding_idx = nn.Parameter(torch.randn(TOKENS, WIDTH)), padding_idx

    def forward(self, X):
        return F.embedding(X, self.weight, self.padding_idx)
