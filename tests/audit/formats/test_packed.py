"""Compressed files."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile

import pytest
from written import given, rewritten

from skinfluence._audit.formats import packed, read_table
from skinfluence._audit.table import AuditError

CSV = 'a,b,y\n1,"q, r",u\n2,é,v\n3,x,u\n'.encode()


def zipped(members, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zst(content):
    return pytest.importorskip("zstandard").compress(content)


def unzst(content):
    return pytest.importorskip("zstandard").ZstdDecompressor().decompressobj().decompress(content)


def unzipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["folder/t.csv", "__MACOSX/t"]
        return archive.read("folder/t.csv")


PACKINGS = {
    ".gz": (gzip.compress, gzip.decompress),
    ".bz2": (bz2.compress, bz2.decompress),
    ".xz": (lzma.compress, lzma.decompress),
    ".zst": (zst, unzst),
    ".zip": (lambda content: zipped({"folder/t.csv": content, "__MACOSX/t": b"x"}), unzipped),
}


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("is_named", [True, False])
def test_a_compressed_file_is_read_and_written_back(tmp_path, suffix, is_named):
    pack, unpack = PACKINGS[suffix]
    table = read_table(given(tmp_path, pack(CSV), f"t.csv{suffix}" if is_named else "t.csv"))
    assert table.cells == [["1", "q, r", "u"], ["2", "é", "v"], ["3", "x", "u"]]
    assert table.cleaned_name == f"cleaned.csv{suffix}"
    path = rewritten(table, tmp_path, {2: None})
    assert unpack(path.read_bytes()) == CSV[: -len("3,x,u\n")]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_member_of_a_zip_file_is_chosen_and_the_others_are_kept(tmp_path):
    path = given(tmp_path, zipped({"d/": b"", "a.csv": CSV, "b.csv": b"x,y\n1,u\n2,v\n"}), "t.zip")
    table = read_table(f"{path}::b.csv")
    assert (table.names, table.cleaned_name) == (["x", "y"], "cleaned.csv.zip")
    with zipfile.ZipFile(rewritten(table, tmp_path, {0: None})) as archive:
        assert archive.read("a.csv") == CSV
        assert archive.read("b.csv") == b"x,y\n2,v\n"
    with pytest.raises(AuditError, match=r"name the one that holds the table, as in .*::a.csv"):
        read_table(f"{path}::c.csv")


def test_the_same_table_gives_the_same_bytes(tmp_path):
    table = read_table(given(tmp_path, gzip.compress(CSV), "t.csv.gz"))
    one, two = (rewritten(table, tmp_path, {}, name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_any_format_may_be_inside(tmp_path):
    lines = b'{"a": 1, "y": "u"}\n{"a": 2, "y": "v"}\n'
    table = read_table(given(tmp_path, gzip.compress(lines), "t.jsonl.gz"))
    assert (table.names, table.cleaned_name) == (["a", "y"], "cleaned.jsonl.gz")
    path = rewritten(table, tmp_path, {0: None})
    assert gzip.decompress(path.read_bytes()) == b'{"a": 2, "y": "v"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.zip", zipped({"a.csv": CSV, "b.csv": CSV}), r"zip archive of 2 files \(a.csv, b.csv\)"),
        ("t.zip", zipped({}), "an empty zip archive"),
        ("t.zip", zipped({"__MACOSX/t": b""}), "zip archive of 0 files"),
        ("t.zip", zipped({"a.csv": CSV})[:40], "a damaged zip file"),
        ("t.csv.gz", gzip.compress(CSV)[:20], "a damaged gzip file"),
        ("t.csv.gz", b"\x1f\x8b" + b"x" * 50, "a damaged gzip file"),
        ("t.csv.bz2", bz2.compress(CSV)[:-9] + b"x" * 9, "a damaged bzip2 file"),
        ("t.csv.xz", lzma.compress(CSV)[:20] + b"x" * 50, "a damaged xz file"),
        ("t.docx", zipped({"[Content_Types].xml": "", "word/document.xml": ""}), "of Word program"),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else "content"
    ),  # archives hold times, so their bytes differ between the workers of pytest
)
def test_what_is_no_compressed_table_is_named(tmp_path, name, content, message):
    with pytest.raises(AuditError, match=message):
        read_table(given(tmp_path, content, name))


def test_a_damaged_zst_file_is_named(tmp_path):
    with pytest.raises(AuditError, match="a damaged Zstandard file"):
        read_table(given(tmp_path, zst(CSV)[:4] + b"x" * 30, "t.csv.zst"))


@pytest.mark.parametrize("suffix", [".gz", ".zip"])
def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(packed, "MAX_UNPACKED", len(CSV) - 1)
    with pytest.raises(AuditError, match="unpacks to more than"):
        read_table(given(tmp_path, PACKINGS[suffix][0](CSV), f"t.csv{suffix}"))


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    path = given(tmp_path, zst(CSV), "t.csv.zst")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(AuditError, match="reading zst needs zstandard: pip install"):
        read_table(path)
