"""Which containers hold images, and which images cannot be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from skinfluence.images import unreadable
from skinfluence.images._column import images_of

NAMES = ["a.png", "b.png", "c.png"]
PIXELS = np.zeros((3, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "X",
    [
        NAMES,
        np.array(NAMES),
        np.array(NAMES, dtype=object)[:, None],
        pd.Series(NAMES, index=[7, 8, 9]),
        pd.Series(NAMES, dtype="category", index=[7, 8, 9]),
        pd.DataFrame({"path": NAMES}, index=[7, 8, 9]),
        pl.Series(NAMES),
        pl.DataFrame({"path": NAMES}),
    ],
    ids=lambda X: f"{type(X).__module__.split('.')[0]} {type(X).__name__}",
)
def test_columns_of_paths(X):
    images = images_of(X)
    assert [images[i] for i in range(len(images))] == NAMES


@pytest.mark.parametrize(
    "X",
    [
        [Path(name) for name in NAMES],
        PIXELS,
        PIXELS[..., 0],
        torch.from_numpy(PIXELS),
        [PIXELS[0], PIXELS[0, :5], PIXELS[0, ..., 0]],
        [Image.fromarray(pixels) for pixels in PIXELS],
    ],
)
def test_columns_of_images(X):
    assert len(images_of(X)) == 3


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("a.png", "X is of type str; expected a column of images"),
        (Path("a.png"), "X is of type PosixPath"),
        ({"path": NAMES}, "X is of type dict"),
        (np.zeros((3, 64)), r"shape \(3, 64\).*Reshape flattened images"),
        (np.zeros(3), r"shape \(3,\)"),
        (pd.DataFrame({"path": NAMES, "label": NAMES}), "X has 2 columns"),
        ([], r"0 sample\(s\)"),
    ],
)
def test_other_containers_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        images_of(X)


def test_unreadable_images_are_listed_with_their_reasons(tmp_path):
    paths = [str(tmp_path / name) for name in NAMES]
    Image.fromarray(PIXELS[0]).save(paths[1])
    Path(paths[2]).write_text("not an image")
    X = pd.Series([*paths, None, np.nan, pd.NA], index=[1, 1, 2, 3, 4, 5], dtype=object)
    assert unreadable(X) == {
        0: f"no such file: {paths[0]}",
        2: "not an image, or of a format that Pillow cannot read",
        3: "missing value",
        4: "missing value",
        5: "missing value",
    }
    assert unreadable(paths[1:2]) == {}
