"""Do scores find the tweets on whose label the annotators disagreed? This noise is real.

    python benchmarks/text_labels.py --output docs/_static

For each tweet, the share of annotators who chose its label is known. If this share is below one
half, the label is as likely wrong as right. The benchmark measures how well scores find these
labels among 3,000 tweets. The scores are computed for a tabular net on frozen MiniLM embeddings,
and for a fine-tuned MiniLM.

Needs `pip install "skinfluence[text]" cleanlab==2.9.0` and the packages of requirements-data.txt.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from intervals import shown
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import LabelEncoder

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence.datasets import load_tweets
from skinfluence.ensembles import Checkpoints
from skinfluence.methods import Margin, SelfInfluence
from skinfluence.text import TextClassifier, TextEmbedder, packaged_model

try:
    from cleanlab.rank import get_label_quality_scores
except ImportError:
    get_label_quality_scores = None


def sample(n, seed):
    """Tweets with distinct texts, equally many per class."""
    tweets = load_tweets()
    rng = np.random.RandomState(seed)
    _, first = np.unique([t.lower().strip() for t in tweets.texts], return_index=True)
    rows = []
    for label in np.unique(tweets.labels):
        of_class = np.intersect1d(first, np.flatnonzero(tweets.labels == label))
        rows.append(rng.permutation(of_class)[: n // 3])
    rows = rng.permutation(np.concatenate(rows))
    return tweets.texts[rows], tweets.labels[rows], tweets.confidence[rows]


def by_cleanlab(X, y):
    p = cross_val_predict(LogisticRegression(max_iter=2000), X, y, method="predict_proba")
    return get_label_quality_scores(LabelEncoder().fit_transform(y), p)


def on_embedding(X, y, seed):
    """Scores of each method (lower is more suspect) and its seconds."""
    fitted = {
        "detector": NoisyLabelDetector(random_state=seed),
        "inner product": InfluenceScorer(random_state=seed),
        "margin, checkpoints": InfluenceScorer(
            method=Margin(), ensemble=Checkpoints(6), random_state=seed
        ),
        "self-influence": InfluenceScorer(method=SelfInfluence(), random_state=seed),
    }
    scores = {}
    for name, estimator in fitted.items():
        start = time.perf_counter()
        scores[name] = estimator.fit(X, y).scores_, time.perf_counter() - start
    start = time.perf_counter()
    scores["cleanlab (logistic regression)"] = by_cleanlab(X, y), time.perf_counter() - start
    return scores


def fine_tuned(texts, y, seed):
    net = TextClassifier(packaged_model("minilm"), max_epochs=2, lr=5e-5, max_length=48)
    start = time.perf_counter()
    detector = NoisyLabelDetector(net, cv=3, checkpoints=2, random_state=seed).fit(texts, y)
    return {"detector": (detector.scores_, time.perf_counter() - start)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3000, help="(default: 3000)")
    parser.add_argument(
        "--fine-tuned-rows", type=int, default=600, help="0 leaves fine-tuning out (default: 600)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="samples of tweets (default: 3)")
    parser.add_argument("--output", type=Path, help="directory for the table")
    args = parser.parse_args()
    if get_label_quality_scores is None:
        parser.error("cleanlab is not installed: pip install cleanlab==2.9.0")
    found = []
    for seed in range(args.seeds):
        texts, y, confidence = sample(args.rows, seed)
        X = TextEmbedder(packaged_model("minilm")).fit_transform(texts)
        parts = [("frozen embedding", slice(None), on_embedding(X, y, seed))]
        if args.fine_tuned_rows:
            few = slice(args.fine_tuned_rows)
            parts.append(("frozen embedding, fewer rows", few, on_embedding(X[few], y[few], seed)))
            parts.append(("fine-tuned", few, fine_tuned(texts[few], y[few], seed)))
        for net, rows, scores in parts:
            unsure = confidence[rows] < 0.5
            for name, (score, seconds) in scores.items():
                found.append(
                    {
                        "net": net,
                        "rows": len(unsure),
                        "method": name,
                        "share unsure": unsure.mean(),
                        "AP": average_precision_score(unsure, -score),
                        "AUC": roc_auc_score(unsure, -score),
                        "seconds": seconds,
                    }
                )
                print(f"seed {seed}, {net}, {name}: AP {found[-1]['AP']:.3f}", flush=True)
    table = pd.DataFrame(found).groupby(["net", "rows", "method"], sort=False)
    columns = dict.fromkeys(["share unsure", "AP", "AUC"], shown)
    columns["seconds"] = partial(shown, decimals=1)
    table = table.agg(columns).reset_index()
    print(table.to_string(index=False))
    if args.output:
        table.to_csv(args.output / "text_labels.csv", index=False)


if __name__ == "__main__":
    main()
