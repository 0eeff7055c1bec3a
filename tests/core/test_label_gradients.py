"""Products with gradients under every label equal those of single-row autograd."""

import copy

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from zoo import initialized

from skinfluence._core import influence
from skinfluence._core.influence import label_scores
from skinfluence._core.label_gradients import LabelGradients
from skinfluence._core.net import FunctionalNet

F = nn.functional
K, N, WIDTH = 40, 7, 5


class Focal(nn.Module):
    """Focal loss: (1 - p_c)² times the cross-entropy."""

    reduction = "none"

    def forward(self, f, y):
        loss = F.cross_entropy(f, y, reduction="none")
        return (1 - (-loss).exp()) ** 2 * loss


class OneAgainstAll(nn.Module):
    reduction = "none"

    def forward(self, f, y):
        target = F.one_hot(y, f.shape[1]).to(f)
        return F.binary_cross_entropy_with_logits(f, target, reduction="none").sum(1)


class Neighbors(nn.Module):
    """Classes in a ring: half of the probability belongs to the next class."""

    reduction = "none"

    def forward(self, f, y):
        both = [F.cross_entropy(f, z, reduction="none") for z in (y, (y + 1) % f.shape[1])]
        return sum(both) / 2


def weights(n=K):
    return torch.linspace(0, 3, n, dtype=torch.float64)  # a weight of 0 for the first class


# Name -> criterion and whether its gradients have the compact form.
LOSSES = {
    "cross-entropy": (nn.CrossEntropyLoss, {}, True),
    "smoothed": (nn.CrossEntropyLoss, {"criterion__label_smoothing": 0.1}, True),
    "weighted": (nn.CrossEntropyLoss, {"criterion__weight": weights().flip(0)}, True),
    "first weight 0": (nn.CrossEntropyLoss, {"criterion__weight": weights()}, False),
    "weighted and smoothed": (
        nn.CrossEntropyLoss,
        {"criterion__weight": weights().flip(0), "criterion__label_smoothing": 0.1},
        False,
    ),
    "ignored label": (nn.CrossEntropyLoss, {"criterion__ignore_index": 3}, True),
    "focal": (Focal, {}, True),
    "one against all": (OneAgainstAll, {}, True),
    "hinge": (nn.MultiMarginLoss, {}, False),
    "neighbors": (Neighbors, {}, False),
}


def case(name="cross-entropy", scale=1.0, dtype=torch.float64, k=K):
    criterion, params, has_form = LOSSES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(6, k)).to(dtype)
        with torch.no_grad():
            module[2].weight *= scale
        U = {name: torch.randn(k, *p.shape, dtype=dtype) for name, p in module.named_parameters()}
    classes = list(range(k))
    net = initialized(module, NeuralNetClassifier, criterion=criterion, classes=classes, **params)
    return FunctionalNet(net), U, np.random.RandomState(0).randn(N, WIDTH), has_form


def by_autograd(fnet, U, X, labels):
    """<g_i, u> of each row, label and direction by a loop, (n, n_labels, d)."""
    net, criterion = fnet._net, copy.deepcopy(fnet._net.criterion_)
    if isinstance(criterion, nn.modules.loss._Loss):
        criterion.reduction = "sum"  # a mean with class weights divides by the weight of the row
    parameters = list(net.module_.parameters())
    rows = torch.as_tensor(X, dtype=parameters[0].dtype)
    found = []
    for x in rows:
        for label in labels:
            loss = criterion(net.module_(x[None]), torch.tensor([label])).sum()
            g = torch.autograd.grad(loss, parameters)
            each = [(u * v).flatten(1).sum(1) for u, v in zip(U.values(), g, strict=True)]
            found.append(sum(each))
    return torch.stack(found).reshape(len(X), len(labels), -1).double().numpy()


@pytest.mark.parametrize("scale", [1, 100], ids=["unsure", "confident"])
@pytest.mark.parametrize("name", LOSSES)
def test_products_equal_autograd_for_every_loss(name, scale):
    fnet, U, X, _ = case(name, scale)
    got = label_scores(fnet, U, X, np.arange(K))
    want = by_autograd(fnet, U, X, range(K)).min(2)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11 * np.abs(want).max())


@pytest.mark.parametrize("name", LOSSES)
def test_the_form_is_found_exactly_where_it_holds(name):
    fnet, _, X, has_form = case(name)
    Xb = next(fnet.batches(X))[0]
    f = fnet.outputs(fnet.params, Xb)
    found = LabelGradients(fnet, Xb, f.detach(), torch.arange(K), K)._form
    assert (found is not None) == has_form


@pytest.mark.parametrize("labels", [[7, 3, 39], [39], [5, 5, 0]], ids=str)
def test_any_labels_in_any_order_are_scored(labels):
    fnet, U, X, _ = case()
    got = label_scores(fnet, U, X, np.array(labels))
    want = by_autograd(fnet, U, X, labels).min(2)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_directions_in_pieces_give_the_same_scores(monkeypatch):
    for name in ("cross-entropy", "neighbors"):
        fnet, U, X, _ = case(name)
        whole = label_scores(fnet, U, X, np.arange(K))
        monkeypatch.setattr(influence, "_TANGENT_BYTES", {"cpu": 1})
        pieces = label_scores(fnet, U, X, np.arange(K))
        monkeypatch.undo()
        np.testing.assert_allclose(pieces, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("normalize", [False, True])
def test_many_classes_in_float32_agree_with_float64(normalize):
    (fnet, U, X, _), (exact, *_) = (case(dtype=t) for t in (torch.float32, torch.float64))
    V = {name: u.double() for name, u in U.items()}
    for p, q in zip(exact.module.parameters(), fnet.module.parameters(), strict=True):
        p.data.copy_(q.data)
    X = X.astype("float32")
    got, want = (
        label_scores(f, u, X, np.arange(K), normalize=normalize) for f, u in ((fnet, U), (exact, V))
    )
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_the_work_grows_with_the_square_of_the_number_of_classes():
    """Count the numbers in all tensors that are computed."""
    fnet, U, X, _ = case(k=300)
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and not out._is_view():
                sizes.append(out.numel())
            return out

    with Watch():
        label_scores(fnet, U, X, np.arange(300))
    assert sum(sizes) < 100 * N * 300**2
