"""A Dataset with random augmentation is refused wherever rows are read."""

import random
import re

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from small import blobs, logits_net
from torch.utils.data import Dataset, Subset

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence._data.items import refuse_random_items
from skinfluence.stream import score_stream

X, Y = blobs()
X = X.astype(np.float32)


class Items(Dataset):
    """The rows of a table; `change` makes an item of a row."""

    def __init__(self, change=lambda x: x):
        self.change = change

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return self.change(torch.as_tensor(X[i])), int(Y[i])


CHANGES = {
    "torch": lambda x: torch.roll(x, int(torch.randint(1, 99, (1,)))),
    "numpy": lambda x: x * np.random.rand(),  # noqa: NPY002
    "random": lambda x: x + random.random(),
    "half of the rows": lambda x: x.flip(0) if torch.rand(()) < 0.5 else x,
    "lengths": lambda x: x[: random.randint(1, 4)],
    "in a dict": lambda x: {"a": x, "b": x.numpy() + np.random.rand(4)},  # noqa: NPY002
    "in a tuple": lambda x: (x, random.random()),
    "integers": lambda x: torch.randint(9**9, (4,)),
    "texts": lambda x: str(random.random()),
    "half precision": lambda x: x.bfloat16() + torch.rand(4),
    "numbers": lambda x: random.random(),
}
FIXED = {
    "tensor": lambda x: x,
    "NaN": lambda x: x.where(x > 0, torch.nan),
    "array": lambda x: x.numpy(),
    "dict": lambda x: {"a": x, "b": "text"},
    "another object each time": lambda x: object(),
    "half precision": lambda x: x.bfloat16(),
    "boolean": lambda x: x > 0,
    "rounding": lambda x: x * (1 + 1e-7 * random.random()),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_items_that_change_are_refused(kind):
    random.seed(0)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"rows \d+.* of 90\), most likely by random augmentation"):
        refuse_random_items(Items(CHANGES[kind]), "X")


@pytest.mark.parametrize("kind", FIXED)
def test_items_that_stay_are_accepted(kind):
    refuse_random_items(Items(FIXED[kind]), "X")


def test_random_labels_are_refused():
    class Mixed(Items):
        def __getitem__(self, i):
            return X[i], random.random()

    with pytest.raises(ValueError, match="whose items change"):
        refuse_random_items(Mixed(), "X")


def test_the_message_names_the_rows_that_changed():
    class OneRow(Items):
        def __getitem__(self, i):
            return X[i] + (random.random() if i == 89 else 0), int(Y[i])

    with pytest.raises(ValueError, match=re.escape("(rows 89 of 90)")):
        refuse_random_items(OneRow(), "X")
    refuse_random_items(Subset(OneRow(), range(89)), "X")


def test_few_items_are_read():
    read = []
    refuse_random_items(Items(lambda x: read.append(x) or x), "X")
    assert len(read) == 16


RANDOM, PLAIN = Items(CHANGES["torch"]), Items()
NET = logits_net()
READERS = {
    "scorer": lambda: InfluenceScorer(NET).fit(RANDOM),
    "detector": lambda: NoisyLabelDetector(NET).fit(RANDOM),
    "selector": lambda: InfluenceSampleSelector(InfluenceScorer(NET)).fit(RANDOM),
    "filtered": lambda: FilteredEstimator(NET, InfluenceScorer(NET)).fit(RANDOM),
    "reference rows": lambda: InfluenceScorer(NET).fit(PLAIN, X_val=RANDOM),
    "score_samples": lambda: InfluenceScorer(NET).fit(PLAIN).score_samples(RANDOM),
    "transform": lambda: InfluenceScorer(NET).fit(PLAIN).transform(RANDOM),
    "retarget": lambda: InfluenceScorer(NET).fit(PLAIN).retarget(None, RANDOM),
    "score_stream": lambda: score_stream(InfluenceScorer(NET).fit(PLAIN), RANDOM),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_rows_refuses_random_augmentation(reader):
    with pytest.raises(ValueError, match="most likely by random augmentation"):
        READERS[reader]()


def test_a_net_trained_on_augmented_rows_scores_them_without_augmentation():
    frozen = FrozenEstimator(logits_net().fit(RANDOM, Y))
    scores = [InfluenceScorer(frozen).fit(PLAIN, Y, X_val=PLAIN, y_val=Y).scores_ for _ in range(2)]
    np.testing.assert_array_equal(*scores)
