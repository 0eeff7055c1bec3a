"""JSON lines and arrays of objects."""

import json

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from written import expect_changes, given, rewritten

from skinfluence._audit.formats import json_records, read_table
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError

LINES = (
    '{"id": 1.50, "t": "a \\u00e9", "deep": {"k": [1, 2.0]}, "y": "u"}\n'
    '{"id":2, "t" : null,"y":"v", "late": true}\n\n'
    '{ "y": "u" }\n'
)


def test_names_are_those_of_all_objects_and_cells_are_text(tmp_path):
    table = read_table(given(tmp_path, LINES, "t.jsonl"))
    assert table.names == ["id", "t", "deep", "y", "late"]
    assert table.cells == [
        ["1.50", "a é", '{"k": [1, 2.0]}', "u", ""],
        ["2", "", "", "v", "true"],
        ["", "", "", "u", ""],
    ]
    assert [list(column) for column in table.columns] == [
        list(c) for c in zip(*table.cells, strict=True)
    ]


def test_unchanged_records_and_members_keep_their_text(tmp_path):
    table = read_table(given(tmp_path, LINES, "t.jsonl"))
    assert rewritten(table, tmp_path, {}).read_text() == LINES
    first, second, third = table.cells
    first[3], first[0] = 'v"', "7"
    third[4], third[1] = "false", "é"
    path = rewritten(table, tmp_path, {0: first, 1: None, 2: third})
    assert path.read_text() == (
        '{"id": 7, "t": "a \\u00e9", "deep": {"k": [1, 2.0]}, "y": "v\\""}\n'
        '{ "y": "u", "t": "\\u00e9", "late": false}\n'
    )
    assert second[3] == "v"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["t.json", "t"])
def test_an_array_stays_an_array(tmp_path, indent, name):
    records = [{"a": i, "y": "uv"[i % 2]} for i in range(4)]
    table = read_table(given(tmp_path, json.dumps(records, indent=indent) + "\n", name))
    assert table.cleaned_name == "cleaned.json"
    for dropped in ({0}, {3}, {1, 2}, {0, 1, 2, 3}):
        path = rewritten(table, tmp_path, dict.fromkeys(dropped))
        assert json.loads(path.read_text()) == [r for r in records if r["a"] not in dropped]
    again = expect_changes(table, tmp_path, {1: ["9", "u"], 2: None})
    assert json.loads(again.source.text)[1] == {"a": 9, "y": "u"}


def test_an_array_in_an_object_is_found(tmp_path):
    text = '{"meta": {"n": 2}, "data": [{"a": 1, "y": "u"}, {"a": 2, "y": "v"}]}'
    table = read_table(given(tmp_path, text, "t.json"))
    assert table.cells == [["1", "u"], ["2", "v"]]
    path = rewritten(table, tmp_path, {0: None})
    assert path.read_text() == '{"meta": {"n": 2}, "data": [{"a": 2, "y": "v"}]}'


def test_an_object_of_columns_is_read_and_written_back(tmp_path):
    text = '{"a":{"5":1.50,"7":null,"9":3},"y":{"5":"u","7":"\\u00e9","9":"u"}}'
    table = read_table(given(tmp_path, text, "t.json"))
    assert (table.names, table.cells) == (["a", "y"], [["1.50", "u"], ["", "é"], ["3", "u"]])
    assert rewritten(table, tmp_path, {}).read_text() == text
    path = rewritten(table, tmp_path, {0: ["1.50", "é"], 2: None})
    assert path.read_text() == '{"a":{"5":1.50,"7":null},"y":{"5":"\\u00e9","7":"\\u00e9"}}'


def test_lines_may_have_the_name_of_an_array_or_none(tmp_path):
    for name in ("t.json", "t"):
        table = read_table(given(tmp_path, LINES, name))
        assert len(table.cells) == 3
    assert table.cleaned_name == "cleaned.jsonl"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_written_back(tmp_path, encoding):
    content = '{"a": "é", "y": "u"}\n{"a": "x", "y": "v"}\n'.encode(encoding)
    table = read_table(given(tmp_path, content, "t.jsonl"))
    assert table.cells == [["é", "u"], ["x", "v"]]
    assert rewritten(table, tmp_path, {}).read_bytes() == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ('{"a": 1}\n{"a": }\n', "not valid JSON in line 2, column 7"),
        ('[{"a": 1} {"a": 2}]', "expected a comma"),
        ('[{"a": 1}', "not valid JSON"),
        ("[1, 2]", "line 1 holds a value that is not an object; expected one object per line"),
        ("[]", "holds no object"),
        ("{}\n{}\n", "the objects are empty"),
        ('{"a": {"0": 1}, "b": {"c": 2}}', "the file is one JSON object; expected one object"),
        ('{"0": {"a": 1}, "1": {"a": 2}}', "the file is one JSON object"),
        ('{"data": {"a": [1, 2]}}', "the file is one JSON object"),
        ('{"x": {"a": 1}, "y": {"a": 2}}', "the file is one JSON object"),
        ('{"a": 1},\n{"a": 2}\n', "expected another object"),
        ('[{"a": 1}, ', "expected the end of the array"),
        ('[{"a": 1}]\n[{"a": 2}]', "expected the end of the file after the array"),
        ('{"a":' + '{"a":' * 100_000, "too deep"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, message):
    with pytest.raises(AuditError, match=message):
        read_table(given(tmp_path, text, "t.json"))


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
RECORDS = st.dictionaries(
    st.sampled_from(["a", "b", 'q"', "é"]), VALUES | st.lists(VALUES, max_size=2), max_size=4
)


@drawn(st.lists(RECORDS, min_size=1, max_size=5), st.booleans(), st.data())
@settings(max_examples=100, deadline=None)
def test_any_records_are_the_same_after_they_are_written(records, is_array, data):
    if not any(records):
        records[0]["a"] = 1
    lines = [json.dumps(record, ensure_ascii=data.draw(st.booleans())) for record in records]
    text = "[" + ", ".join(lines) + "]" if is_array else "\n".join(lines)
    source = json_records.parse(text, is_lines=not is_array)
    dropped = data.draw(st.sets(st.sampled_from(range(len(records)))))
    pieces = "".join(source.pieces(dict.fromkeys(dropped)))
    kept = [record for i, record in enumerate(records) if i not in dropped]
    lines = [line for line in pieces.split("\n") if line]
    assert kept == (json.loads(pieces) if is_array else list(map(json.loads, lines)))


def test_the_option_for_csv_files_does_not_matter(tmp_path):
    assert len(read_table(given(tmp_path, LINES, "t.jsonl"), Options(sep=";")).cells) == 3


def test_half_characters_are_kept_as_they_are_written(tmp_path):
    text = '{"a": "é \\ud800", "y": "u"}\n{"a": "x", "y": "\\udc00"}\n'
    table = read_table(given(tmp_path, text, "t.jsonl"))
    assert rewritten(table, tmp_path, {}).read_bytes() == text.encode()
    path = rewritten(table, tmp_path, {0: [table.cells[0][0], table.cells[1][1]]})
    assert read_table(path).cells[0] == ["é \ud800", "\udc00"]
    with table.form.open(tmp_path / "suspects.csv") as file:
        file.write(table.form.line(table.cells[0]))
