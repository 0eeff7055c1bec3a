"""The loss of a row is what the net's own get_loss returns for that row alone."""

import warnings

import numpy as np
import pytest
import torch
from core_cases import losses_of
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn
from torch.utils.data import Dataset
from zoo import initialized

from skinfluence._core.gradients import forward
from skinfluence._core.influence import row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import check_gradients

F = nn.functional
PAD = 0


class Tokens(nn.Module):
    """Logits of each token, with classes on the second axis as cross-entropy wants them."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 5)

    def forward(self, X):
        return self.head(self.embed(X)).transpose(1, 2)


class TokensLast(Tokens):
    """The same with classes last."""

    def forward(self, X):
        return super().forward(X).transpose(1, 2)


class Transposes(NeuralNet):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return super().get_loss(y_pred.transpose(1, 2), y_true, *args, **kwargs)


class MeanOfRealTokens(nn.Module):
    """The mean over the real tokens of a row, then over rows; per token without a reduction."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, y_pred, y_true):
        losses = F.cross_entropy(y_pred, y_true, reduction="none", ignore_index=PAD)
        if self.reduction == "none":
            return losses
        losses = losses.sum(1) / (y_true != PAD).sum(1)
        return losses.mean() if self.reduction == "mean" else losses.sum()


class TokensOfBatch(nn.Module):
    def forward(self, y_pred, y_true):
        losses = F.cross_entropy(y_pred, y_true, reduction="none", ignore_index=PAD)
        return losses.sum() / (y_true != PAD).sum()


class OnlyRealTokens(nn.Module):
    """Selects the real tokens, which vmap cannot do."""

    def forward(self, y_pred, y_true):
        rows = [
            F.cross_entropy(f.T[t != PAD], t[t != PAD])
            for f, t in zip(y_pred, y_true, strict=False)
        ]
        return torch.stack(rows).mean()


class TaskWeights(nn.Module):
    """Weights of tasks in the mean only."""

    reduction = "mean"

    def forward(self, y_pred, y_true):
        losses = (y_pred - y_true) ** 2
        if self.reduction == "none":
            return losses
        return (losses * torch.tensor([1.0, 10.0, 0.1], dtype=losses.dtype)).mean()


class WeightedTerms(nn.CrossEntropyLoss):
    """A subclass of a torch criterion that scales its mean by the label."""

    def forward(self, y_pred, y_true):
        losses = F.cross_entropy(y_pred, y_true, reduction="none")
        return losses if self.reduction == "none" else ((1 + y_true) * losses).mean()


class WritesInPlace(nn.Module):
    """Changes the outputs and the labels in place."""

    def forward(self, y_pred, y_true):
        y_true[y_true == 2] = 0
        return F.cross_entropy(y_pred.clamp_(-0.5, 0.5), y_true)


class Ctc(NeuralNet):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        steps = torch.full((len(y_pred),), y_pred.shape[1])
        logs = y_pred.log_softmax(2).transpose(0, 1)
        return self.criterion_(logs, y_true, steps, (y_true != 0).sum(1))


def texts(n=20, seed=0):
    """Token ids of random lengths, padded at the end."""
    rng = np.random.RandomState(seed)
    X, y = rng.randint(1, 9, (n, 6)), rng.randint(1, 5, (n, 6))
    for i, length in enumerate(rng.randint(1, 6, n)):
        X[i, length:] = y[i, length:] = PAD
    return X, y


def numbers(n=20, seed=0):
    rng = np.random.RandomState(seed)
    return rng.randn(n, 4), rng.randn(n, 3)


def labels(n=20, seed=0):
    return numbers(n, seed)[0], np.random.RandomState(seed).randint(0, 3, n)


def speech(n=20, seed=0):
    rng = np.random.RandomState(seed)
    X, y = rng.randn(n, 12, 6), rng.randint(1, 3, (n, 5))
    y[::2, 2:] = 0
    return X, y


def line():
    return nn.Linear(4, 3)


IGNORED = {"criterion": nn.CrossEntropyLoss, "criterion__ignore_index": PAD}
WEIGHTED = IGNORED | {"criterion__weight": torch.arange(1.0, 6.0, dtype=torch.float64)}
CASES = {
    "cross-entropy": (Tokens, NeuralNet, texts, IGNORED),
    "cross-entropy, sum": (Tokens, NeuralNet, texts, IGNORED | {"criterion__reduction": "sum"}),
    "cross-entropy, weights": (Tokens, NeuralNet, texts, WEIGHTED),
    "smoothing": (Tokens, NeuralNet, texts, WEIGHTED | {"criterion__label_smoothing": 0.1}),
    "own mean over tokens": (Tokens, NeuralNet, texts, {"criterion": MeanOfRealTokens}),
    "own sum over rows": (
        Tokens, NeuralNet, texts,
        {"criterion": MeanOfRealTokens, "criterion__reduction": "sum"},
    ),
    "without vmap": (Tokens, NeuralNet, texts, {"criterion": OnlyRealTokens}),
    "CTC": (lambda: nn.Linear(6, 3), Ctc, speech, {"criterion": nn.CTCLoss}),
    "CTC, sum": (
        lambda: nn.Linear(6, 3), Ctc, speech,
        {"criterion": nn.CTCLoss, "criterion__reduction": "sum"},
    ),
    "task weights": (line, NeuralNet, numbers, {"criterion": TaskWeights}),
    "in place": (line, NeuralNetClassifier, labels, {"criterion": WritesInPlace}),
    "subclass": (line, NeuralNetClassifier, labels, {"criterion": WeightedTerms}),
    "huber": (line, NeuralNet, numbers, {"criterion": nn.HuberLoss}),
    "Poisson": (line, NeuralNet, numbers, {"criterion": nn.PoissonNLLLoss}),
}  # fmt: skip
each_case = pytest.mark.parametrize("case", CASES)


def made(case, **more):
    module, net_class, rows, params = CASES[case]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = initialized(module(), net_class, **params, **more)
    return net, *rows()


def alone(net, X, y):
    """Loss and gradient of each row, by the net's own get_loss in a batch of that row."""
    losses, gradients = [], []
    for i in range(len(X)):
        Xi, yi = torch.tensor(X[i : i + 1]), torch.tensor(y[i : i + 1])
        loss = net.get_loss(net.module_(Xi), yi, X=Xi, training=False)
        grads = torch.autograd.grad(loss, list(net.module_.parameters()))
        losses.append(loss.item())
        gradients.append(torch.cat([g.flatten() for g in grads]).numpy())
    return np.array(losses), np.stack(gradients)


@each_case
def test_losses_are_those_of_the_rows_alone(case):
    net, X, y = made(case)
    np.testing.assert_allclose(losses_of(net, X, y), alone(net, X, y)[0], rtol=1e-10)


def test_a_criterion_that_writes_into_the_labels_does_not_change_the_users():
    net, X, y = made("in place")
    before = y.copy()
    losses_of(net, X, y)
    np.testing.assert_array_equal(y, before)


def test_a_loss_that_vmap_runs_in_a_loop_raises_no_warning_of_torch(recwarn):
    warnings.simplefilter("always")
    losses_of(*made("CTC"))
    assert not list(recwarn)


@pytest.mark.parametrize("batch_size", [1, 3, 128])
@each_case
@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
def test_scores_are_those_of_the_rows_alone_at_any_batch_size(case, batch_size):
    net, X, y = made(case, batch_size=batch_size)
    fnet = FunctionalNet(net)
    check_gradients(fnet, X, y)
    _, G = alone(net, X, y)
    u = torch.as_tensor(G.mean(0))
    parts = u.split([p.numel() for p in fnet.params.values()])
    named = zip(fnet.params.items(), parts, strict=True)
    U = {name: part.reshape(1, *p.shape) for (name, p), part in named}
    want = G @ G.mean(0)
    np.testing.assert_allclose(
        row_scores(fnet, U, X, y), want, rtol=0, atol=1e-10 * np.abs(want).max()
    )


class Ragged(Dataset):
    """Texts without padding."""

    def __len__(self):
        return 20

    def __getitem__(self, i):
        X, y = (torch.as_tensor(a[i]) for a in texts())
        return X[y != PAD], y[y != PAD]


def padded(rows):
    return tuple(
        nn.utils.rnn.pad_sequence(part, batch_first=True) for part in zip(*rows, strict=False)
    )


@pytest.mark.parametrize("batch_size", [1, 2, 7, 20])
def test_losses_do_not_depend_on_the_padding_of_the_batch(batch_size):
    net, X, y = made("cross-entropy", batch_size=batch_size, iterator_valid__collate_fn=padded)
    fnet = FunctionalNet(net)
    check_gradients(fnet, Ragged(), None)
    losses = [fnet.losses(forward(fnet, Xb), Xb, yb) for Xb, yb in fnet.batches(Ragged())]
    np.testing.assert_allclose(torch.cat(losses), alone(net, X, y)[0], rtol=1e-10)


def test_a_get_loss_that_transposes_has_the_losses_of_the_rows_alone():
    X, y = texts()
    y[:, 0] = np.maximum(y[:, 0], 1)
    net = initialized(TokensLast(), Transposes, **IGNORED)
    np.testing.assert_allclose(losses_of(net, X, y), alone(net, X, y)[0], rtol=1e-10)


def test_a_row_whose_tokens_are_all_ignored_has_no_loss():
    net, X, y = made("cross-entropy")
    y[3] = PAD
    assert losses_of(net, X, y)[3] == 0


@pytest.mark.parametrize(
    ("net_class", "module", "criterion"),
    [(NeuralNet, Tokens, TokensOfBatch), (Transposes, TokensLast, nn.CrossEntropyLoss)],
)
def test_a_mean_over_all_tokens_of_the_batch_is_refused(net_class, module, criterion):
    params = IGNORED if criterion is nn.CrossEntropyLoss else {"criterion": criterion}
    net = initialized(module(), net_class, **params)
    with pytest.raises(ValueError, match="neither the sum nor the mean of its rows' losses"):
        check_gradients(FunctionalNet(net), *texts())


def test_a_penalty_may_be_added_to_a_sum():
    class WithPenalty(NeuralNetClassifier):
        def get_loss(self, *args, **kwargs):
            penalty = sum(w.square().sum() for w in self.module_.parameters())
            return super().get_loss(*args, **kwargs) + penalty

    net = initialized(line(), WithPenalty, criterion__reduction="sum")
    check_gradients(FunctionalNet(net), *labels())
