"""Scores without a direction equal those of a loop, under own and candidate labels."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from zoo import assert_close, loop_gradients, make

from skinfluence._core.net import FunctionalNet
from skinfluence._core.projection import Projection
from skinfluence._core.row_scores import (
    LabelMargin,
    NegativeLoss,
    NegativeNorm,
    NegativeSelfInfluence,
    OutlierScore,
)

LABELS = np.arange(3)


@pytest.fixture(scope="module")
def case():
    net, X, y = make("mlp", batch_size=3)
    return FunctionalNet(net), X, y, net


def outlier_score(fnet, X, y):
    projection = Projection(fnet, 1000, np.random.RandomState(0))
    forest = IsolationForest(n_estimators=10, random_state=0).fit(projection.rows(fnet, X, y))
    return OutlierScore(forest, projection)


def doubled(rows):
    return {name: 2 * g for name, g in rows.items()}


SCORES = {
    "loss": lambda *_: NegativeLoss(),
    "margin": lambda *_: LabelMargin(LABELS),
    "self-influence": lambda *_: NegativeSelfInfluence(),
    "self-influence, curvature": lambda *_: NegativeSelfInfluence(doubled),
    "L1 norm": lambda *_: NegativeNorm(1),
    "L2 norm": lambda *_: NegativeNorm(2),
    "outlier": outlier_score,
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("labels", [LABELS, np.array([2, 0, 1])], ids=["in order", "shuffled"])
def test_scores_under_a_label_are_those_of_rows_with_that_label(case, name, labels):
    fnet, X, y, _ = case
    score = SCORES[name](fnet, X, y)
    table = score.of_labels(fnet, X, labels)
    for column, label in zip(table.T, labels, strict=True):
        assert_close(column, score.of_rows(fnet, X, np.full(len(X), label), iter))


@pytest.mark.parametrize(
    ("name", "of_gradients"),
    [
        ("self-influence", lambda g: -(g**2).sum(1)),
        ("self-influence, curvature", lambda g: -2 * (g**2).sum(1)),
        ("L1 norm", lambda g: -np.abs(g).sum(1)),
        ("L2 norm", lambda g: -np.linalg.norm(g, axis=1)),
    ],
)
def test_norms_are_those_of_the_gradients_in_a_loop(case, name, of_gradients):
    fnet, X, y, net = case
    got = SCORES[name]().of_rows(fnet, X, y, iter)
    assert_close(got, of_gradients(np.asarray(loop_gradients(net, X, y))))


@pytest.mark.parametrize("name", ["loss", "margin"])
def test_losses_under_all_labels_take_one_forward_pass(case, name, monkeypatch):
    fnet, X, _y, _ = case
    calls, outputs = [], FunctionalNet.outputs

    def counted(self, *args):
        calls.append(1)
        return outputs(self, *args)

    monkeypatch.setattr(FunctionalNet, "outputs", counted)
    SCORES[name]().of_labels(fnet, X, LABELS)
    assert len(calls) == fnet.n_batches(X)


@pytest.mark.parametrize("name", SCORES)
def test_a_progress_bar_sees_every_batch(case, name):
    fnet, X, y, _ = case
    score, seen = SCORES[name](fnet, X, y), []

    def bar(batches):
        for batch in batches:
            seen.append(1)
            yield batch

    score.of_rows(fnet, X, y, bar)
    assert len(seen) == fnet.n_batches(X)
