"""What all estimators share: pickles with a version, the fitted state, tags, HTML links."""

import pickle
from email.message import Message

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.frozen import FrozenEstimator
from small import blobs, quick, scorer, selector

from skinfluence import FilteredEstimator, NoisyLabelDetector, _base, _version
from skinfluence.active import InfluenceQuery
from skinfluence.images import ImageEmbedder
from skinfluence.text import TextEmbedder

# Pickles


EVERY = [
    scorer(),
    NoisyLabelDetector(),
    selector(),
    FilteredEstimator(),
    InfluenceQuery(),
    TextEmbedder("a directory"),
    ImageEmbedder(),
]
each = pytest.mark.parametrize("estimator", EVERY, ids=lambda e: type(e).__name__)


@each
def test_a_pickle_of_this_version_is_read_in_silence(estimator):
    again = pickle.loads(pickle.dumps(estimator))
    assert vars(again).keys() == vars(estimator).keys()


@each
def test_a_pickle_of_another_version_says_so(estimator, monkeypatch):
    old = pickle.dumps(estimator)
    monkeypatch.setattr(_version, "__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match=r"skinfluence's \w+ from version") as said:
        again = pickle.loads(old)
    assert "99.0" in str(said[0].message)
    assert vars(again).keys() == vars(estimator).keys()


def test_a_pickle_from_before_versions_were_written_says_so():
    state = {k: v for k, v in scorer().__getstate__().items() if k != "_skinfluence_version"}
    with pytest.warns(InconsistentVersionWarning, match="from version unknown"):
        scorer().__setstate__(state)


# Fitted state and tags


LAST = {
    "scorer": (scorer, "scores_"),
    "selector": (selector, "labels_"),
    "filtered": (lambda: FilteredEstimator(DummyClassifier(), selector()), "estimator_"),
    "detector": (lambda: NoisyLabelDetector(quick(), cv=2, checkpoints=1), "suggested_labels_"),
}
each_fit = pytest.mark.parametrize("name", LAST)


@each_fit
def test_a_fit_sets_the_named_attribute_last(name):
    make, last = LAST[name]
    estimator = make()
    assert not estimator.__sklearn_is_fitted__()
    assert list(vars(estimator.fit(*blobs())))[-1] == last
    assert estimator.__sklearn_is_fitted__()


@each_fit
def test_after_a_second_fit_that_fails_an_estimator_is_not_fitted(name):
    estimator = LAST[name][0]().fit(*blobs())
    with pytest.raises(ValueError, match="one class"):
        estimator.fit(np.random.RandomState(0).randn(30, 4), np.zeros(30, int))
    assert not estimator.__sklearn_is_fitted__()


@each
def test_labels_are_required_where_fit_learns_from_rows(estimator):
    learns = hasattr(estimator, "fit") and not isinstance(estimator, TextEmbedder | ImageEmbedder)
    assert estimator.__sklearn_tags__().target_tags.required is learns
    assert estimator.__sklearn_is_fitted__() is not learns


# Links of the HTML representation


@pytest.fixture
def published(monkeypatch):
    """Give the package's metadata an address of the documentation."""
    monkeypatch.setattr(_base, "documentation_address", lambda: "https://docs.example/stable/")


PAGES = ["InfluenceScorer", "NoisyLabelDetector", "InfluenceSampleSelector", "FilteredEstimator"]
PAGES += ["active.InfluenceQuery", "text.TextEmbedder", "images.ImageEmbedder"]


@pytest.mark.parametrize(("estimator", "page"), list(zip(EVERY, PAGES, strict=True)))
def test_an_estimator_links_to_its_page(estimator, page, published):
    link = f"https://docs.example/stable/generated/skinfluence.{page}.html"
    assert f'href="{link}"' in estimator._repr_html_()


@each
def test_without_an_address_there_is_no_link(estimator, monkeypatch):
    monkeypatch.setattr(_base, "documentation_address", lambda: "")
    assert estimator._get_doc_link() == ""
    assert "href=" not in estimator._repr_html_()


@pytest.mark.parametrize(
    ("urls", "address"),
    [
        (None, ""),
        (["Source, https://code.example"], ""),
        (["Source, https://code.example", "Documentation, https://docs.example"],)
        + ("https://docs.example",),
    ],
)
def test_the_address_comes_from_the_metadata_of_the_package(urls, address, monkeypatch):
    message = Message()
    for url in urls or []:
        message["Project-URL"] = url
    monkeypatch.setattr(_base.metadata, "metadata", lambda name: message)
    assert _base.documentation_address.__wrapped__() == address


def test_a_package_that_is_not_installed_has_no_address(monkeypatch):
    def missing(name):
        raise _base.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_base.metadata, "metadata", missing)
    assert _base.documentation_address.__wrapped__() == ""


# Files of skops and safetensors


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
