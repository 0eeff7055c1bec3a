"""Parquet, Arrow, and saved data sets: written back with their types."""

import json

import numpy as np
import pytest
from written import expect_changes, given, rewritten

from skinfluence._audit.formats import read_table
from skinfluence._audit.table import AuditError

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def frame():
    return pd.DataFrame(
        {
            "n": [1, 2, 3, 4, 5],
            "gap": [1.5, np.nan, 3, 4, 5],
            "flag": [True, False, None, True, False],
            "when": pd.Timestamp("2024-02-29 12:00"),
            "raw": [b"\xff", b"text", b"", None, b"x"],
            "list": [[1], [], None, [2, 3], [4]],
            "kind": pd.Categorical(list("uvuvu"), categories=["v", "u", "w"]),
        },
        index=pd.Index([10, 20, 30, 40, 50], name="id"),
    )


def parquet(path):
    pq.write_table(pa.Table.from_pandas(frame()), path, row_group_size=2, compression="zstd")


def feather(path):
    table = pa.Table.from_pandas(frame())
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def stream(path):
    table = pa.Table.from_pandas(frame())
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def data_set(path):
    """A folder like those that the package `datasets` saves."""
    path.mkdir()
    features = {"text": {"dtype": "string", "_type": "Value"}}
    features["label"] = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    info = json.dumps({"info": {"features": features}}).encode()
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())], {b"huggingface": info})
    files = [{"filename": f"data-{i:05d}-of-00002.arrow"} for i in range(2)]
    for i, file in enumerate(files):
        table = pa.table({"text": [f"a{i}", "b", None], "label": [0, 1, None]}, schema)
        name = str(path / file["filename"])
        with pa.OSFile(name, "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(table)
    (path / "dataset_info.json").write_text(json.dumps({"features": features}))
    (path / "state.json").write_text(json.dumps({"_data_files": files, "_fingerprint": "abc"}))


@pytest.mark.parametrize(
    ("write", "name"), [(parquet, "t.parquet"), (feather, "t.feather"), (stream, "t.arrow")]
)
def test_types_metadata_and_other_cells_are_kept(tmp_path, write, name):
    write(tmp_path / name)
    table = read_table(tmp_path / name)
    assert table.names == ["n", "gap", "flag", "when", "raw", "list", "kind", "id"]
    assert table.cells[0] == [
        "1", "1.5", "True", "2024-02-29 12:00:00", "(1 bytes)", "[1]", "u", "10",
    ]  # fmt: skip
    assert (table.names[table.default_label], table.index) == ("kind", {7})
    first, fifth = table.cells[0], table.cells[4]
    first[6], first[0], first[2], first[3] = "v", "7.0", "False", "2024-03-01 00:00:00"
    fifth[6], fifth[1] = "w", "6.5"
    path = rewritten(table, tmp_path, {0: first, 1: None, 2: None, 4: fifth})
    again = read_table(path)
    first[0] = "7"
    assert list(again.cells) == [first, table.cells[3], fifth]
    old, new = arrow_table(tmp_path / name), arrow_table(path)
    assert list(new.to_pandas().index) == [10, 40, 50]
    assert list(new.to_pandas()["kind"].cat.categories) == ["v", "u", "w"]
    assert old.schema.equals(new.schema, check_metadata=True)
    if write is parquet:
        assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def arrow_table(path):
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        return pq.read_table(path)
    is_file = content.startswith(b"ARROW1")
    return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(content).read_all()


def test_an_index_without_a_name_is_not_the_default_label(tmp_path):
    frame().set_axis([5, 1, 9, 2, 7]).to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.names[-1] == "__index_level_0__"
    assert table.names[table.default_label] == "kind"


def test_content_decides_whatever_the_name(tmp_path):
    parquet(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").cleaned_name == "cleaned.parquet"


def test_a_label_that_does_not_fit_its_type_is_refused(tmp_path):
    parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    cells = table.cells[0]
    cells[0] = "many"
    with pytest.raises(AuditError, match="'many' cannot be written to column 'n', whose type is i"):
        rewritten(table, tmp_path, {0: cells})


def test_a_saved_data_set_is_read_by_the_names_of_its_classes(tmp_path):
    data_set(tmp_path / "set")
    table = read_table(tmp_path / "set")
    assert [table.cells[i] for i in range(4)] == [
        ["a0", "neg"], ["b", "pos"], ["", ""], ["a1", "neg"],
    ]  # fmt: skip
    assert table.cleaned_name == "cleaned"
    again = expect_changes(table, tmp_path, {0: ["a0", "pos"], 4: None})
    folder = tmp_path / "written"
    assert again.cells[0] == ["a0", "pos"]
    assert json.loads((folder / "state.json").read_text())["_fingerprint"] == "abc-cleaned"
    assert (folder / "dataset_info.json").read_bytes() == (
        tmp_path / "set" / "dataset_info.json"
    ).read_bytes()


def test_a_split_of_a_saved_data_set_is_chosen(tmp_path):
    (tmp_path / "sets").mkdir()
    for split in ("train", "test"):
        data_set(tmp_path / "sets" / split)
    (tmp_path / "sets" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert len(read_table(f"{tmp_path / 'sets'}::test").cells) == 6
    with pytest.raises(AuditError, match="holds the splits train, test; name one, as in"):
        read_table(tmp_path / "sets")


@pytest.mark.parametrize("name", ["t.parquet", "t.feather"])
def test_a_damaged_file_gets_one_line(tmp_path, name):
    (parquet if name == "t.parquet" else feather)(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    with pytest.raises(AuditError, match="cannot be read as"):
        read_table(given(tmp_path, content[:-60], name))
