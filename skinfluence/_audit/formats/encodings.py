"""Text files as UTF-8: which encoding a file has, and how to write it back."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from skinfluence._audit.stored_text import Form, to_utf8
from skinfluence._audit.table import AuditError, shorten

PIECE = 1_000_000  # bytes that are decoded at once, to save memory

SAMPLED = 50_000  # bytes from which an encoding is guessed

# The longer marks first: UTF-32 starts like UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

MARKED = {"utf-16", "utf-32", "utf-8-sig"}  # their codecs drop the mark

# They read text, but escape sequences or names of hosts, not files that people have.
NOT_FOR_FILES = {"unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined"}

WESTERN = ("cp1252", "latin_1", "iso8859_15")

RARE = ("cp4", "cp7", "cp85", "cp86", "hp", "iso8859", "mac")

CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True)
class Text:
    """The content of a text file.

    Attributes
    ----------
    data : bytes
        UTF-8, with the byte order mark if the file has one.
    encoding, errors : str
        How to encode it again.
    notes : list of str
        What the user should know about the encoding.
    """

    data: bytes
    encoding: str = "utf-8"
    errors: str = "strict"
    notes: list[str] = field(default_factory=list)

    @property
    def mark(self) -> bytes:
        """The byte order mark, as UTF-8."""
        return codecs.BOM_UTF8 if self.data.startswith(codecs.BOM_UTF8) else b""


def decode(data: bytes, encoding: str, shown: str) -> Text:
    """Decode a text file; raise AuditError if it is not text.

    Parameters
    ----------
    data : bytes
        The content.
    encoding : str
        Its encoding, or "auto".
    shown : str
        What messages call the file.
    """
    if encoding != "auto":
        return _decode_as(data, encoding, shown)
    wide = _wide_encoding(data)
    if wide is not None:
        errors = next((e for e in ("strict", "surrogatepass") if _is_valid(data, wide, e)), None)
        if errors is None:
            raise AuditError(f"{shown} starts like {wide} text, but is not valid; save it again.")
        note = f"the file is read as {wide}; --encoding chooses another encoding"
        return Text(_recode(data, wide, errors), wide, errors, [note])
    if _is_valid(data, "utf-8"):
        if is_binary(data, 0.3):
            raise AuditError(not_a_table(shown))
        return Text(data)
    if is_binary(data):
        raise AuditError(not_a_table(shown))
    if n_bad := _few_bad_bytes(data):
        note = f"the file is UTF-8, but for {n_bad:,} of its bytes, which are kept as they are"
        return Text(_recode(data, "utf-8", "surrogateescape"), "utf-8", "surrogateescape", [note])
    found = _guess(data)
    note = f"the file is not UTF-8; it is read as {found}; --encoding chooses another encoding"
    return Text(_recode(data, found), found, notes=[note])


def own_form(form: Form) -> Form:
    """The form of other files that are written beside the table, such as suspects.csv.

    In UTF-16 and UTF-32, they need a mark to be recognized. They may hold words that the encoding
    of the table lacks.
    """
    wide = next((name for name in ("utf-16", "utf-32") if form.encoding.startswith(name)), None)
    errors = "replace" if form.errors == "strict" else form.errors
    return replace(form, encoding=wide or form.encoding, errors=errors)


def is_binary(data: bytes, share: float = 0.05) -> bool:
    """Whether control characters are so frequent that the bytes are not text."""
    start = data[:SAMPLED]
    return len(CONTROLS.findall(start)) > share * len(start)


def not_a_table(shown: str) -> str:
    """The message about a file that is neither text nor a format that can be read."""
    return (
        f"{shown} is not text, nor a format that can be read; expected CSV, JSON, Excel, Parquet, "
        "Arrow, SQLite or DuckDB."
    )


def _decode_as(data: bytes, encoding: str, shown: str) -> Text:
    try:
        found = codecs.lookup(encoding)
        name = found.name.replace("-", "_")
        if not found._is_text_encoding or name in NOT_FOR_FILES:
            raise AuditError(f"--encoding {encoding!r} is not an encoding of text; try utf-8.")
        codec = _without_mark(found.name, data)
        text = _recode(data, codec)
        note = f"some rows are written back in other bytes, which mean the same in {encoding}"
        return Text(text, codec, notes=[] if _returns(data, codec) else [note])
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{shown} is not {encoding} text ({error.reason}); leave --encoding out, and the "
            "encoding is found out."
        ) from error
    except UnicodeError as error:  # of UTF-16 without a mark, and of other codecs
        raise AuditError(f"{shown} is not {encoding} text: {error}.") from error
    except (LookupError, ValueError) as error:  # ValueError: a name that cannot be one
        raise AuditError(
            f"--encoding {shorten(encoding, 40)!r} is unknown; try utf-8 or latin-1."
        ) from error


def _without_mark(encoding: str, data: bytes) -> str:
    """The encoding that reads a byte order mark as a character, so that it is written back."""
    if encoding not in MARKED:
        return encoding
    for mark, name in MARKS.items():
        if data.startswith(mark) and name.startswith(encoding.removesuffix("-sig")):
            return name
    return encoding.removesuffix("-sig") if encoding == "utf-8-sig" else f"{encoding}-le"


def _pieces(data: bytes, encoding: str, errors: str = "strict") -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for start in range(0, len(data), PIECE):
        yield decoder.decode(data[start : start + PIECE])
    yield decoder.decode(b"", final=True)


def _recode(data: bytes, encoding: str, errors: str = "strict") -> bytes:
    """The bytes in UTF-8; the same object if they are UTF-8."""
    if encoding == "utf-8" and errors == "strict" and _is_valid(data, encoding):
        return data
    return b"".join(to_utf8(text) for text in _pieces(data, encoding, errors))


def _is_valid(data: bytes, encoding: str, errors: str = "strict") -> bool:
    try:
        for _ in _pieces(data, encoding, errors):
            pass
    except UnicodeError:
        return False
    return True


def _returns(data: bytes, encoding: str) -> bool:
    """Whether the bytes are the same after they are decoded and encoded."""
    try:
        return b"".join(text.encode(encoding) for text in _pieces(data, encoding)) == data
    except (UnicodeError, LookupError):
        return False


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte order mark or by where the zeros are."""
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return None if name == "utf-8" else name
    start = data[: SAMPLED // 4 * 4]
    zeros = [start[i::4].count(0) / max(len(start[i::4]), 1) for i in range(4)]
    for name, is_zero in {
        "utf-32-le": (0, 1, 1, 1),
        "utf-32-be": (1, 1, 1, 0),
        "utf-16-le": (0, 1, 0, 1),
        "utf-16-be": (1, 0, 1, 0),
    }.items():
        often = all(
            (share > 0.5) == bool(wanted) for share, wanted in zip(zeros, is_zero, strict=True)
        )
        if often and _is_valid(data, name):
            return name
    return None


def _few_bad_bytes(data: bytes) -> int:
    """Number of bytes that are not UTF-8, if most other letters beyond ASCII are; otherwise 0."""
    n_bad = n_good = 0
    for text in _pieces(data, "utf-8", "surrogateescape"):
        if not text.isascii():
            bad = len(re.findall("[\udc80-\udcff]", text))
            n_bad += bad
            n_good += len(re.findall(r"[^\x00-\x7f]", text)) - bad
    return n_bad if n_good > 10 * n_bad else 0


def _guess(data: bytes) -> str:
    """The most likely encoding of one byte or a few bytes per letter."""
    lines = (line for line in data[: 100 * SAMPLED].splitlines() if not line.isascii())
    sample = bytearray()
    for line in lines:
        sample += line + b"\n"
        if len(sample) > SAMPLED:
            break
    # charset-normalizer often takes Western European text for another encoding.
    if _is_western(bytes(sample)) and _returns(data, "cp1252"):
        return "cp1252"
    for name in [*_candidates(bytes(sample)), "cp1252"]:
        if _returns(data, name):
            return name
    return "latin-1"


def _candidates(sample: bytes) -> list[str]:
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return []
    found = [match.encoding for match in from_bytes(sample)]
    found = [name for name in found if name not in WESTERN]
    if found and found[0].startswith(RARE):
        # Of similar candidates, files that people have are in one of Windows' encodings.
        found.sort(key=lambda name: not name.startswith("cp125"))
    return found


def _is_western(sample: bytes) -> bool:
    """Whether letters beyond ASCII stand alone among others, as in most Western languages."""
    text = sample.decode("cp1252", errors="replace")
    letters = "À-ÏÑ-ÖØ-Üà-ïñ-öø-üßŸŠŽšžŒœ"
    odd = re.findall(
        f"[{letters}]{{3,}}"  # a word in another script
        "|[a-zà-ü][À-ÜŠŽ](?=[a-z])"  # an upper-case letter inside a word
        r"|[¡-¯±-¿](?=[A-Za-zÀ-ü])(?<![¿¡«])|[ðýþÐÝÞ\ufffd]|[A-Za-z][¡-¯±-¸º-¿×÷](?=[A-Za-z])",
        text,
    )
    n_odd = sum(len(re.findall(r"[^\x00-\x7f]", found)) for found in odd)
    return n_odd <= 0.1 * len(re.findall(r"[^\x00-\x7f]", text))
