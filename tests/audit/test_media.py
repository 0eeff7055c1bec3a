"""Images in the audit: unreadable ones are set aside, the others are embedded and judged."""

import errno

import numpy as np
import pytest
import torch
from small_audit import read, run

image = pytest.importorskip("PIL.Image")

from skinfluence._audit import features  # noqa: E402
from skinfluence._audit.formats.delimited import table_from_columns  # noqa: E402
from skinfluence._audit.media import UNREADABLE, unreadable_rows  # noqa: E402
from skinfluence._data.embedding_cache import EmbeddingCache  # noqa: E402
from skinfluence.images import Backbone, ImageEmbedder  # noqa: E402


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of dark and bright images; one label is wrong and one file is broken."""
    rng = np.random.RandomState(0)
    for i in range(60):
        is_bright = (i % 2 == 0) != (i == 8)
        folder = tmp_path / "photos" / ("day" if i % 2 == 0 else "night")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.randint(0, 90, (12, 12, 3)) + (150 if is_bright else 0)
        image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02d}.png")
    (tmp_path / "photos" / "day" / "90.png").write_bytes(b"no image")
    torch.manual_seed(0)
    net = Backbone(torch.nn.Conv2d(3, 6, 3), size=8)
    embedder = lambda options: ImageEmbedder(net, cache=features._cache(options))  # noqa: E731
    monkeypatch.setattr(features, "_image_encoder", embedder)
    return tmp_path / "photos"


def test_a_folder_of_images_is_audited(quick_audit, photos, tmp_path, capsys):
    assert run(photos, "--output", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "1 image column (6 inputs of the net)" in out
    assert "set aside 1 row (an image that cannot be read)" in out
    assert [line[4] for line in read(tmp_path / "out" / "suspects.csv")[1:]] == ["day/08.png"]
    assert "photos/day/08.png" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert any((tmp_path / "out" / "embeddings").rglob("*"))


def test_a_table_may_name_the_images(quick_audit, photos, tmp_path):
    paths = sorted(photos.rglob("*.png"))
    lines = [f"photos/{p.parent.name}/{p.name},{p.parent.name}" for p in paths]
    table = tmp_path / "labels.csv"
    table.write_text("path,class\n" + "\n".join(lines) + "\nphotos/none.png,day\n,night\n")
    assert run(table, "--image", "path", "--label", "class", "--output", tmp_path / "out") == 0
    aside = [line[0] for line in read(tmp_path / "out" / "scores.csv") if UNREADABLE in line]
    assert aside == ["31", "62", "63"]
    assert len(read(tmp_path / "out" / "suspects.csv")) == 2


def test_without_images_no_row_is_unreadable():
    assert unreadable_rows(table_from_columns(["a"], [["x", "y"]])) == {}


def test_a_full_disk_for_the_embeddings_gets_one_line(
    quick_audit, photos, tmp_path, monkeypatch, capsys
):
    def put(self, key, row):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(EmbeddingCache, "put", put)
    assert run(photos, "--output", tmp_path / "out", "--quiet") == 2
    err = capsys.readouterr().err
    assert "embeddings cannot be kept in" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("it needs x: pip install x"), "it needs x: pip install x"),
        (OSError("no such model\nread this page"), "cannot be loaded: no such model Give a"),
    ],
)
def test_a_model_that_is_not_there_gets_one_line(
    quick_audit, photos, tmp_path, monkeypatch, capsys, error, message
):
    def transform(self, X):
        raise error

    monkeypatch.setattr(ImageEmbedder, "transform", transform)
    assert run(photos, "--output", tmp_path / "out", "--quiet") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
