"""Scores on a GPU equal those on the CPU, and pickles open on a machine without a GPU."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence.curvature import EKFAC
from skinfluence.ensembles import Checkpoints
from skinfluence.nets import TabularClassifier
from skinfluence.pairwise import influence_matrix

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

X, Y = load_digits(return_X_y=True)
X, Y = X[:300].astype(np.float32), Y[:300]
REFERENCE = {"X_val": X[200:], "y_val": Y[200:]}


def net(device):
    return TabularClassifier(max_epochs=5, device=device)


def on_both(**params):
    """Scorers of the same net, on the CPU and on the GPU."""
    torch.manual_seed(0)
    fitted = net("cpu").fit(X[:200], Y[:200])
    moved = net("cuda").fit(X[:200], Y[:200])
    moved.module_.load_state_dict(fitted.module_.state_dict())
    return [
        InfluenceScorer(FrozenEstimator(n), **params).fit(X[:200], Y[:200], **REFERENCE)
        for n in (fitted, moved)
    ]


@pytest.mark.parametrize(
    "params", [{}, {"normalize": "both"}, {"curvature": EKFAC()}], ids=lambda p: str(list(p))
)
def test_scores_are_the_same_as_on_the_cpu(params):
    cpu, gpu = on_both(**params)
    scale = np.abs(cpu.scores_).max()
    np.testing.assert_allclose(gpu.scores_, cpu.scores_, atol=1e-3 * scale)
    pairs = [influence_matrix(s, X[:20], Y[:20]) for s in (cpu, gpu)]
    np.testing.assert_allclose(pairs[1], pairs[0], atol=1e-3 * np.abs(pairs[0]).max())


@pytest.mark.parametrize(
    "estimator",
    [
        InfluenceScorer(net("cuda"), ensemble=Checkpoints(2), random_state=0),
        NoisyLabelDetector(net("cuda"), cv=2, checkpoints=2, random_state=0),
    ],
    ids=["scorer", "detector"],
)
def test_pickles_open_without_a_gpu(estimator, tmp_path):
    fitted = estimator.fit(X, Y)
    (tmp_path / "fitted.pickle").write_bytes(pickle.dumps(fitted))
    script = textwrap.dedent(
        """
        import pickle, sys, warnings
        import numpy as np
        from sklearn.datasets import load_digits
        X, y = load_digits(return_X_y=True)
        with warnings.catch_warnings(record=True) as caught, open(sys.argv[1], "rb") as file:
            warnings.simplefilter("always")
            fitted = pickle.load(file)
        assert any("CUDA" in str(w.message) for w in caught)  # skorch warns that it uses the CPU
        np.save(sys.argv[2], fitted.score_samples(X[:50].astype("float32"), y[:50]))
        """
    )
    paths = [str(tmp_path / name) for name in ("fitted.pickle", "scores.npy")]
    hidden = {"CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", script, *paths], check=True, env=hidden)
    found, own = np.load(paths[1]), fitted.score_samples(X[:50], Y[:50])
    np.testing.assert_allclose(found, own, atol=1e-3 * np.abs(own).max())
