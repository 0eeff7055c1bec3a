"""Scores of random nets under random losses are those of plain autograd, one row at a time.

The oracle calls a deep copy of the module on a batch of one row, and the net's own `get_loss` with
the original criterion and its reduction. No case may be refused, except those of the losses whose
plan names a reason.
"""

import copy
from fnmatch import fnmatchcase

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_layers import CHANNELS, COLUMNS, SIDE, STEPS, TOKENS
from random_losses import CLASSES, OF_CLASSES, OF_NUMBERS, OF_STEPS, LossPlan, labels_for
from random_modules import Plan, build, plans
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence.methods import Loss, SelfInfluence
from skinfluence.pairwise import influence_matrix

pytestmark = [
    pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning"),
]

SHAPES = {
    "table": (COLUMNS,),
    "series": (STEPS, COLUMNS),
    "tokens": (STEPS,),
    "bags": (STEPS,),
    "images": (CHANNELS, SIDE, SIDE),
}
# What is asked of the scorer, with the options of its constructor.
QUESTIONS = {
    "scores": {},
    "unit rows": {"normalize": "rows"},
    "unit reference": {"normalize": "reference"},
    "cosines": {"normalize": "both"},
    "classwise": {"classwise": True},
    "matrix": {},
    "matrix of unit rows": {"normalize": "rows"},
    "matrix of cosines": {"normalize": "both"},
    "self-influence": {"method": SelfInfluence()},
    "losses": {"method": Loss()},
    "labels": {},
    "labels, cosines": {"normalize": "both"},
    "labels, classwise": {"classwise": True},
    "labels, self-influence": {"method": SelfInfluence()},
}
NUMBERS_TOO = [q for q in QUESTIONS if "labels" not in q and q != "classwise"]


class Ends(nn.Module):
    """A module with a last step."""

    def __init__(self, module, last):
        super().__init__()
        self.module, self.last = module, last

    def forward(self, X):
        return self.last(self.module(X))


def net_of(plan: Plan, loss: LossPlan, batch_size):
    module = build(plan, loss.n_outputs)
    if loss.last is not None:
        module = Ends(module, loss.last)
    params = {f"criterion__{name}": value for name, value in loss.params.items()}
    params |= {"train_split": None, "verbose": 0, "iterator_valid__batch_size": batch_size}
    net = loss.net(module, criterion=loss.criterion, **params).initialize()
    if loss.n_outputs == 1 or isinstance(net, NeuralNetClassifier):
        net.classes = list(range(max(2, loss.n_outputs)))
    net.module_.train()
    return net


def rows_of(plan: Plan, n, rng):
    if plan.rows in ("tokens", "bags"):
        return rng.randint(0, TOKENS, (n, *SHAPES[plan.rows]))
    return rng.randn(n, *SHAPES[plan.rows])


class Loop:
    """Losses and gradients of single rows, by plain autograd on a copy of the module."""

    def __init__(self, net, loss: LossPlan, parameters):
        self.net, self.loss = net, loss
        self.module = copy.deepcopy(net.module_).eval()
        self.parameters = [
            p
            for name, p in self.module.named_parameters()
            if p.requires_grad and any(fnmatchcase(name, glob) for glob in parameters)
        ]
        self.ignored = getattr(net.criterion_, "ignore_index", None)

    def of_row(self, x, label):
        """Loss and flat gradient of a batch of one row."""
        x, y = torch.as_tensor(x)[None], torch.as_tensor(label)[None]
        f = self.module(x)
        if self.loss.labels == "two classes":
            y = y.double().reshape(f.shape)
        loss = self.net.get_loss(f, y, X=x, training=False).sum()
        if self.ignored is not None and not y.is_floating_point() and (y == self.ignored).all():
            loss = 0 * f.sum()  # torch divides 0 by 0
        elif self.loss.keeps_weight:
            loss = loss * self.net.criterion_.weight[y].sum()
        grads = torch.autograd.grad(
            loss, self.parameters, allow_unused=True, materialize_grads=True
        )
        return loss.item(), torch.cat([g.to_dense().flatten() for g in grads]).numpy()

    def of_rows(self, X, y):
        """Losses (n,) and gradients (n, p)."""
        losses, rows = zip(*(self.of_row(*row) for row in zip(X, y, strict=True)), strict=True)
        return np.array(losses), np.stack(rows)

    def answer(self, question, X, y, X_val, y_val):
        """What the scorer should answer, and the largest size that the answer could have."""
        if "labels" in question:
            of_one = question.removeprefix("labels").removeprefix(", ") or "scores"
            labels = [c for c in range(self.loss.n_outputs) if c != self.ignored]
            each = [self.answer(of_one, X, np.full(len(X), c), X_val, y_val) for c in labels]
            return np.stack([answer for answer, _ in each], 1), max(scale for _, scale in each)
        losses, rows = self.of_rows(X, y)
        if question == "losses":
            return -losses, np.abs(losses).max()
        if question == "self-influence":
            return -(rows**2).sum(1), (rows**2).sum(1).max()
        normalize = QUESTIONS[question].get("normalize")
        reference = self.of_rows(X_val, y_val)[1]
        counted = len(reference)
        if normalize in ("rows", "both"):
            rows = unit(rows)
        if normalize in ("reference", "both"):
            counted = counted if "matrix" in question else max(1, reference.any(1).sum())
            reference = unit(reference)
        scale = np.linalg.norm(rows, axis=1).max() * np.linalg.norm(reference, axis=1).max()
        if "matrix" in question:
            return rows @ reference.T, scale
        if question == "classwise":
            means = np.stack([reference[y_val == c].mean(0) for c in np.unique(y_val)])
            return (rows @ means.T).min(1), scale
        return rows @ reference.sum(0) / counted, scale


def unit(rows):
    """Rows of length 1, except those of length 0."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def assert_right(plan, loss, question, parameters, n, m, batch_size, seed, present=(0, 1, 2, 3)):
    """Compare the scorer's answer with that of the loop."""
    rng = np.random.RandomState(seed)
    net = net_of(plan, loss, batch_size)
    X, X_val = rows_of(plan, n, rng), rows_of(plan, m, rng)
    ignored = loss.params.get("ignore_index")
    labeled = [c for c in present if c != ignored or loss.labels == "steps"]
    y, y_val = labels_for(loss, n, rng, present), labels_for(loss, m, rng, labeled)
    if ignored == -1:
        y[rng.uniform(size=n) < 0.3] = -1
    before = copy.deepcopy(net.module_.state_dict())
    try:
        want, scale = Loop(net, loss, parameters).answer(question, X, y, X_val, y_val)
    except RuntimeError as error:  # torch cannot train this net either
        assume("modified by an inplace operation" not in str(error))
        raise
    options = QUESTIONS[question] | {"parameters": list(parameters)}
    scorer = InfluenceScorer(FrozenEstimator(net), **options)
    try:
        scorer.fit(X, y, X_val=X_val, y_val=y_val)
    except ValueError as error:
        if loss.refused is None or loss.refused not in str(error):
            raise
        return
    if "matrix" in question:
        got = influence_matrix(scorer, X, y)
    else:
        got = scorer.transform(X) if "labels" in question else scorer.scores_
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-8 * scale)
    assert all(torch.equal(v, before[k]) for k, v in net.module_.state_dict().items())


sizes = {
    "parameters": st.sampled_from([("*",), ("*",), ("*weight*", "*head.bias"), ("*head*",)]),
    "n": st.integers(1, 9) | st.integers(13, 40),
    "m": st.integers(CLASSES, 7),
    "batch_size": st.integers(1, 40),
    "seed": st.integers(0, 99),
}
few = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@few
@given(
    plan=plans(),
    loss=st.sampled_from(sorted(OF_CLASSES)),
    question=st.sampled_from(sorted(QUESTIONS)),
    present=st.sets(st.integers(0, CLASSES - 1), min_size=2).map(sorted),
    **sizes,
)
def test_scores_of_classifiers(plan, loss, question, present, **sizes):
    assert_right(plan, OF_CLASSES[loss], question, present=present, **sizes)


@few
@given(
    plan=plans(),
    loss=st.sampled_from(sorted(OF_NUMBERS)),
    question=st.sampled_from(NUMBERS_TOO),
    **sizes,
)
def test_scores_of_regressors_and_of_nets_for_two_classes(plan, loss, question, **sizes):
    assert_right(plan, OF_NUMBERS[loss], question, **sizes)


@few
@given(
    plan=plans(rows=("series", "tokens"), pools=["steps"]),
    loss=st.sampled_from(sorted(OF_STEPS)),
    question=st.sampled_from(NUMBERS_TOO),
    **sizes,
)
def test_scores_of_losses_of_several_steps(plan, loss, question, **sizes):
    assert_right(plan, OF_STEPS[loss], question, **sizes)
