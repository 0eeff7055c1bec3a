"""Folders of images are tables of paths and classes."""

import pytest

pytest.importorskip("pandas")

from skinfluence._audit.formats import read_table
from skinfluence._audit.table import AuditError


def make(folder, *paths):
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not read here")
    return folder


def rows(table):
    return [tuple(cells) for cells in table.cells]


def test_a_class_is_a_folder_with_everything_in_it(tmp_path):
    make(tmp_path, "dog/1.JPG", "cat/new/2.png", "cat/1.png", "cat/.hidden.png", ".git/x.png")
    table = read_table(tmp_path)
    assert table.names == ["image", "class"]
    assert rows(table) == [("cat/1.png", "cat"), ("cat/new/2.png", "cat"), ("dog/1.JPG", "dog")]
    assert table.images == {0: tmp_path}
    assert table.names[table.default_label] == "class"
    assert table.notes == []


def test_folders_below_splits_are_classes(tmp_path):
    make(tmp_path, "train/cat/1.png", "train/dog/2.png", "test/cat/1.png")
    table = read_table(tmp_path)
    assert [label for _, label in rows(table)] == ["cat", "cat", "dog"]
    assert "test, train are read as splits" in table.notes[0]


def test_what_is_left_out_is_said(tmp_path):
    make(tmp_path, "cat/1.png", "dog/1.png", "loose.png", "notes.txt", "dog/labels.csv", "LICENSE")
    table = read_table(tmp_path)
    assert len(table.cells) == 2
    assert table.notes == [
        "images that are in no class folder are left out: 1",
        "files that are not images are left out: 3 (no suffix, .csv, .txt)",
    ]


def test_the_table_is_written_as_csv(tmp_path):
    table = read_table(make(tmp_path, "a/1.png", "b/2.png", "b/3.png"))
    table.source.write(tmp_path / "out.csv", {0: ["a/1.png", "b"], 2: None})
    assert (tmp_path / "out.csv").read_text() == "image,class\na/1.png,b\nb/2.png,b\n"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["1.png", "2.png"], "holds images, but no folder of images; expected one folder per"),
        (["notes.txt"], "is a folder; expected a file that holds a table, a folder with one"),
    ],
)
def test_other_folders_are_refused(tmp_path, paths, message):
    with pytest.raises(AuditError, match=message):
        read_table(make(tmp_path, *paths))
