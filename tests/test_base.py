"""Pickles of another version say so; skops reads what holds no tensor, without running a pickle."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.frozen import FrozenEstimator
from small import blobs, scorer, selector

import skinfluence
from skinfluence import FilteredEstimator, NoisyLabelDetector
from skinfluence.active import InfluenceQuery
from skinfluence.text import TextEmbedder

EVERY = [
    scorer(),
    NoisyLabelDetector(),
    selector(),
    FilteredEstimator(),
    InfluenceQuery(),
    TextEmbedder("a directory"),
]
each = pytest.mark.parametrize("estimator", EVERY, ids=lambda e: type(e).__name__)


@each
def test_a_pickle_of_this_version_is_read_in_silence(estimator):
    again = pickle.loads(pickle.dumps(estimator))
    assert vars(again).keys() == vars(estimator).keys()


@each
def test_a_pickle_of_another_version_says_so(estimator, monkeypatch):
    old = pickle.dumps(estimator)
    monkeypatch.setattr(skinfluence, "__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match=r"skinfluence's \w+ from version") as said:
        again = pickle.loads(old)
    assert "99.0" in str(said[0].message)
    assert vars(again).keys() == vars(estimator).keys()


def test_a_pickle_from_before_versions_were_written_says_so():
    state = {k: v for k, v in scorer().__getstate__().items() if k != "_skinfluence_version"}
    with pytest.warns(InconsistentVersionWarning, match="from version unknown"):
        scorer().__setstate__(state)


@pytest.mark.parametrize("kind", ["selector", "filtered"])
def test_skops_reads_curated_rows_and_the_model_fitted_on_them(kind):
    io = pytest.importorskip("skops.io")
    X, y = blobs()
    made = {"selector": selector(), "filtered": FilteredEstimator(selector=selector())}[kind]
    kept = io.dumps(made.fit(X, y))
    with pytest.raises(io.exceptions.UntrustedTypesFoundException):
        io.loads(kept)
    again = io.loads(kept, trusted=io.get_untrusted_types(data=kept))
    if kind == "filtered":
        assert_array_equal(again.predict(X), made.predict(X))
        again, made = again.selector_, made.selector_
    assert_array_equal(again.support_, made.support_)
    assert_array_equal(again.scores_, made.scores_)


def test_a_net_in_safetensors_gives_its_scorer_back(tmp_path):
    # What is kept of a scorer without a pickle: its net, whose scorer is fitted anew, frozen.
    pytest.importorskip("safetensors")
    X, y = blobs()
    known = {"X_val": X[::3], "y_val": y[::3]}
    first = scorer().fit(X, y, **known)
    path = str(tmp_path / "net.safetensors")
    first.estimator_.save_params(f_params=path, use_safetensors=True)
    net = clone(first.estimator_).fit(X[:10], y[:10])
    net.load_params(f_params=path, use_safetensors=True)
    again = scorer(estimator=FrozenEstimator(net)).fit(X, y, **known)
    np.testing.assert_allclose(again.scores_, first.scores_, rtol=1e-4)
