"""Does the audit find wrong labels of texts, compared with the usual baseline?

    python benchmarks/audit_texts.py [--rows 1500] [--seeds 5]

A tenth of the labels of tweets is made wrong at random. The audit gets a table of texts and labels,
with its default settings. The baseline is the out-of-sample probability of the given label, by
logistic regression on TF-IDF of words and pairs of words. The benchmark prints the average
precision of both orders, and that of a random order.

Needs `pip install "skinfluence[audit,text]"` and the packages of requirements-data.txt.
"""

import argparse

import numpy as np
import pandas as pd
from intervals import shown
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

import skinfluence
from skinfluence.datasets import flip_labels, load_tweets

BASELINE = "TF-IDF, logistic regression, self-confidence"


def self_confidence(texts, labels):
    tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(tfidf, LogisticRegression(max_iter=1000))
    proba = cross_val_predict(model, texts, labels, cv=5, method="predict_proba")
    return proba[np.arange(len(labels)), np.unique(labels, return_inverse=True)[1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1500, help="number of tweets (default: 1500)")
    parser.add_argument("--seeds", type=int, default=5, help="draws of wrong labels (default: 5)")
    args = parser.parse_args()
    tweets = load_tweets()
    rows = np.random.RandomState(0).permutation(len(tweets.labels))[: args.rows]
    texts = np.asarray(tweets.texts, dtype=object)[rows]
    table = []
    for seed in range(args.seeds):
        labels, is_wrong = flip_labels(np.asarray(tweets.labels)[rows], 0.1, random_state=seed)
        frame = pd.DataFrame({"text": texts, "label": labels})
        audit = skinfluence.audit(frame, "label", seed=seed, only=["duplicates"], quiet=True)
        found = {
            "audit": audit.scores["score"].to_numpy(),
            BASELINE: self_confidence(texts, labels),
            "random": np.random.RandomState(seed).rand(len(labels)),
        }
        for name, scores in found.items():
            ap = average_precision_score(is_wrong, -scores)
            table.append({"method": name, "seed": seed, "AP": ap})
            print(f"seed {seed}, {name}: AP {ap:.3f}", flush=True)
    table = pd.DataFrame(table)
    print(table.groupby("method", sort=False).agg({"AP": shown}).to_string())
    wide = table.pivot(index="seed", columns="method", values="AP")
    n_lost = int((wide["audit"] < wide[BASELINE]).sum())
    print(f"the audit is below the baseline in {n_lost} of {len(wide)} draws")


if __name__ == "__main__":
    main()
