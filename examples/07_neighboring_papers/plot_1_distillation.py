"""
Do the most helpful images represent all of them?
=================================================

No. Dataset distillation looks for a few images that teach a model as much as
the whole set. The images with the highest influence teach less than random
images, even if the influence is computed exactly. The reason is that influence
says what is lost if one image is left out and all others stay. If many images
are similar to this image, little is lost.
"""

# %%
# arXiv 2310.06511 (*Self-Supervised Dataset Distillation for Transfer
# Learning*) makes images with the help of kernel ridge regression. Kernel
# ridge regression has a closed form, which also gives the exact influence of
# each image on each prediction.
#
# Let :math:`W_{ts}` be the weight of training image s in the prediction for
# image t, and let :math:`r_s` be the residual of image s in the fit to all
# images. If the model is fitted without s, the prediction for t changes by
#
# .. math:: -W_{ts} \, r_s / (1 - W_{ss}).
#
# We check this formula by retraining without each of three images.
import numpy as np
from sklearn.datasets import load_digits
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import train_test_split

from skinfluence.retraining import leave_one_out

ALPHA, GAMMA = 0.1, 0.02
ridge = KernelRidge(alpha=ALPHA, kernel="rbf", gamma=GAMMA)


def exact_influence(X, Y, X_val, Y_val, alpha=ALPHA):
    """Rise of each reference image's squared error without each image."""
    K, K_val = rbf_kernel(X, gamma=GAMMA), rbf_kernel(X_val, X, gamma=GAMMA)
    inverse = np.linalg.inv(K + alpha * np.eye(len(X)))
    W, own = K_val @ inverse, K @ inverse
    residual = (Y - own @ Y) / (1 - np.diag(own))[:, None]
    error = W @ Y - Y_val
    rise = W**2 * (residual**2).sum(1) - 2 * W * (error @ residual.T)
    return rise.T / Y.shape[1]


digits, labels = load_digits(return_X_y=True)
digits = (digits / 16).astype("float32")


def split(seed):
    """600 images to choose from, 200 reference images, the rest for tests.

    Each part has images, labels, and labels as ten columns.
    """
    X, X_rest, y, y_rest = train_test_split(
        digits, labels, train_size=600, stratify=labels, random_state=seed
    )
    parts = (X, y), (X_rest[:200], y_rest[:200]), (X_rest[200:], y_rest[200:])
    return [(X, y, np.eye(10)[y]) for X, y in parts]


(X, y, Y), (X_val, y_val, Y_val), _ = split(0)
retrained = leave_one_out(ridge, X, Y, X_val, Y_val, rows=range(3))
formula = exact_influence(X, Y, X_val, Y_val)[:3]
print(f"largest change by retraining: {np.abs(retrained).max():.0e}")
print(f"largest error of the formula: {np.abs(retrained - formula).max():.0e}")

# %%
# We choose ten images per class in six ways:
#
# - the images with the highest influence on the reference images, if the model
#   is the kernel ridge regression ("kernel" for short);
# - the images with the highest influence if the model is a net and the scores
#   are plain inner products;
# - the images with the highest influence if the model is a net and the scores
#   use curvature;
# - step by step: starting from no images, add the image that lowers the
#   kernel's error on the reference images most, given the images already
#   chosen;
# - for each of ten cluster means of the class, the closest image;
# - random images.
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin

from skinfluence import InfluenceScorer
from skinfluence.curvature import EKFAC
from skinfluence.nets import TabularClassifier
from skinfluence.pairwise import influence_matrix

scored_net = TabularClassifier(max_epochs=10, module__hidden=(64,))


def net_influence(X, y, X_val, y_val, seed, curvature=None):
    scorer = InfluenceScorer(
        scored_net, curvature=curvature, random_state=seed
    )
    scorer.fit(X, y, X_val=X_val, y_val=y_val)
    return influence_matrix(scorer, X, y)


def highest(scores, y):
    order = np.argsort(-scores)
    return np.concatenate([order[y[order] == c][:10] for c in range(10)])


def step_by_step(X, y, Y, X_val, Y_val):
    """Greedy forward selection for kernel ridge regression."""
    K, K_val = rbf_kernel(X, gamma=GAMMA), rbf_kernel(X_val, X, gamma=GAMMA)
    chosen = []
    for _ in range(100):
        scale = np.diag(K) + ALPHA
        gain = 2 * (K_val.T @ Y_val * Y).sum(1) / scale
        gain -= (K_val**2).sum(0) * (Y**2).sum(1) / scale**2
        is_full = np.bincount(y[chosen], minlength=10) == 10
        gain[is_full[y]] = -np.inf
        gain[chosen] = -np.inf
        s = int(gain.argmax())
        chosen.append(s)
        # what is left to learn, and the kernel given the chosen images
        step, step_val = K[:, s] / scale[s], K_val[:, s] / scale[s]
        Y, Y_val = Y - np.outer(step, Y[s]), Y_val - np.outer(step_val, Y[s])
        K, K_val = K - np.outer(step, K[s]), K_val - np.outer(step_val, K[s])
    return np.array(chosen)[np.argsort(y[chosen], kind="stable")]


def near_means(X, y, seed):
    chosen = []
    for rows in (np.flatnonzero(y == c) for c in range(10)):
        means = KMeans(10, random_state=seed).fit(X[rows]).cluster_centers_
        chosen.append(rows[pairwise_distances_argmin(means, X[rows])])
    return np.concatenate(chosen)


# %%
# In each of four splits, a kernel and a net are fitted to each choice of
# images. They are evaluated on test images.
import torch
from scipy.stats import spearmanr

SPLITS = 4


def agreement(A, B, y, y_val):
    """Mean rank correlation per reference image.

    Over all images, and over the images of its class.
    """
    of_all, of_class = [], []
    for a, b, c in zip(A.T, B.T, y_val, strict=True):
        of_all.append(spearmanr(a, b).statistic)
        of_class.append(spearmanr(a[y == c], b[y == c]).statistic)
    return np.mean(of_all), np.mean(of_class)


def accuracies(X, y, X_test, y_test, seed):
    """Accuracy of a kernel and of a net that are fitted to these images."""
    torch.manual_seed(seed)
    net = TabularClassifier(max_epochs=25, lr=3e-3).fit(X, y)
    predicted = ridge.fit(X, np.eye(10)[y]).predict(X_test).argmax(1)
    return (predicted == y_test).mean(), net.score(X_test, y_test)


agree, chosen, accuracy = {}, [], {}
for seed in range(SPLITS):
    (X, y, Y), (X_val, y_val, Y_val), (X_test, y_test, _) = split(seed)
    given = X, y, X_val, y_val
    exact = exact_influence(X, Y, X_val, Y_val)
    penalized = exact_influence(X, Y, X_val, Y_val, 10 * ALPHA)
    plain = net_influence(*given, seed)
    curved = net_influence(*given, seed, EKFAC())
    other_seed = net_influence(*given, seed + 100, EKFAC())
    for name, A, B in [
        ("kernel, net", exact, plain),
        ("kernel, net with curvature", exact, curved),
        ("net with curvature, two seeds", curved, other_seed),
        ("kernel, tenfold penalty", exact, penalized),
    ]:
        agree.setdefault(name, []).append(agreement(A, B, y, y_val))
    ways = {
        "kernel": highest(exact.sum(1), y),
        "net": highest(plain.sum(1), y),
        "net with curvature": highest(curved.sum(1), y),
        "step by step": step_by_step(X, y, Y, X_val, Y_val),
        "near means": near_means(X, y, seed),
        "random": highest(np.random.RandomState(seed).rand(len(y)), y),
    }
    chosen.append(ways)
    for name, rows in (ways | {"all images": np.arange(len(y))}).items():
        values = accuracies(X[rows], y[rows], X_test, y_test, seed)
        accuracy.setdefault(name, []).append(values)

# %%
# The figure shows the accuracy after fitting to each choice of images. Each
# thin line is a split, and each point is the mean over the splits. Dotted
# lines show the accuracy after fitting to all 600 images.
import matplotlib.pyplot as plt

names = list(chosen[0])
values = np.array(list(accuracy.values()))
figure, ax = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
looks = zip(("kernel", "net"), ("tab:blue", "tab:orange"), "os", strict=True)
for k, (name, color, marker) in enumerate(looks):
    ax.plot(values[:-1, :, k], color=color, linewidth=0.7, alpha=0.5)
    mean = values[..., k].mean(1)
    ax.plot(mean[:-1], marker, color=color, markersize=8, label=f"of a {name}")
    ax.axhline(mean[-1], color=color, linestyle=":")
ax.set_xticks(range(len(names)), [n.replace(" ", "\n") for n in names])
ax.set(xlabel="choice of a hundred images", ylabel="accuracy")
ax.grid(axis="y", alpha=0.3)
ax.legend(frameon=False, loc="lower right")
plt.show()

# %%
# The next figure shows, for each choice, the first image of each class in the
# first split:
from skinfluence.plotting import ImageGridDisplay

X = split(0)[0][0]
shown = np.concatenate([rows[::10] for rows in chosen[0].values()])
figure, ax = plt.subplots(figsize=(6.5, 3.8))
figure.subplots_adjust(left=0.22, right=0.99, bottom=0.02, top=0.98)
ImageGridDisplay(X[shown].reshape(-1, 8, 8)).plot(ax=ax)
ax.set_yticks(8 * (1.35 * np.arange(len(names)) + 0.5), names)
ax.tick_params(length=0)
plt.show()

# %%
# The first table shows the rank correlation between two ways of computing
# influence. The second table shows the accuracy after fitting to each choice,
# minus the accuracy after fitting to random images, in percentage points. The
# numbers are means and standard errors:
print("agreement                         all images   within the class")
for name, found in agree.items():
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / SPLITS**0.5
    pairs = zip(mean, error, strict=True)
    print(f"    {name:30s}", *(f"{m:.2f} ± {e:.2f} " for m, e in pairs))
print("gain over random images           of a kernel  of a net")
gain = 100 * (values - values[names.index("random")])
for name, found in zip(accuracy, gain, strict=True):
    mean, error = found.mean(0), found.std(0, ddof=1) / SPLITS**0.5
    pairs = zip(mean, error, strict=True)
    print(f"    {name:30s}", *(f"{m:+.1f} ± {e:.1f}  " for m, e in pairs))

# %%
# Discussion
# ----------
# The images with the highest influence represent the whole set less well than
# random images do. This holds whether the influence is computed for a kernel
# or for a net, and whether a kernel or a net is fitted to the chosen images.
# Errors of the estimate are not the reason, because the influence of the
# kernel is exact. The reason is that influence answers another question: what
# is lost without one image.
#
# The choice step by step asks how much an image adds to the images already
# chosen. In these four splits, it is not clearly better than random images. In
# twelve other splits, it was clearly better, although the difference was about
# the same. In these twelve splits, the images closest to the cluster means
# were better still. To choose these images, no model and no reference images
# are needed.
#
# Within a class, influence under the kernel agrees with influence under the
# net if the net's scores use curvature. Two nets with different seeds agree
# more than that, and so do two kernels with different penalties. The net's
# plain inner products hardly agree with influence under the kernel. Over all
# classes, no two ways of computing influence agree well.
#
# This example has two limits. It chooses images, while the paper makes new
# ones. And its images have only 8 × 8 pixels.
