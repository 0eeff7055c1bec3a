"""Files that are not tables, paths that cannot be read, and standard input."""

import io
import pickle
import sys
import tarfile

import pytest
from written import given, rewritten

from skinfluence._audit.formats import file_of, read_table
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("t.csv"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.pdf", b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        ("t.csv", b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        ("t.png", b"\x89PNG\r\n\x1a\n\0\0", "a PNG image"),
        ("t.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a JPEG image"),
        ("t.pkl", pickle.dumps({"a": 1}), "a Python pickle, which is not opened"),
        ("t.npy", b"\x93NUMPY\x01\0", "a NumPy array"),
        ("t.tar.gz", tar(), "a tar archive"),
        ("t.html", b"\n<!DOCTYPE html><html></html>", "a web page"),
        ("t.xls", b"\xef\xbb\xbf<?xml version='1.0'?><Workbook/>", "an XML document"),
        ("t.orc", b"ORC\0\0\0", "an ORC file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # archives hold times
)
def test_a_file_that_is_no_table_is_named(tmp_path, name, content, message):
    with pytest.raises(AuditError, match=message) as caught:
        read_table(given(tmp_path, content, name))
    assert "--encoding" not in str(caught.value)


def test_a_text_that_starts_like_another_format_is_read(tmp_path):
    table = read_table(given(tmp_path, "ORC,y\n1,u\n2,v\n"))
    assert table.names == ["ORC", "y"]


@pytest.fixture
def standard_input(monkeypatch):
    """A function that gives content to standard input."""

    def fill(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return fill


@pytest.mark.parametrize(
    ("content", "cleaned"),
    [(b"a,y\n1,u\n2,v\n", "cleaned.csv"), (b'{"a": 1, "y": "u"}\n{"a": 2}\n', "cleaned.jsonl")],
)
def test_standard_input_is_read_by_its_content(tmp_path, standard_input, content, cleaned):
    standard_input(content)
    table = read_table("-")
    assert (table.names, table.cleaned_name) == (["a", "y"], cleaned)
    assert rewritten(table, tmp_path, {}).read_bytes() == content
    assert file_of("-") is None


def test_standard_input_that_holds_no_table_is_refused(standard_input, monkeypatch):
    standard_input(b"SQLite format 3\0" + bytes(99))
    with pytest.raises(AuditError, match="standard input holds a database; give the path"):
        read_table("-")
    standard_input(b"\0\1\2\3" * 99)
    with pytest.raises(AuditError, match="standard input is not text"):
        read_table("-")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(AuditError, match="is a terminal; pipe a table"):
        read_table("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(AuditError, match="standard input is closed"):
        read_table("-")


def test_a_name_that_contains_the_mark_of_a_part_is_a_name(tmp_path):
    path = given(tmp_path, "a,y\n1,u\n", "a::b.csv")
    assert read_table(path).names == ["a", "y"]
    assert file_of(str(path)) == str(path)
    assert file_of("x.db::t") == "x.db"


def test_an_address_is_not_a_path():
    with pytest.raises(AuditError, match="is an address; load the file and give its path"):
        read_table("https://example.org/t.csv")


@pytest.mark.parametrize("sep", ["::", '"', "\n", ""])
def test_a_separator_is_one_character(tmp_path, sep):
    with pytest.raises(AuditError, match="must be one character"):
        read_table(given(tmp_path, "a,y\n1,u\n"), Options(sep=sep))


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        ("::x", Options(), "is read as CSV, which has no part 'x'"),
        ("", Options(sheet="One"), "--sheet 'One' is for workbooks; .* is read as CSV"),
    ],
)
def test_what_a_format_does_not_have_is_refused(tmp_path, part, options, message):
    with pytest.raises(AuditError, match=message):
        read_table(f"{given(tmp_path, 'a,y')}{part}", options)
