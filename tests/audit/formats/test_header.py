"""Titles above a header, files without one, and headers of two lines."""

import pytest
from written import given, rewritten

from skinfluence._audit.formats import header, read_table
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError

ROWS = "".join(f"{i},{i % 3},{'uv'[i % 2]}\n" for i in range(9))


@pytest.mark.parametrize(
    ("above", "line"),
    [
        ("Export of 2024-01-05\n\n", 3),
        ("Export of 2024-01-05\n", 2),
        ("Export of 2024-01-05,,\n", 2),
        ("# made by a program\n# with, many, words, here\n", 3),
        ("\n\nReport\nall shops\n", 5),
    ],
)
def test_a_title_is_found_said_and_kept(tmp_path, above, line):
    text = f"{above}a,b,y\n{ROWS}"
    table = read_table(given(tmp_path, text))
    assert table.names == ["a", "b", "y"]
    assert table.cells[0] == ["0", "0", "u"]
    assert f"the header is read from line {line}; what is above it is kept" in table.notes[0]
    assert rewritten(table, tmp_path, {}).read_text() == text
    assert rewritten(table, tmp_path, {0: None}).read_text() == text.replace("0,0,u\n", "", 1)


@pytest.mark.parametrize(
    "text",
    [
        "a,b,y\n" + ROWS,
        "name;y\n1,5;u\n2,5;v\n3,5;u\n",  # decimal commas
        "text\n" + "one, two, three\nfour\nfive, six\n" * 3,
        "a,,\n1,2,u\n2,3,v\n3,4,u\n",  # two columns lack a name
    ],
)
def test_what_is_no_title_is_read_as_the_header(text):
    rows = [line.split(";" if ";" in text else ",") for line in text.splitlines()]
    assert header.title_rows(rows) == 0


def test_a_separator_inside_labels_is_not_the_separator(tmp_path):
    labels = ["b|c", "a", "c|a", "b"]
    text = "x,z,label\n" + "".join(f"0.{i},0.5,{labels[i % 4]}\n" for i in range(20))
    table = read_table(given(tmp_path, text))
    assert (table.names, table.notes) == (["x", "z", "label"], [])


@pytest.mark.parametrize("end", ["", "\n", "\n\n \n"])
def test_blank_lines_and_the_end_of_the_file_are_kept(tmp_path, end):
    text = "\na,y\n\n1,u\n\n\n2,v\n3,w" + end
    table = read_table(given(tmp_path, text))
    assert rewritten(table, tmp_path, {}).read_text() == text
    path = rewritten(table, tmp_path, {0: ["1", "v"], 1: None})
    assert path.read_text() == "\na,y\n\n1,v\n3,w" + end


def test_ragged_rows_are_not_a_title(tmp_path):
    with pytest.raises(AuditError, match="line 2 has 2 cells, but the header in line 1 has 1"):
        read_table(given(tmp_path, "name\nSmith, Ann\nDoe, Jo\nRoe, Al\n"), Options(sep=","))


def test_skip_rows_decides(tmp_path):
    path = given(tmp_path, "one,two,three\nx,y,z\n" + ROWS)
    table = read_table(path, Options(skip_rows=1))
    assert (table.names, len(table.cells)) == (["x", "y", "z"], 9)
    assert rewritten(table, tmp_path, {}).read_bytes() == path.read_bytes()
    title = given(tmp_path, "Report\na,b,y\n" + ROWS, "title.csv")
    with pytest.raises(AuditError, match="line 2 has 3 cells, but the header in line 1 has 1"):
        read_table(title, Options(skip_rows=0))
    with pytest.raises(AuditError, match="--skip-rows 99 leaves no line"):
        read_table(path, Options(skip_rows=99))


@pytest.mark.parametrize("line", ["sep=|\n", '"sep=|"\r\n'])
def test_a_first_line_that_names_the_separator_is_followed_and_kept(tmp_path, line):
    text = line + "a,b|y\n1,5|u\n2,5|v\n"
    table = read_table(given(tmp_path, text))
    assert (table.names, table.cells) == (["a,b", "y"], [["1,5", "u"], ["2,5", "v"]])
    assert rewritten(table, tmp_path, {}).read_bytes() == text.encode()


def test_a_file_without_header_keeps_its_first_row(tmp_path):
    path = given(tmp_path, ROWS)
    assert (
        "it looks like the rows; if the file has no header, use --no-header"
        in (read_table(path).notes[0])
    )
    table = read_table(path, Options(no_header=True))
    assert (table.names, table.notes) == (["column_1", "column_2", "column_3"], [])
    assert (len(table.cells), table.cells[0]) == (9, ["0", "0", "u"])
    assert rewritten(table, tmp_path, {}).read_text() == ROWS
    assert rewritten(table, tmp_path, {0: None}).read_text() == ROWS.partition("\n")[2]
    table = read_table(given(tmp_path, "note\n" + ROWS), Options(no_header=True, skip_rows=1))
    assert len(table.cells) == 9


@pytest.mark.parametrize(
    ("names", "rows", "is_said"),
    [
        (["a", "b"], [["1", "u"], ["2", "v"]], False),
        (["country", "2019", "2020"], [["x", "1", "2"], ["y", "3", "4"]], False),
        (["u", "x"], [["u", "y"], ["v", "x"], ["u", "x"]], True),
        (["text", "label"], [["one", "u"], ["two", "v"]], False),
        (["5.1", "u"], [["4.9", "u"], ["4.7", "v"]], True),
        (["2024-01-01", "u"], [["2024-01-02", "u"], ["2024-01-03", "v"]], True),
    ],
)
def test_a_first_line_that_looks_like_the_rows_is_said(names, rows, is_said):
    notes = header.header_notes(names, rows)
    assert any("--no-header" in note for note in notes) == is_said


def test_years_as_names_of_columns_of_numbers_are_no_row():
    names = ["country", "kind", "2019"]
    rows = [["x", "7", "1"], ["y", "8", "3"]]
    assert header.header_notes(names, rows) == []


def test_a_second_header_is_said(tmp_path):
    table = read_table(given(tmp_path, "a,b,y\ncm,kg,class\n" + ROWS))
    assert "looks like a second header; it is read as a row (--skip-rows 1" in table.notes[0]
    assert len(table.cells) == 10


def test_a_cell_more_than_the_header_is_a_row_name_or_a_trailing_comma(tmp_path):
    table = read_table(given(tmp_path, 'a,y\n"1",5,u\n"2",6,v\n'))
    assert (table.names, table.index) == (["", "a", "y"], {0})
    assert "the first cell is read as the row's name" in table.notes[0]
    table = read_table(given(tmp_path, "a,y\n5,u,\n6,v,\n"))
    assert (table.names, table.names[table.default_label]) == (["a", "y", ""], "y")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a,y\n1,u\n", "y"),
        ("a,y,\n1,u,\n", "y"),
        ("a,y, ,\n1,u,,\n", "y"),
        ("a,y,Unnamed: 2\n1,u,3\n", "y"),
        (",\n1,u\n", ""),
    ],
)
def test_the_default_label_is_the_last_column_with_a_name(tmp_path, text, label):
    table = read_table(given(tmp_path, text))
    assert table.names[table.default_label] == label


def test_a_row_of_another_length_is_shown_shortened(tmp_path):
    wide = ",".join(f"column_{i}" for i in range(5000))
    long = ",".join("x" * 50 for _ in range(5001))
    with pytest.raises(AuditError) as caught:
        read_table(given(tmp_path, f"{wide}\n{long}\n"))
    message = str(caught.value)
    assert message.startswith("line 2 has 5,001 cells, but the header in line 1 has 5,000 (sep")
    assert "--skip-rows" in message
    assert "--sep" in message
    assert len(message) < 400


def test_a_message_never_shows_a_whole_cell_or_a_long_list(tmp_path):
    names = ",".join("x" * 300 + str(i) for i in range(500))
    table = read_table(given(tmp_path, names + "\n" + ",".join("1" * 500) + "\n"))
    with pytest.raises(AuditError) as caught:
        table.find_column("y" * 9999)
    assert len(str(caught.value)) < 1000
    assert "and 490 more" in str(caught.value)
    assert len(str(AuditError("x" * 200_000))) == 1000
