"""Scores of nets of many kinds, with padding and in half precision, equal those of a loop."""

import copy
import gc
import warnings
import weakref

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional as F
from zoo import Tied as SharedHead
from zoo import initialized, rows_for

from skinfluence import InfluenceScorer
from skinfluence._core import gradients
from skinfluence._core.directions import Objective, directions
from skinfluence._core.ghost import Ghost
from skinfluence._core.gradients import ggnvp, hvp
from skinfluence._core.net import FunctionalNet
from skinfluence.curvature import EKFAC, DataInf
from skinfluence.methods import SelfInfluence
from skinfluence.pairwise import influence_matrix
from skinfluence.targets import Utility

# Packed sequences have no rule for forward mode, and torch warns about vmap too.
pytestmark = [
    pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
]


class Reader(nn.Module):
    """Embeds tokens (0 is padding), runs `body`, and applies a head to the mean of real tokens."""

    def __init__(self, **embedding):
        super().__init__()
        self.embed = nn.Embedding(13, 6, **embedding)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens):
        padding = tokens == 0
        return self.head(mean_of_real(self.body(self.embed(tokens), padding), padding))


def mean_of_real(h, padding):
    return h.masked_fill(padding.unsqueeze(2), 0).sum(1) / (~padding).sum(1, keepdim=True)


class Attention(Reader):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def body(self, h, padding):
        return h + self.attention(h, h, h, key_padding_mask=padding)[0]


class Encoder(Reader):
    def __init__(self, n_layers=2, nested=False, **layer):
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True, **layer)
        self.layers = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=nested)

    def body(self, h, padding):
        return self.layers(h, src_key_padding_mask=padding)


class DotProduct(Reader):
    def __init__(self, causal=False):
        super().__init__()
        self.causal, self.qkv = causal, nn.Linear(6, 18)

    def body(self, h, padding):
        q, k, v = self.qkv(h).reshape(*h.shape[:2], 3, 2, 3).permute(2, 0, 3, 1, 4)
        mask = None if self.causal else ~padding[:, None, None]
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)
        return h + seen.transpose(1, 2).flatten(2)


class Recurrent(Reader):
    def __init__(self, kind, packed=False):
        super().__init__()
        self.packed = packed
        self.layer = kind(6, 3, num_layers=2, bidirectional=True, batch_first=True)

    def body(self, h, padding):
        if not self.packed:
            return self.layer(h)[0]
        lengths = (~padding).sum(1).cpu()
        h = nn.utils.rnn.pack_padded_sequence(h, lengths, batch_first=True, enforce_sorted=False)
        whole = {"batch_first": True, "total_length": padding.shape[1]}
        return nn.utils.rnn.pad_packed_sequence(self.layer(h)[0], **whole)[0]


class Convolution(Reader):
    """Each kind of normalization after a convolution over the sequence."""

    def __init__(self):
        super().__init__(padding_idx=0)
        self.conv = nn.Conv1d(6, 6, 3, padding=1)
        self.batch, self.group, self.layer = nn.BatchNorm1d(6), nn.GroupNorm(2, 6), nn.LayerNorm(6)
        nn.init.uniform_(self.batch.running_mean, -0.5, 0.5)
        nn.init.uniform_(self.batch.running_var, 0.5, 2)

    def body(self, h, padding):
        h = torch.relu(self.batch(self.conv(h.transpose(1, 2))))
        return self.layer(self.group(h).transpose(1, 2))


class Bag(nn.Module):
    def __init__(self, mode, weighted=False, **bag):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(13, 6, mode=mode, **bag), nn.Linear(6, 3)
        self.weight = nn.Parameter(torch.rand(13)) if weighted else None

    def forward(self, tokens):
        weights = None if self.weight is None else self.weight[tokens]
        return self.head(torch.tanh(self.bag(tokens, per_sample_weights=weights)))


class Tied(nn.Module):
    """Embedding and head share a weight, whose padding row has a gradient from the head only."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(13, 6, padding_idx=0), nn.Linear(6, 6)
        self.head = nn.Linear(6, 13, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(mean_of_real(torch.tanh(self.mix(self.embed(tokens))), tokens == 0))


class Adapter(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 6)
        self.down, self.up = nn.Linear(6, 2, bias=False), nn.Linear(2, 6, bias=False)

    def forward(self, h):
        return self.body(h) + self.up(self.down(h))


class Adapted(Reader):
    def __init__(self, frozen=True):
        super().__init__()
        self.first, self.second = Adapter(), Adapter()
        for name, p in self.named_parameters():
            p.requires_grad_(not frozen or ".down." in name or ".up." in name)

    def body(self, h, padding):
        return self.second(torch.tanh(self.first(h)))


class TwoInputs(Reader):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(6 + 2, 6)

    def forward(self, tokens, numbers):
        padding = tokens == 0
        h = torch.cat([mean_of_real(self.embed(tokens), padding), numbers], 1)
        return self.head(torch.tanh(self.mix(h)))


# Nets that mask their padding, so that more padding changes nothing.
MASKED = {
    "attention": Attention,
    "encoder": Encoder,
    "encoder, norm first": lambda: Encoder(1, norm_first=True, activation="gelu"),
    "encoder, nested": lambda: Encoder(nested=True),
    "dot product": DotProduct,
    "dot product, causal": lambda: DotProduct(causal=True),
    "packed lstm": lambda: Recurrent(nn.LSTM, packed=True),
    "packed gru": lambda: Recurrent(nn.GRU, packed=True),
    "bag, mean": lambda: Bag("mean", padding_idx=0),
    "bag, sum": lambda: Bag("sum", padding_idx=0),
    "bag, max": lambda: Bag("max", padding_idx=0),
    "tied": Tied,
    "adapted": Adapted,
    "two inputs": TwoInputs,
}
MODULES = MASKED | {
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "convolution": Convolution,
    "bag without padding": lambda: Bag("mean"),
    "bag, weighted": lambda: Bag("sum", weighted=True),
}
LABELS = np.arange(9) % 3

each_net = pytest.mark.parametrize("name", MODULES)


def rows_of(name, more_padding=0):
    """Nine sequences of two to six tokens."""
    rng = np.random.RandomState(0)
    tokens, lengths = rng.randint(1, 13, (9, 6)), rng.randint(2, 7, 9)
    tokens[np.arange(6) >= lengths[:, None]] = 0
    X = {"tokens": np.pad(tokens, ((0, 0), (0, more_padding)))}
    return X | {"numbers": rng.randn(9, 2)} if name == "two inputs" else X


def net_of(name, batch_size=4, dtype=torch.float64, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = MODULES[name](**options) if options else MODULES[name]()
    return as_net(module.to(dtype), batch_size)


def as_net(module, batch_size=4):
    """An initialized net in train mode."""
    net = NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        iterator_valid__batch_size=batch_size,
        classes=[0, 1, 2],
    ).initialize()
    net.module_.train()
    return net


def fitted(net, X, **options):
    """A scorer of the net as it is; the last four rows are the reference."""
    reference = {key: value[5:] for key, value in X.items()}
    scorer = InfluenceScorer(FrozenEstimator(net), **options)
    return scorer.fit(X, LABELS, X_val=reference, y_val=LABELS[5:])


def loop_gradients(net, X):
    """Row gradients (n, p), by one backward pass per row on a copy of the module."""
    module = copy.deepcopy(net.module_).eval()
    parameters = [p for p in module.parameters() if p.requires_grad]
    rows = []
    for i, label in enumerate(LABELS):
        row = {key: torch.as_tensor(value[i : i + 1]) for key, value in X.items()}
        loss = F.cross_entropy(module(**row), torch.tensor([label]))
        grads = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(rows).numpy()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def assert_close(got, want):
    # float64: the same terms, summed in another order
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())


# Against a loop -------------------------------------------------------------------------------


@each_net
@pytest.mark.parametrize("normalize", [None, "rows", "reference", "both"])
def test_scores_and_pairs_are_inner_products_of_the_loop(name, normalize):
    net, X = net_of(name), rows_of(name)
    scorer = fitted(net, X, normalize=normalize)
    rows = loop_gradients(net, X)
    reference = rows[5:]
    if normalize in ("rows", "both"):
        rows = unit(rows)
    if normalize in ("reference", "both"):
        reference = unit(reference)
    assert_close(scorer.scores_, rows @ reference.mean(0))
    assert_close(influence_matrix(scorer, X, LABELS), rows @ reference.T)


@each_net
def test_self_influences_are_the_squared_norms_of_the_loop(name):
    net, X = net_of(name), rows_of(name)
    scores = InfluenceScorer(FrozenEstimator(net), method=SelfInfluence()).fit(X, LABELS).scores_
    assert_close(scores, -(loop_gradients(net, X) ** 2).sum(1))


@each_net
@pytest.mark.parametrize("normalize", [None, "both"])
def test_a_score_does_not_depend_on_the_batch_of_its_row(name, normalize):
    X = rows_of(name)
    want = fitted(net_of(name, batch_size=9), X, normalize=normalize)
    order = np.random.RandomState(1).permutation(9)
    shuffled = {key: value[order] for key, value in X.items()}
    for batch_size in (1, 2):
        scorer = fitted(net_of(name, batch_size), X, normalize=normalize)
        assert_close(scorer.scores_, want.scores_)
        assert_close(scorer.score_samples(shuffled, LABELS[order]), want.scores_[order])


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("normalize", [None, "both"])
def test_a_score_does_not_depend_on_the_padding_of_its_row(name, normalize):
    X, padded = rows_of(name), rows_of(name, more_padding=5)
    scorer = fitted(net_of(name), X, normalize=normalize)
    assert_close(scorer.score_samples(padded, LABELS), scorer.scores_)
    assert_close(fitted(net_of(name), padded, normalize=normalize).scores_, scorer.scores_)
    alone = {"tokens": padded["tokens"][:1, : (padded["tokens"][0] > 0).sum()]}
    alone = {key: value[:1] for key, value in padded.items()} | alone
    assert_close(scorer.score_samples(alone, LABELS[:1]), scorer.scores_[:1])


def test_adapters_score_the_same_whether_the_rest_is_frozen_or_not_selected():
    X, frozen, free = rows_of("adapted"), net_of("adapted"), net_of("adapted", frozen=False)
    assert all(p.requires_grad for p in free.module_.parameters())
    want = loop_gradients(frozen, X)
    for net, parameters in ((frozen, "*"), (free, ["*.down.*", "*.up.*"])):
        for options in ({}, {"normalize": "both"}, {"method": SelfInfluence()}):
            got = fitted(net, X, parameters=parameters, **options).scores_
            rows = unit(want) if "normalize" in options else want
            assert_close(got, -(rows**2).sum(1) if "method" in options else rows @ rows[5:].mean(0))


@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_a_bag_with_only_padding_has_no_gradient(mode):
    X = rows_of("bag")
    X["tokens"][3] = 0
    net = as_net(Bag(mode, padding_idx=0).double())
    rows = loop_gradients(net, X)
    assert not rows[3, : 13 * 6].any()
    assert_close(fitted(net, X).scores_, rows @ rows[5:].mean(0))


@pytest.mark.parametrize(("mode", "by_vmap"), [("mean", 0), ("sum", 0), ("max", 1)])
def test_bags_have_a_rule_unless_they_take_the_maximum(mode, by_vmap):
    fnet = FunctionalNet(as_net(Bag(mode, padding_idx=0).double()))
    Xb, _ = next(fnet.batches(rows_of("bag"), LABELS))
    assert len(Ghost(fnet, Xb).by_vmap) == by_vmap


# Without a rule for forward mode --------------------------------------------------------------


def warned_by(function):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function()
    return [w for w in found if "no forward-mode derivative" in str(w.message)]


@pytest.mark.parametrize("options", [{}, {"normalize": "both"}, {"classwise": True}], ids=str)
def test_the_fallback_is_chosen_once_and_warns_once(options, monkeypatch):
    tried = []
    forward_mode = gradients._forward_mode_one_by_one

    def counted(*arguments):
        tried.append(arguments)
        return forward_mode(*arguments)

    monkeypatch.setattr(gradients, "_forward_mode_one_by_one", counted)
    X = rows_of("packed gru")
    scorer = InfluenceScorer(FrozenEstimator(net_of("packed gru", batch_size=1)), **options)
    reference = {"X_val": X, "y_val": LABELS}
    assert len(warned_by(lambda: scorer.fit(X, LABELS, **reference))) == 1
    assert len(tried) == 1
    assert not warned_by(lambda: scorer.score_samples(X, LABELS))
    assert not warned_by(lambda: scorer.transform(X))
    assert len(tried) == 1
    other = InfluenceScorer(FrozenEstimator(net_of("packed gru", batch_size=1)), **options)
    assert len(warned_by(lambda: other.fit(X, LABELS, **reference))) == 1


def test_a_fallback_for_some_parameters_is_not_used_for_others():
    X, net = rows_of("packed gru"), net_of("packed gru")
    assert warned_by(lambda: fitted(net, X))
    assert not warned_by(lambda: fitted(net, X, parameters="head.*"))


def test_the_known_fallbacks_do_not_keep_a_module_alive():
    net = net_of("packed gru")
    fitted(net, rows_of("packed gru"))
    assert net.module_ in gradients._ENGINES
    module = weakref.ref(net.module_)
    del net
    gc.collect()
    assert module() is None


# Half precision -------------------------------------------------------------------------------

HALF = [torch.bfloat16, torch.float16]
EPS = {dtype: torch.finfo(dtype).eps for dtype in HALF}

each_half = pytest.mark.parametrize("dtype", HALF, ids=str)


@pytest.fixture(scope="module")
def trained():
    """A small net fitted to 600 rows, with weights that bfloat16 represents exactly; X and y."""
    rng = np.random.RandomState(0)
    y = rng.randint(0, 3, 600)
    X = (rng.randn(3, 10)[y] + 1.2 * rng.randn(600, 10)).astype(np.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(10, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 3))
        optimizer = torch.optim.Adam(module.parameters(), 0.01)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(module(torch.as_tensor(X)), torch.as_tensor(y)).backward()
            optimizer.step()
    return module.to(torch.bfloat16).float(), X, y


def net_in(dtype, trained, batch_size=128):
    return as_net(copy.deepcopy(trained[0]).to(dtype), batch_size)


def scores_in(dtype, trained, batch_size=128, **options):
    _, X, y = trained
    scorer = InfluenceScorer(FrozenEstimator(net_in(dtype, trained, batch_size)), **options)
    return scorer.fit(X, y, X_val=X[::2], y_val=y[::2]).scores_


SCORES = {
    "inner product": {},
    "rows": {"normalize": "rows"},
    "reference": {"normalize": "reference"},
    "both": {"normalize": "both"},
    "self": {"method": SelfInfluence()},
}
# Measured: .9999 or more for each, in both.
AGREEMENT = dict.fromkeys(SCORES, 0.999)


@each_half
@pytest.mark.parametrize("kind", SCORES)
def test_scores_in_half_precision_rank_like_those_in_single(kind, dtype, trained):
    half, single = (scores_in(d, trained, **SCORES[kind]) for d in (dtype, torch.float32))
    assert spearmanr(half, single).statistic > AGREEMENT[kind]


@each_half
@pytest.mark.parametrize("curvature", [EKFAC(), DataInf()], ids=repr)
def test_curvatures_in_half_precision_rank_like_those_in_single(curvature, dtype, trained):
    options = {"curvature": curvature, "random_state": 0}
    half, single = (scores_in(d, trained, **options) for d in (dtype, torch.float32))
    assert half.dtype == np.float64
    assert spearmanr(half, single).statistic > 0.99


@each_half
@pytest.mark.parametrize("kind", SCORES)
def test_scores_in_half_precision_do_not_depend_on_the_batch(kind, dtype, trained):
    options = SCORES[kind]
    want = scores_in(dtype, trained, 128, **options)
    for batch_size in (1, 7, 600):
        got = scores_in(dtype, trained, batch_size, **options)
        # at another batch size, kernels round differently: a layer's outputs by a unit or two
        assert np.abs(got - want).max() <= 4 * EPS[dtype] * np.abs(want).max()


def flat(u, start=0):
    return torch.cat([v.float().flatten(start) for v in u.values()], start)


def relative_error(got, want):
    return float((flat(got) - flat(want)).norm() / flat(want).norm())


def summed(fnet, X, y, kind):
    """A sum over rows: a direction, or a product with the Hessian or Gauss-Newton matrix."""
    if kind == "direction":
        return directions(fnet, Objective(Utility(), X, y, True))
    # Not a constant: the loss has no curvature along a shift of all logits.
    u = {name: torch.arange(p.numel()).reshape(p.shape).to(p) for name, p in fnet.params.items()}
    return {"hvp": hvp, "ggnvp": ggnvp}[kind](fnet, fnet.batches(X, y), u)


@each_half
@pytest.mark.parametrize("kind", ["direction", "hvp", "ggnvp"])
def test_sums_over_rows_are_not_computed_in_half_precision(kind, dtype):
    # In bfloat16, a running sum of equal rows stops growing at 256 times one row.
    net = as_net(nn.Linear(5, 3, bias=False))
    nn.init.zeros_(net.module_.weight)
    half = as_net(nn.Linear(5, 3, bias=False).to(dtype), batch_size=1)
    nn.init.zeros_(half.module_.weight)
    X, y = np.tile(np.float32([[1, 2, 3, -1, 0.5]]), (2000, 1)), np.zeros(2000, dtype=int)
    got, want = (summed(FunctionalNet(n), X, y, kind) for n in (half, net))
    assert {v.dtype for v in got.values()} == {dtype}
    assert relative_error(got, want) <= 2 * EPS[dtype]  # one rounding of each row, one of the sum


@each_half
def test_half_precision_does_not_hide_a_layer_whose_rule_is_wrong(dtype):
    X, _ = rows_for("tied")
    fnet = FunctionalNet(initialized(SharedHead(), dtype=dtype))
    assert set(Ghost(fnet, torch.as_tensor(X)).by_vmap) == {"embed.weight"}


@each_half
def test_half_precision_trusts_correct_rules(dtype, trained):
    fnet = FunctionalNet(net_in(dtype, trained))
    assert not Ghost(fnet, torch.as_tensor(trained[1][:4]).to(dtype)).by_vmap


def test_norms_too_small_for_float16_are_not_0(trained):
    X = trained[1]
    norms = []
    for dtype in (torch.float16, torch.float32):
        fnet = FunctionalNet(net_in(dtype, trained))
        Xb = torch.as_tensor(X[:64]).to(dtype)
        G = torch.full((64, 3), 1e-5, dtype=dtype)
        norms.append(Ghost(fnet, Xb).square_norms(Xb, G).double())
    assert (norms[0] > 0).all()
    torch.testing.assert_close(*norms, rtol=0.1, atol=0)  # 1e-5 has two digits in float16


class Autocast(nn.Module):
    """A module with parameters in single precision that computes under bfloat16 autocast."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, X):
        with torch.autocast(X.device.type, torch.bfloat16):
            return self.module(X)


@pytest.mark.parametrize("where", ["in forward", "around fit"])
@pytest.mark.parametrize("kind", SCORES)
def test_autocast_keeps_the_ranks(kind, where, trained):
    module, X, y = trained
    single = scores_in(torch.float32, trained, **SCORES[kind])
    inside = where == "in forward"
    net = as_net(Autocast(copy.deepcopy(module)) if inside else module, 128)
    scorer = InfluenceScorer(FrozenEstimator(net), **SCORES[kind])
    with torch.autocast("cpu", torch.bfloat16, enabled=not inside):
        mixed = scorer.fit(X, y, X_val=X[::2], y_val=y[::2]).scores_
    assert not np.array_equal(mixed, single)
    assert spearmanr(mixed, single).statistic > AGREEMENT[kind]


class Copied(torch.autograd.Function):
    """The identity, without a rule for forward mode."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g.clone()


class CopiedUnderAutocast(nn.Linear):
    def forward(self, X):
        f = super().forward(X)
        return Copied.apply(f) if torch.is_autocast_enabled("cpu") else f


def test_a_fallback_under_autocast_is_not_used_without_it(monkeypatch):
    """On some CPUs, convolutions in bfloat16 are such a case."""
    torch.manual_seed(0)
    module = CopiedUnderAutocast(4, 3)
    X, y = torch.randn(20, 4).numpy(), np.arange(20) % 3
    scorer = InfluenceScorer(FrozenEstimator(as_net(module, 20)))
    used = []
    double_backward = gradients._double_backward
    monkeypatch.setattr(
        gradients, "_double_backward", lambda *args: used.append(1) or double_backward(*args)
    )
    with torch.autocast("cpu", torch.bfloat16):
        scorer.fit(X, y, X_val=X, y_val=y)
    assert used
    used.clear()
    scorer.fit(X, y, X_val=X, y_val=y)
    assert not used


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_nets_of_accelerate_are_scored(precision, trained):
    accelerate = pytest.importorskip("accelerate")
    hf = pytest.importorskip("skorch.hf")

    class Accelerated(hf.AccelerateMixin, NeuralNetClassifier):
        pass

    module, X, y = trained
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision=precision)
    options = {"criterion": nn.CrossEntropyLoss, "train_split": None, "max_epochs": 1, "lr": 1e-30}
    nets = (
        Accelerated(copy.deepcopy(module), accelerator=accelerator, device=None, **options),
        NeuralNetClassifier(copy.deepcopy(module), verbose=0, **options),
    )
    ours, plain = (
        InfluenceScorer(n, random_state=0).fit(X, y, X_val=X[::2], y_val=y[::2]) for n in nets
    )
    assert spearmanr(ours.scores_, plain.scores_).statistic > 0.999
    np.testing.assert_allclose(
        ours.score_samples(X, y), ours.scores_, rtol=1e-5, atol=1e-5 * np.abs(ours.scores_).max()
    )
