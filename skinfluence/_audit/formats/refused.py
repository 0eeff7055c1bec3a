"""Files that are not tables: they are named as what they are."""

from __future__ import annotations

from skinfluence._audit.formats.format import Given
from skinfluence._audit.table import AuditError

# How a file starts -> what it is, and what to do.
KNOWN = {
    b"%PDF-": ("a PDF document", "copy its table to a CSV file"),
    b"\x89PNG\r\n": ("a PNG image", "give a table"),
    b"\xff\xd8\xff": ("a JPEG image", "give a table"),
    b"GIF8": ("a GIF image", "give a table"),
    b"II*\x00": ("a TIFF image", "give a table"),
    b"MM\x00*": ("a TIFF image", "give a table"),
    b"RIFF": ("an image, a sound or a film", "give a table"),
    b"OggS": ("a sound", "give a table"),
    b"ID3": ("a sound", "give a table"),
    b"\x93NUMPY": ("a NumPy array", "save it as CSV or Parquet"),
    b"\x89HDF": ("an HDF5 file", "save the table as Parquet or CSV"),
    b"ORC": ("an ORC file", "save the table as Parquet"),
    b"Obj\x01": ("an Avro file", "save the table as Parquet"),
    b"FEA1": ("a Feather file of version 1", "save it again with a present pyarrow"),
    b"<stata_dta>": ("a Stata file", "save the table as CSV"),
    b"$FL2": ("an SPSS file", "save the table as CSV"),
    b"RDX": ("a file of R", "save the table as CSV"),
    b"Rar!": ("a rar archive", "unpack it"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it"),
    b"\x7fELF": ("a program", "give a table"),
    b"MZ\x90": ("a program", "give a table"),
    b"PK\x05\x06": ("an empty zip archive", "give a table"),
    b"{\\rtf": ("a Rich Text document", "save its table as CSV"),
}

TAR, WEB_PAGE = slice(257, 262), (b"<!doctype html", b"<html")

BLANKS = b"\xef\xbb\xbf \t\r\n"


def refuse_known(given: Given, head: bytes) -> None:
    """Raise AuditError if the file is known not to be a table."""
    # A text may start with letters such as "ORC"; it holds no zeros.
    known = {magic: what for magic, what in KNOWN.items() if b"\0" in head or not magic.isalnum()}
    found = next((what for magic, what in known.items() if head.startswith(magic)), None)
    if head[TAR] == b"ustar":
        found = ("a tar archive", "unpack it and give the file that holds the table")
    elif _is_pickle(given, head):
        found = (
            "a Python pickle, which is not opened because it may run code",
            "save the table as Parquet or CSV",
        )
    elif head.lstrip(BLANKS).lower().startswith(WEB_PAGE):
        found = ("a web page", "load the file itself, or save its table as CSV")
    elif head.lstrip(BLANKS).startswith(b"<?xml"):
        found = ("an XML document", "save its table as CSV or xlsx")
    if found is not None:
        what, advice = found
        raise AuditError(f"{given.shown} is {what}; {advice}.")


def _is_pickle(given: Given, head: bytes) -> bool:
    is_named = given.suffix in (".pkl", ".pickle")
    return head[:1] == b"\x80" and len(head) > 1 and (head[1] in range(2, 6) or is_named)
