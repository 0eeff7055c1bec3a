"""How much time and memory does it take to score rows under each of K labels?

    python benchmarks/many_classes.py [--detector] [--classes 50 200 1000] [--rows 2000]

There is one direction per class. The rows are Gaussian blobs, one per class, and the net is a
perceptron with one hidden layer. `InfluenceScorer.transform` is timed, or `NoisyLabelDetector.fit`
with ``--detector``. Each number of classes runs in a new process, which has its own peak of memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

WIDTH, HIDDEN = 20, 64


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--detector", action="store_true", help="time the detector instead")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(k: int, n: int, detector: bool) -> None:
    """Print one line of the table."""
    import numpy as np
    from skorch import NeuralNetClassifier
    from torch import nn

    from skinfluence import InfluenceScorer, NoisyLabelDetector

    rng = np.random.RandomState(0)
    centers = 2 * rng.randn(k, WIDTH)

    def blobs(number: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(number) % k
        return (centers[y] + rng.randn(number, WIDTH)).astype("float32"), y

    module = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, k))
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, max_epochs=5, train_split=None, verbose=0
    )
    X, y = blobs(n)
    if detector:
        start = time.perf_counter()
        NoisyLabelDetector(net, random_state=0).fit(X, y)
    else:
        scorer = InfluenceScorer(net, classwise=True, normalize="reference", random_state=0)
        X_fit, y_fit = blobs(2 * k)
        X_val, y_val = blobs(2 * k)
        scorer.fit(X_fit, y_fit, X_val=X_val, y_val=y_val)
        start = time.perf_counter()
        scorer.transform(X)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{k:>8} {n:>8} {seconds:>9.1f} {peak:>11.0f}", flush=True)


def main() -> None:
    given = arguments()
    if given.one:
        measure(given.classes[0], given.rows, given.detector)
        return
    print(f"{'classes':>8} {'rows':>8} {'seconds':>9} {'memory, MB':>11}", flush=True)
    for k in given.classes:
        options = ["--one", "--classes", str(k), "--rows", str(given.rows)]
        options += ["--detector"] if given.detector else []
        subprocess.run([sys.executable, __file__, *options], check=True)


if __name__ == "__main__":
    main()
