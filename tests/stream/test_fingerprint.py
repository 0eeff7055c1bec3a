"""Fingerprints are the same in every process for equal numbers, and differ for other numbers."""

import copy
import datetime
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.base import BaseEstimator
from small import blobs, quick, scorer
from torch.utils.data import DataLoader, TensorDataset

from skinfluence import NoisyLabelDetector
from skinfluence.ensembles import Checkpoints, Seeds
from skinfluence.stream._fingerprint import RecordedItems, fingerprint, fingerprint_scorer

X, Y = blobs()
X32 = X.astype(np.float32)


class Graph:
    """An item of a class of its own."""

    def __init__(self, nodes):
        self.nodes, self.name = nodes, "g"


class Slots:
    __slots__ = ("nodes",)

    def __init__(self, nodes):
        self.nodes = nodes


FORMS = {
    "array": lambda a: a,
    "tensor": torch.as_tensor,
    "bfloat16": lambda a: torch.as_tensor(a).bfloat16(),
    "float8": lambda a: torch.as_tensor(a).to(torch.float8_e5m2),
    "sparse tensor": lambda a: torch.as_tensor(a).to_sparse(),
    "sparse": scipy.sparse.csr_matrix,
    "columns first": np.asfortranarray,
    "list": lambda a: a.tolist(),
    "frame": lambda a: pd.DataFrame(a, columns=list("abcd")),
    "categories": lambda a: pd.DataFrame({"a": pd.Categorical(a[:, 0].astype(str))}),
    "texts": lambda a: a.astype(str).astype(object),
    "strings": lambda a: a.astype(str),
    "times": lambda a: [datetime.datetime.fromtimestamp(float(x)) for x in a[:, 0]],
    "missing": lambda a: pd.DataFrame({"a": pd.array([*a[:, 0].tolist(), None])}),
    "dict": lambda a: {"first": a[:, 0], "rest": [torch.as_tensor(a)]},
    "dataset": lambda a: TensorDataset(torch.as_tensor(a)),
    "own class": lambda a: [Graph(torch.as_tensor(a))],
    "slots": lambda a: [Slots(a)],
    "set": lambda a: set(a.ravel().tolist()),
}


def forms():
    return {name: fingerprint(make(X32.copy())) for name, make in FORMS.items()}


def test_another_process_finds_the_same_fingerprints():
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n"
        "import test_fingerprint as t\n"
        "print(t.forms(), t.fingerprint_scorer(t.scorer().fit(t.X32, t.Y)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    own = f"{forms()} {fingerprint_scorer(scorer().fit(X32, Y))}"
    assert done.stdout.strip().replace("__main__", "test_fingerprint") == own


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_number_changes_the_fingerprint(form):
    changed = X32.copy()
    changed[57, 0] += 1
    make = FORMS[form]
    assert fingerprint(make(X32)) == fingerprint(make(X32.copy()))
    assert fingerprint(make(X32)) != fingerprint(make(changed))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_changed_entry_of_any_array_changes_the_fingerprint(data):
    dtype = data.draw(st.sampled_from(["<f4", "<f8", "<i8", "|u1", "|b1", "<U3", "<M8[s]"]))
    array = data.draw(arrays.arrays(np.dtype(dtype), arrays.array_shapes(max_dims=3)))
    other = array.copy()
    assert fingerprint(array) == fingerprint(other)
    position = data.draw(st.integers(0, array.size - 1))
    other.ravel()[position] = data.draw(arrays.from_dtype(np.dtype(dtype)))
    assert (fingerprint(array) == fingerprint(other)) == (array.tobytes() == other.tobytes())
    assert fingerprint(array) != fingerprint(array[None])


def test_rows_cannot_move_between_x_and_y():
    assert fingerprint([1, 2], [3]) != fingerprint([1], [2, 3])
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    assert fingerprint(X32, None) != fingerprint(X32, Y)


def test_an_object_whose_content_cannot_be_read_is_refused():
    with pytest.raises(TypeError, match=r"object of type function.*omit checkpoint_dir"):
        fingerprint([lambda: 0])


@pytest.mark.parametrize("workers", [0, 1])
def test_items_are_identified_as_they_are_read(workers):
    data = TensorDataset(torch.as_tensor(X32), torch.as_tensor(Y))
    rows = RecordedItems(data, range(10, 40))
    list(DataLoader(rows, batch_size=7, num_workers=workers))
    assert len(rows.known) == (0 if workers else 30)
    assert rows[-1][1] == rows[29][1]
    assert fingerprint(rows) == fingerprint(torch.utils.data.Subset(data, range(10, 40)))
    assert fingerprint(rows) != fingerprint(RecordedItems(data, range(11, 41)))


# Scorers


class Mean(BaseEstimator):
    """A scorer of the user's, without `scores_`."""

    def fit(self, X, y):
        self.mean_ = X.mean(0)
        return self

    def score_samples(self, X, y=None):
        return X @ self.mean_


SCORERS = {
    "scorer": lambda **params: scorer(**params),
    "seeds": lambda **params: scorer(ensemble=Seeds(2, Checkpoints(2)), **params),
    "detector": lambda **params: NoisyLabelDetector(
        quick(), **{"cv": 2, "random_state": 0} | params
    ),
}


@pytest.mark.parametrize("kind", SCORERS)
def test_a_scorer_that_is_fitted_again_is_the_same(kind):
    fitted = SCORERS[kind]().fit(X32, Y)
    known = fingerprint_scorer(fitted)
    fitted.score_samples(X32, Y)
    fitted.calls = 3  # an attribute of the user's
    assert fingerprint_scorer(fitted.set_params(verbose=1)) == known
    assert fingerprint_scorer(SCORERS[kind]().fit(X32, Y)) == known
    assert fingerprint_scorer(SCORERS[kind](random_state=1).fit(X32, Y)) != known


@pytest.mark.parametrize("kind", SCORERS)
def test_another_weight_of_a_net_is_another_scorer(kind):
    fitted = SCORERS[kind]().fit(X32, Y)
    other = copy.deepcopy(fitted)
    assert fingerprint_scorer(other) == fingerprint_scorer(fitted)
    with torch.no_grad():
        next(other.estimators_[-1].module_.parameters()).view(-1)[0] += 1e-3
    assert fingerprint_scorer(other) != fingerprint_scorer(fitted)


def test_a_scorer_of_the_users_is_identified_by_its_fitted_attributes():
    assert fingerprint_scorer(Mean().fit(X, Y)) == fingerprint_scorer(Mean().fit(X, Y))
    assert fingerprint_scorer(Mean().fit(X, Y)) != fingerprint_scorer(Mean().fit(X + 1, Y))
