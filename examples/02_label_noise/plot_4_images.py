"""
Are wrong labels of image files found?
======================================

A folder holds a thousand images of handwritten digits, and a tenth of their
labels are wrong. A pretrained network turns each file into a vector, and the
detector ranks the vectors. The labels of the 24 most suspect images are all
wrong. One file is damaged; it is set aside first.
"""

# %%
# We write the images to a folder, as a camera or a scanner would, and cut one
# file off.
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from skinfluence.datasets import flip_labels

digits = load_digits()
labels, is_wrong = flip_labels(digits.target[:1000], 0.1, random_state=0)

folder = tempfile.TemporaryDirectory()
paths = np.array([f"{folder.name}/{i}.png" for i in range(1000)])
for path, pixels in zip(paths, digits.images, strict=False):
    Image.fromarray(np.uint8(pixels * 255 / 16)).resize((64, 64)).save(path)
damaged = Path(paths[10])
damaged.write_bytes(damaged.read_bytes()[:40])

# %%
# :func:`~skinfluence.images.unreadable` lists the files that cannot be read.
# We leave them out of the paths and of the labels.
from skinfluence.images import ImageEmbedder, unreadable

reasons = unreadable(paths)
print(*reasons.items())
keep = np.setdiff1d(np.arange(1000), list(reasons))
paths, labels, is_wrong = paths[keep], labels[keep], is_wrong[keep]

# %%
# The network comes in a Python package, so nothing is downloaded. It was
# trained on photographs of 224 by 224 pixels. For digits, 96 by 96 pixels are
# enough, and five times as fast. With ``cache=``, a second call would read the
# vectors from a folder.
from skinfluence import NoisyLabelDetector

X = ImageEmbedder(size=96).fit_transform(paths)
detector = NoisyLabelDetector(random_state=0).fit(X, labels)
is_suspect = ~detector.inlier_mask_
print(f"{is_suspect.sum()} suspects; {is_wrong.sum()} labels are wrong,")
print(f"of which {(is_suspect & is_wrong).sum()} are among the suspects")

# %%
# The most suspect images come first. Each caption reads "given → suggested
# label".
import matplotlib.pyplot as plt

from skinfluence.plotting import ImageGridDisplay

images = np.stack([np.asarray(Image.open(path)) for path in paths])
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ImageGridDisplay.from_detector(
    detector, images, top=24, columns=8, ax=ax, cmap="gray"
)
plt.show()
first = detector.scores_.argsort()[:24]
print(f"wrong labels among these 24: {is_wrong[first].sum()}")

# %%
# For comparison, the usual baseline: the out-of-sample probability of the
# given label, predicted by logistic regression from the same vectors. The
# average precision is 1 if all wrong labels come first, and 0.1 for a random
# order.
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

model = LogisticRegression(max_iter=2000)
p = cross_val_predict(model, X, labels, method="predict_proba")
for name, scores in [
    ("detector", detector.scores_),
    ("logistic regression", p[np.arange(len(labels)), labels]),
]:
    print(f"{name:20s} {average_precision_score(is_wrong, -scores):.3f}")

# %%
folder.cleanup()
