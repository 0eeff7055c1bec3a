"""A CSV inside a CSV."""

import pytest
from written import given, rewritten

from skinfluence._audit.formats import read_table
from skinfluence._audit.options import Options

LINES = ['"age;""job"";""y"""', '"58;""a; b"";""no"""', '"44;""c"";""yes"""', '"33;""d"";""no"""']


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_table_inside_is_read_and_written_back_in_its_form(tmp_path, newline, encoding):
    content = "".join(line + newline for line in LINES).encode(encoding)
    table = read_table(given(tmp_path, content))
    assert table.names == ["age", "job", "y"]
    assert table.cells == [["58", "a; b", "no"], ["44", "c", "yes"], ["33", "d", "no"]]
    assert any("one quoted cell" in note for note in table.notes)
    assert rewritten(table, tmp_path, {}).read_bytes() == content
    path = rewritten(table, tmp_path, {0: None, 1: ["44", "c;", "no"]})
    again = read_table(path)
    assert again.cells == [["44", "c;", "no"], ["33", "d", "no"]]
    assert path.read_bytes().decode(encoding).split(newline)[1] == '"44;""c;"";no"'


def test_options_are_for_the_table_inside(tmp_path):
    path = given(tmp_path, "\n".join(LINES) + "\n")
    table = read_table(path, Options(no_header=True))
    assert (len(table.cells), table.names[0]) == (4, "column_1")
    assert rewritten(table, tmp_path, {0: None}).read_text() == "\n".join(LINES[1:]) + "\n"
    table = read_table(path, Options(skip_rows=1))
    assert table.names == ["58", "a; b", "no"]
    assert rewritten(table, tmp_path, {}).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        '"one, two"\n"three"\n"four, five"\n',  # texts, some with commas
        'a\n"1,2"\n"3,4"\n',
        '"a,b"\n"1,2,3"\n"4,5"\n',
    ],
)
def test_a_column_of_quoted_texts_stays_one_column(tmp_path, text):
    table = read_table(given(tmp_path, text))
    assert len(table.names) == 1
    assert rewritten(table, tmp_path, {}).read_text() == text
