"""The encoding of a text file."""

import codecs
import sys

import pytest
from written import given, rewritten

from skinfluence._audit.formats import read_table
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError

TEXTS = {
    "german": ("name,city\nMüller,Köln\nGroß,Zürich\n", "latin-1", "cp1252"),
    "one letter": ("a,b\nü,x\n", "latin-1", "cp1252"),
    "quotes": ("text,label\n“good”,pos\nit’s bad – very,neg\n", "cp1252", "cp1252"),
    "degrees": ("t,x\n20°C,a\n21°C,b\n", "latin-1", "cp1252"),
    "pounds": ("t,x\n£20,a\n£21,b\n", "latin-1", "cp1252"),
    "polish": ("imię,miasto\n" + "Łukasz,Łódź\nŻaneta,Gdańsk\n" * 9, "cp1250", "cp1250"),
    "turkish": ("ad,şehir\n" + "Işıl,İstanbul\nÇağrı,Diyarbakır\n" * 9, "cp1254", "cp1254"),
    "russian": ("имя,город\n" + "Иван,Москва\nОльга,Тверь\n" * 9, "cp1251", "cp1251"),
    "greek": ("όνομα,πόλη\n" + "Γιώργος,Αθήνα\nΕλένη,Πάτρα\n" * 9, "cp1253", "cp1253"),
    "japanese": ("名前,都市\n" + "山田太郎,東京\n鈴木花子,大阪\n" * 9, "shift_jis", "cp932"),
    "chinese": ("评论,标签\n" + "这个手机很好用,好\n质量太差了我要退货,坏\n" * 9, "gbk", "gb18030"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_encoding_of_one_or_two_bytes_is_found_out_and_written_back(tmp_path, name):
    if name not in ("german", "one letter", "quotes", "degrees", "pounds"):
        pytest.importorskip("charset_normalizer")
    text, encoding, found = TEXTS[name]
    path = given(tmp_path, text.encode(encoding))
    table = read_table(path)
    assert [table.names, *table.cells] == [line.split(",") for line in text.splitlines()]
    assert f"the file is not UTF-8; it is read as {found};" in table.notes[0]
    assert rewritten(table, tmp_path, {}).read_bytes() == path.read_bytes()
    assert rewritten(table, tmp_path, {0: None}).read_bytes() == b"".join(
        line.encode(encoding) for i, line in enumerate(text.splitlines(keepends=True)) if i != 1
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("given_encoding", ["auto", "exact", "family"])
def test_wide_encodings_are_read_and_written_back(tmp_path, encoding, mark, given_encoding):
    if given_encoding == "family" and (mark == "" and encoding.endswith("-be")):
        pytest.skip("without a mark, the family means little-endian")
    path = given(tmp_path, (mark + "a\tü\n1\tx\n2\ty\n").encode(encoding))
    asked = {"auto": "auto", "exact": encoding, "family": encoding[:6]}[given_encoding]
    table = read_table(path, Options(encoding=asked))
    assert (table.names, table.cells) == (["a", "ü"], [["1", "x"], ["2", "y"]])
    assert rewritten(table, tmp_path, {}).read_bytes() == path.read_bytes()
    assert len(table.notes) == (asked == "auto")
    with table.form.open(tmp_path / "suspects.csv") as file:
        file.write("a,b\n1,2\n")
    assert read_table(tmp_path / "suspects.csv").cells == [["1", "2"]]


def test_the_mark_of_utf_8_is_kept(tmp_path):
    path = given(tmp_path, codecs.BOM_UTF8 + b"a,b\n1,x\n")
    for encoding in ("auto", "utf-8", "utf-8-sig"):
        table = read_table(path, Options(encoding=encoding))
        assert (table.names, table.notes) == (["a", "b"], [])
        assert rewritten(table, tmp_path, {}).read_bytes() == path.read_bytes()


def test_a_few_bytes_that_are_not_utf_8_are_kept(tmp_path):
    content = ("a,b\n" + "Müller,Köln\n" * 20).encode() + b"M\xfcller,x\n"
    table = read_table(given(tmp_path, content))
    note = "the file is UTF-8, but for 1 of its bytes, which are kept as they are"
    assert table.notes == [note]
    assert table.cells[0] == ["Müller", "Köln"]
    assert rewritten(table, tmp_path, {}).read_bytes() == content


def test_an_encoding_that_is_given_decides(tmp_path):
    path = given(tmp_path, TEXTS["russian"][0].encode("cp1251"))
    table = read_table(path, Options(encoding="latin-1"))
    assert (table.cells[0][0], table.notes) == ("Èâàí", [])
    assert rewritten(table, tmp_path, {}).read_bytes() == path.read_bytes()


def test_an_encoding_with_several_bytes_for_a_letter_is_said(tmp_path):
    path = given(tmp_path, b"a,b\nx,+AOk-\n+AHg-,y\n")
    table = read_table(path, Options(encoding="utf-7"))
    assert table.cells == [["x", "é"], ["x", "y"]]
    assert table.notes == [
        "some rows are written back in other bytes, which mean the same in utf-7"
    ]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-8", "is not utf-8 text .*; leave --encoding out"),
        ("utf-16", "is not utf-16 text"),
        ("klingon", "--encoding 'klingon' is unknown"),
        ("x" * 500, "--encoding 'x{39}…' is unknown"),
        ("a\0b", "is unknown"),
        ("unicode_escape", "is not an encoding of text"),
        ("rot13", "is not an encoding of text"),
        ("base64", "is not an encoding of text"),
        ("idna", "is not an encoding of text"),
    ],
)
def test_an_encoding_that_cannot_be_used_is_refused(tmp_path, encoding, message):
    path = given(tmp_path, "a,b\nü,xy\n".encode("latin-1"))
    with pytest.raises(AuditError, match=message):
        read_table(path, Options(encoding=encoding))


@pytest.mark.parametrize("content", [bytes(range(256)) * 9, b"\0\1\2\3a" * 99])
def test_no_encoding_is_suggested_for_a_binary_file(tmp_path, content):
    with pytest.raises(AuditError, match="is not text, nor a format") as caught:
        read_table(given(tmp_path, content))
    assert "--encoding" not in str(caught.value)


def test_other_files_may_hold_words_that_the_encoding_lacks(tmp_path):
    table = read_table(given(tmp_path, TEXTS["german"][0].encode("cp1252")))
    with table.form.open(tmp_path / "suspects.csv") as file:
        file.write("ü ≥ 1")
    assert (tmp_path / "suspects.csv").read_bytes() == "ü ? 1".encode("cp1252")


def test_some_control_characters_are_text(tmp_path):
    content = b"x,y\n1,u\0\n2,a\x1b\n" * 9
    assert read_table(given(tmp_path, content)).cells[0] == ["1", "u\0"]


def test_without_the_package_a_western_encoding_is_guessed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    content = TEXTS["russian"][0].encode("cp1251") + b"\x81,x\n"
    table = read_table(given(tmp_path, content))
    assert "read as latin-1" in table.notes[0]
    assert rewritten(table, tmp_path, {}).read_bytes() == content
