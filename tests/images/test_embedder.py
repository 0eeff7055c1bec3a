"""ImageEmbedder on the packaged network: photographs, and digits as images."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence.datasets import flip_labels
from skinfluence.images import Backbone, ImageEmbedder, _backbone, unreadable
from skinfluence.nets import TabularClassifier

pytest.importorskip("efficientnet_lite_pytorch")


@pytest.fixture(scope="module")
def photographs():
    """Eight patches of two photographs: a temple in China, then a flower."""
    return np.stack(
        [
            image[top : top + 200, left : left + 200]
            for image in load_sample_images().images
            for top in (0, 200)
            for left in (100, 300)
        ]
    )


@pytest.fixture(scope="module")
def digits():
    """Digits as gray images, in several files' worth of classes."""
    data = load_digits(n_class=4)
    images = np.rint(data.images[:160] * (255 / 16)).astype(np.uint8)
    return images, data.target[:160]


@pytest.fixture(scope="module")
def paths(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    paths = [str(folder / f"{i}.png") for i in range(len(digits[0]))]
    for path, pixels in zip(paths, digits[0], strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture
def tiny():
    """A small random network, for what does not depend on the weights."""
    torch.manual_seed(0)
    return Backbone(nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU()), size=16)


def test_images_of_one_kind_are_closer_than_images_of_two(photographs):
    rows = ImageEmbedder(size=96).fit_transform(photographs)
    assert rows.shape == (8, 1280)
    assert rows.dtype == np.float32
    rows = rows - rows.mean(0)
    similar = np.corrcoef(rows)
    assert similar[:4, :4].mean() > 0.2 > -0.2 > similar[:4, 4:].mean()


def test_all_containers_give_the_same_rows(digits, paths, tiny):
    images = digits[0][:6]
    expected = ImageEmbedder(tiny).transform(images)
    colored = np.repeat(images[..., None], 3, axis=3)
    series = pd.Series(paths[:6], index=[5, 5, 1, 2, 3, 4])
    for X in (colored, [*images], [Image.fromarray(a) for a in images], series, paths[:6]):
        np.testing.assert_array_equal(ImageEmbedder(tiny).transform(X), expected)


def test_images_of_unequal_sizes(photographs, tiny):
    X = [photographs[0], photographs[0][:50], photographs[1][:, :70, 0]]
    rows = ImageEmbedder(tiny).transform(X)
    for row, image in zip(rows, X, strict=True):
        np.testing.assert_allclose(row, ImageEmbedder(tiny).transform([image])[0], rtol=1e-5)


def test_batches_do_not_matter_and_one_at_a_time_is_in_memory(digits, tiny, monkeypatch):
    expected = ImageEmbedder(tiny).transform(digits[0][:10])
    sizes = spy(monkeypatch)
    rows = ImageEmbedder(tiny, batch_size=4).transform(digits[0][:10])
    assert sizes == [4, 4, 2]
    np.testing.assert_allclose(rows, expected, rtol=1e-5)


def spy(monkeypatch):
    """Record how many images each call of the network embeds."""
    sizes, embed = [], _backbone.Backbone.embed

    def recording(self, pixels, device):
        sizes.append(len(pixels))
        return embed(self, pixels, device)

    monkeypatch.setattr(_backbone.Backbone, "embed", recording)
    return sizes


def test_twice_the_same_and_the_random_state_is_kept(photographs):
    before = torch.random.get_rng_state()
    first, second = (ImageEmbedder(size=32).transform(photographs) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_size_of_the_input(photographs, tiny):
    small, large = (ImageEmbedder(tiny, size=size).transform(photographs) for size in (16, 64))
    np.testing.assert_array_equal(small, ImageEmbedder(tiny).transform(photographs))
    assert not np.allclose(small, large)


@pytest.mark.parametrize("params", [{"batch_size": 0}, {"size": 0}, {"size": 1.5}])
def test_wrong_parameters_are_refused(params, photographs, tiny):
    with pytest.raises(ValueError, match=r"(batch_size|size)=.*: expected a positive integer"):
        ImageEmbedder(tiny, **params).fit(photographs)


def test_fit_checks_the_type_of_x(tiny):
    assert ImageEmbedder(tiny).fit(["not_read_yet.png"]) is not None
    with pytest.raises(ValueError, match="Reshape flattened images"):
        ImageEmbedder(tiny).fit(np.zeros((3, 64)))


# Images that cannot be read


def test_images_that_cannot_be_read_are_counted_and_listed(paths, tiny, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    missing = [str(tmp_path / f"{i}.png") for i in range(5)]
    X = np.array([paths[0], str(tmp_path / "text.png"), paths[1], *missing])
    with pytest.raises(ValueError, match=r"6 of 8 images cannot be read.*images\.unreadable") as e:
        ImageEmbedder(tiny, batch_size=1).transform(X)
    first = "1: not an image, or of a format that Pillow cannot read; 3: no such file"
    assert f"{first}: {missing[0]}; " in str(e.value)
    assert missing[3] in str(e.value)
    assert missing[4] not in str(e.value)
    reasons = unreadable(X)
    assert [*reasons] == [1, 3, 4, 5, 6, 7]
    assert ImageEmbedder(tiny).transform(np.delete(X, list(reasons))).shape == (2, 5)


# The cache


def test_a_second_call_embeds_nothing(paths, tiny, tmp_path, monkeypatch):
    sizes = spy(monkeypatch)
    embedder = ImageEmbedder(tiny, cache=tmp_path, batch_size=4)
    first = embedder.transform(paths[:6])
    assert sizes == [4, 2]
    np.testing.assert_array_equal(clone(embedder).transform(paths[5::-1]), first[::-1])
    assert sizes == [4, 2]
    embedder.transform(paths[:8])
    assert sizes == [4, 2, 2]
    np.testing.assert_array_equal(ImageEmbedder(tiny, batch_size=4).transform(paths[:6]), first)


def test_a_file_that_changed_is_embedded_again(tiny, tmp_path, digits):
    path = tmp_path / "digit.png"
    for pixels in digits[0][:2]:
        Image.fromarray(pixels).save(path)
        row = ImageEmbedder(tiny, cache=tmp_path / "cache").transform([path])
        np.testing.assert_array_equal(row, ImageEmbedder(tiny).transform([path]))


def test_networks_and_settings_do_not_share_embeddings(tiny, tmp_path, photographs):
    torch.manual_seed(1)
    other = Backbone(nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU()), size=16)
    for embedder in (
        ImageEmbedder(tiny),
        ImageEmbedder(other),
        ImageEmbedder(tiny, size=20),
        ImageEmbedder(Backbone(tiny.module, size=16, mean=(0, 0, 0))),
    ):
        expected = embedder.transform(photographs)
        for _ in range(2):
            rows = clone(embedder).set_params(cache=str(tmp_path)).transform(photographs)
            np.testing.assert_array_equal(rows, expected)


def test_a_killed_run_goes_on_where_it_stopped(tiny, tmp_path, photographs, monkeypatch):
    embed, calls = _backbone.Backbone.embed, []

    def killed(self, pixels, device):
        calls.append(len(pixels))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(self, pixels, device)

    monkeypatch.setattr(_backbone.Backbone, "embed", killed)
    embedder = ImageEmbedder(tiny, cache=tmp_path, batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        embedder.transform(photographs)
    rows = embedder.transform(photographs)
    assert calls == [2, 2, 2, 2, 2]  # 4 of 8 images were stored
    np.testing.assert_allclose(rows, ImageEmbedder(tiny).transform(photographs), rtol=1e-5)


# The API of scikit-learn


def test_names_of_columns_and_frames_as_output(tiny, paths):
    embedder = ImageEmbedder(tiny).set_output(transform="pandas")
    names = [f"imageembedder{i}" for i in range(5)]
    assert list(embedder.get_feature_names_out()) == names
    frame = embedder.fit_transform(pd.DataFrame({"path": paths[:3]}, index=[7, 8, 9]))
    assert list(frame.columns) == names
    assert list(frame.index) == [7, 8, 9]
    assert len(ImageEmbedder(size=32).get_feature_names_out()) == 1280


def test_clones_and_pickles_give_the_same_rows(tiny, photographs):
    for embedder in (ImageEmbedder(size=32, batch_size=3), ImageEmbedder(tiny)):
        expected = embedder.transform(photographs)
        for again in (clone(embedder), pickle.loads(pickle.dumps(embedder))):
            np.testing.assert_array_equal(again.transform(photographs), expected)


def test_a_grid_search(tiny, digits, paths):
    pipeline = make_pipeline(ImageEmbedder(tiny), StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"imageembedder__size": [3, 16]}, cv=2)
    search.fit(paths[:80], digits[1][:80])
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    assert search.best_score_ > 0.5  # chance: 0.25


@pytest.mark.parametrize("column", ["path", ["path"]])
def test_a_column_of_paths_beside_numbers(tiny, paths, column):
    frame = pd.DataFrame({"path": paths[:6], "weight": np.arange(6.0)})
    encoder = ColumnTransformer(
        [("image", ImageEmbedder(tiny), column), ("rest", "passthrough", ["weight"])]
    )
    rows = encoder.fit_transform(frame)
    np.testing.assert_allclose(rows[:, :5], ImageEmbedder(tiny).transform(paths[:6]))
    assert list(encoder.get_feature_names_out())[-2:] == ["image__imageembedder4", "rest__weight"]


def test_a_progress_bar_on_demand(tiny, photographs, capsys):
    ImageEmbedder(tiny).transform(photographs)
    assert capsys.readouterr().err == ""
    ImageEmbedder(tiny, verbose=1).transform(photographs)
    assert "8/8" in capsys.readouterr().err


def test_wrong_labels_of_image_files_are_found(paths, digits):
    y, wrong = flip_labels(digits[1], 0.1, random_state=0)
    detector = NoisyLabelDetector(contamination=0.1, cv=3, checkpoints=2, random_state=0)
    pipeline = make_pipeline(ImageEmbedder(size=32), StandardScaler(), detector)
    flags = pipeline.fit_predict(paths, y)
    assert (flags[wrong] == -1).mean() >= 0.8  # chance finds 0.1


def test_the_scorer_behind_the_embedder(paths, digits, tiny):
    scorer = InfluenceScorer(TabularClassifier(max_epochs=3), random_state=0)
    pipeline = make_pipeline(ImageEmbedder(tiny), StandardScaler(), scorer)
    pipeline.fit(paths[:40], digits[1][:40])
    assert pipeline[-1].scores_.shape == (40,)
