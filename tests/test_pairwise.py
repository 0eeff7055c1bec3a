"""The influence matrix against a loop over rows: in memory, in a store, and its top rows."""

import numpy as np
import pytest
import torch
import zarr
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from small import blobs, line, logits_net, quick, quick_regressor
from zoo import KINDS, assert_close, loop_gradients, make

from skinfluence import InfluenceScorer
from skinfluence._core import pairs
from skinfluence.curvature import CG, EKFAC, DataInf, Exact
from skinfluence.ensembles import Checkpoints, Dropout, Seeds
from skinfluence.methods import Loss
from skinfluence.pairwise import gradient_features, influence_matrix, top_rows
from skinfluence.targets import DemographicParity, Utility

X, Y = blobs()
X_REF, Y_REF = blobs(12, seed=1)


def fitted(**params):
    params = {"estimator": quick(), "random_state": 0} | params
    return InfluenceScorer(**params).fit(X, Y, X_val=X_REF, y_val=Y_REF)


def of_zoo(name, **params):
    """Fit a scorer to a frozen float64 net; return it, the rows, labels and per-row gradients."""
    net, Xn, y = make(name, classes=[0, 1, 2])
    scorer = InfluenceScorer(FrozenEstimator(net), check_gradients=False, **params)
    return scorer.fit(Xn, y, X_val=Xn[:4], y_val=y[:4]), Xn, y, loop_gradients(net, Xn, y)


@pytest.mark.parametrize("name", KINDS)
def test_entries_are_inner_products_of_gradients(name):
    scorer, Xn, y, rows = of_zoo(name)
    assert_close(influence_matrix(scorer, Xn, y), rows @ rows[:4].T)
    assert_close(influence_matrix(scorer, Xn, y, Xn[3:], y[3:]), rows @ rows[3:].T)


@pytest.mark.parametrize("normalize", ["rows", "reference", "both"])
def test_normalizing_divides_gradients_by_their_norms(normalize):
    scorer, Xn, y, rows = of_zoo("mlp", normalize=normalize)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    left, right = (unit if normalize in (s, "both") else rows for s in ("rows", "reference"))
    assert_close(influence_matrix(scorer, Xn, y), left @ right[:4].T)


def test_a_curvature_puts_its_inverse_between_the_two_gradients():
    scorer, Xn, y, rows = of_zoo("mlp", curvature=Exact("ggn", 0.1))
    (member,) = scorer._members
    eye = np.eye(rows.shape[1])
    fnet = scorer._functional_net()
    sizes = [p.numel() for p in fnet.params.values()]
    parts = torch.as_tensor(eye).split(sizes, 1)
    V = {
        n: part.reshape(-1, *p.shape)
        for (n, p), part in zip(fnet.params.items(), parts, strict=True)
    }
    P = torch.cat([u.reshape(len(u), -1) for u in member.solve(V).values()], 1).numpy()
    assert_close(influence_matrix(scorer, Xn, y), rows @ P @ rows[:4].T)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"curvature": Exact("ggn", 0.01)},
        {"curvature": CG(damping=0.1)},
        {"curvature": EKFAC()},
        {"curvature": DataInf()},
        {"normalize": "rows"},
        {"normalize": "reference"},
        {"normalize": "both"},
        {"ensemble": Checkpoints(3)},
        {"ensemble": Dropout(3, 0.3)},
        {"ensemble": Seeds(2), "curvature": EKFAC()},
    ],
    ids=str,
)
def test_the_mean_over_the_reference_rows_is_the_score(params):
    scorer = fitted(**params)
    mean = influence_matrix(scorer, X, Y).mean(axis=1)
    # float32 sums in another order, and CG stops at its tolerance
    np.testing.assert_allclose(mean, scorer.scores_, rtol=1e-3, atol=1e-4 * np.ptp(scorer.scores_))


def test_the_mean_over_the_reference_rows_is_the_score_of_a_gap():
    groups = np.arange(12) % 2
    scorer = InfluenceScorer(quick(), target=DemographicParity(), random_state=0).fit(
        X, Y == 1, X_val=X_REF, y_val=Y_REF == 1, sensitive_features_val=groups
    )
    mean = influence_matrix(scorer, X, Y == 1).mean(axis=1)
    np.testing.assert_allclose(mean, scorer.scores_, rtol=1e-3, atol=1e-5)


def test_the_mean_over_the_reference_rows_is_the_score_of_a_regressor():
    rows, numbers = line()
    scorer = InfluenceScorer(quick_regressor(), random_state=0).fit(rows, numbers)
    held = scorer.reference_indices_
    mean = influence_matrix(scorer, rows, numbers).mean(axis=1)
    assert mean.shape == (80,)
    assert len(held) == influence_matrix(scorer, rows[:2], numbers[:2]).shape[1]
    np.testing.assert_allclose(mean, scorer.scores_, rtol=1e-3, atol=1e-4)


# Stores


def stores(tmp_path):
    yield np.memmap(tmp_path / "matrix.npy", dtype=np.float64, mode="w+", shape=(90, 12))
    yield zarr.open(tmp_path / "matrix.zarr", mode="w", shape=(90, 12), dtype="f8", chunks=(20, 5))


def test_the_matrix_is_written_to_any_store(tmp_path, monkeypatch):
    scorer = fitted(estimator=quick(iterator_valid__batch_size=16))
    want = influence_matrix(scorer, X, Y)
    monkeypatch.setattr(pairs, "_MAX_REFERENCE_NUMBERS", 1)
    for store in stores(tmp_path):
        assert influence_matrix(scorer, X, Y, out=store) is store
        np.testing.assert_allclose(np.asarray(store), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("out", [np.zeros((90, 11)), np.zeros(90), []])
def test_a_store_of_another_shape_is_refused(out):
    with pytest.raises(ValueError, match=r"expected \(90, 12\): one row per row of X"):
        influence_matrix(fitted(), X, Y, out=out)


# Top rows


@pytest.mark.parametrize("k", [1, 7, 90])
def test_top_rows_are_those_of_the_sorted_matrix(k, monkeypatch):
    scorer = fitted(estimator=quick(iterator_valid__batch_size=16), ensemble=Checkpoints(2))
    matrix = influence_matrix(scorer, X, Y)
    monkeypatch.setattr(pairs, "_MAX_REFERENCE_NUMBERS", 1)
    top = top_rows(scorer, X, Y, k=k)
    for found, values, sign in (
        (top.proponents, top.proponent_scores, -1),
        (top.opponents, top.opponent_scores, 1),
    ):
        assert found.shape == values.shape == (12, k)
        np.testing.assert_allclose(values, np.take_along_axis(matrix.T, found, 1), rtol=1e-4)
        np.testing.assert_allclose(
            values, sign * np.sort(sign * matrix.T, axis=1)[:, :k], rtol=1e-4, atol=1e-6
        )


def test_ties_are_ordered_by_row():
    twice = np.repeat(X, 2, axis=0)
    top = top_rows(fitted(), twice, np.repeat(Y, 2), k=6)
    assert (top.proponents[:, ::2] + 1 == top.proponents[:, 1::2]).all()


@pytest.mark.parametrize("k", [0, 91, 1.5, "3"])
def test_an_invalid_k_is_refused(k):
    with pytest.raises(ValueError, match="expected an integer from 1 to 90"):
        top_rows(fitted(), X, Y, k=k)


# Features


def test_gradients_of_a_small_net_are_not_projected():
    scorer, Xn, y, rows = of_zoo("mlp")
    assert_close(gradient_features(scorer, Xn, y), rows)


def test_projected_features_keep_inner_products_on_average():
    scorer = fitted()
    exact = influence_matrix(scorer, X, Y, X_REF, Y_REF)
    products = []
    for seed in range(20):
        options = {"n_components": 30, "random_state": seed}
        features = gradient_features(scorer, X, Y, **options)
        products.append(features @ gradient_features(scorer, X_REF, Y_REF, **options).T)
    norms = [
        np.sqrt((gradient_features(scorer, *rows) ** 2).sum(1)) for rows in ((X, Y), (X_REF, Y_REF))
    ]
    scale = np.outer(*norms)
    assert np.abs(products[0] - exact).mean() < 2 * (scale / np.sqrt(30)).mean()
    assert np.abs(np.mean(products, axis=0) - exact).mean() < 0.3 * (scale / np.sqrt(30)).mean()


@pytest.mark.parametrize("n_components", [0, 1.5, "auto"])
def test_an_invalid_number_of_components_is_refused(n_components):
    with pytest.raises(ValueError, match="n_components="):
        gradient_features(fitted(), X, Y, n_components=n_components)


def test_top_rows_print_as_a_table():
    top = top_rows(fitted(), X, Y, X_REF, Y_REF, k=3)
    head, *lines, last = repr(top).splitlines()
    assert head.split() == ["reference", "rank", "proponent", "score", "opponent", "score"]
    assert len(lines) == 20
    assert last.startswith("... 36 lines in all")
    third = lines[2].split()
    assert third[:3] == ["0", "2", str(top.proponents[0, 2])]
    assert third[4] == str(top.opponents[0, 2])


def test_the_frame_of_top_rows_has_every_rank():
    pytest.importorskip("pandas")
    top = top_rows(fitted(), X, Y, X_REF, Y_REF, k=3)
    frame = top.to_frame()
    assert len(frame) == 36
    assert frame.loc[(4, 1), "proponent"] == top.proponents[4, 1]
    assert frame.loc[(4, 1), "opponent_score"] == top.opponent_scores[4, 1]


# Errors


def test_a_method_without_inner_products_is_refused():
    scorer = InfluenceScorer(quick(), method=Loss(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="fit a scorer without method="):
        influence_matrix(scorer, X, Y)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ((X_REF, None), "y_val is needed"),
        ((None, Y_REF), "X_val is None"),
        ((X_REF, Y_REF[1:]), "12"),
    ],
)
def test_incomplete_reference_rows_are_refused(reference, message):
    with pytest.raises(ValueError, match=message):
        influence_matrix(fitted(), X, Y, *reference)


def test_a_gap_refuses_other_reference_rows_without_groups():
    groups = np.arange(12) % 2
    scorer = InfluenceScorer(quick(), target=DemographicParity(), random_state=0).fit(
        X, Y == 1, X_val=X_REF, y_val=Y_REF == 1, sensitive_features_val=groups
    )
    with pytest.raises(ValueError, match="sensitive_features"):
        influence_matrix(scorer, X, Y == 1, X_REF, Y_REF == 1)


# Retarget: the same nets, another target


def test_retargeting_to_the_same_target_changes_nothing():
    scorer = fitted(curvature=EKFAC(), ensemble=Dropout(2, 0.2))
    other = scorer.retarget(Utility(), X, Y)
    assert np.array_equal(other.scores_, scorer.scores_)
    assert other.estimator_ is scorer.estimator_


def test_retargeting_gives_the_scores_of_a_new_fit_and_leaves_the_scorer_unchanged():
    groups = np.arange(12) % 2
    rows = {"X_val": X_REF, "y_val": Y_REF == 1}
    for curvature in (None, Exact("ggn", 0.1), DataInf()):
        options = {"curvature": curvature, "random_state": 0}
        first = InfluenceScorer(quick(), **options).fit(X, Y == 1, **rows)
        before, on_rows = first.scores_.copy(), first.score_samples(X, Y == 1)
        other = first.retarget(DemographicParity(), X, Y == 1, sensitive_features_val=groups)
        anew = InfluenceScorer(quick(), target=DemographicParity(), **options).fit(
            X, Y == 1, **rows, sensitive_features_val=groups
        )
        np.testing.assert_allclose(other.scores_, anew.scores_, rtol=1e-6)
        assert other.target == anew.target or repr(other.target) == repr(anew.target)
        assert first.target is None
        assert np.array_equal(first.score_samples(X, Y == 1), on_rows)
        assert np.array_equal(first.scores_, before)


def test_retargeting_accepts_other_reference_rows():
    scorer = fitted()
    other = scorer.retarget(None, X, Y, X_val=X[:9], y_val=Y[:9])
    mean = influence_matrix(scorer, X, Y, X[:9], Y[:9]).mean(axis=1)
    np.testing.assert_allclose(other.scores_, mean, rtol=1e-3, atol=1e-5)


def test_a_method_without_a_target_cannot_be_retargeted():
    scorer = InfluenceScorer(quick(), method=Loss(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="has no target that could be replaced"):
        scorer.retarget(None, X, Y)


def test_retargeting_needs_labels():
    with pytest.raises(ValueError, match="retarget needs y"):
        fitted().retarget(None, X)


def test_a_custom_net_has_a_matrix():
    rows = X.astype(np.float32)
    scorer = InfluenceScorer(logits_net(), random_state=0).fit(rows, Y)
    assert influence_matrix(scorer, rows, Y).shape == (90, 18)


def test_top_rows_refuses_an_estimator_that_is_not_a_scorer():
    with pytest.raises(
        TypeError, match=r"scorer=LogisticRegression\(\): expected a fitted InfluenceScorer"
    ):
        top_rows(LogisticRegression().fit(X, Y), X, Y)
