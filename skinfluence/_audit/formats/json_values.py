"""Values in the text of a JSON file: where they are, as text cells, and new ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

BLANKS = re.compile(r"[ \t\n\r\ufeff]*")

SCALAR = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?|true|false|null")

# Numbers stay as they are written.
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def members(record: str) -> Iterator[tuple[str, int, int]]:
    """The name of each member of an object, and where its value starts and ends."""
    position = after_blanks(record, 1)
    while record[position] != "}":
        name, position = DECODER.raw_decode(record, position)
        start = after_blanks(record, after_blanks(record, position) + 1)
        _, end = DECODER.raw_decode(record, start)
        yield name, start, end
        position = after_blanks(record, end)
        if record[position] == ",":
            position = after_blanks(record, position + 1)


def cells_of(values: dict[str, Any], record: str) -> dict[str, str]:
    """The members of an object as text; nested values as they are written."""
    cells = {name: _cell(value) for name, value in values.items()}
    if None in cells.values():
        for name, start, end in members(record):
            if cells[name] is None:
                cells[name] = record[start:end]
    return cells  # type: ignore[return-value]


def _cell(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def after_blanks(text: str, position: int) -> int:
    """The position behind blanks and line ends."""
    found = BLANKS.match(text, position)
    assert found is not None
    return found.end()


def as_value(cell: str, before: str, text: str) -> str:
    """A new value as JSON, of the type that the value had before.

    Parameters
    ----------
    cell : str
        The new value.
    before : str
        The old value as JSON.
    text : str
        The text of the file.
    """
    if not before.startswith('"'):
        if SCALAR.fullmatch(cell):
            return cell
        if before[:1] in ("{", "[") and _is_json(cell):
            return cell
    return as_string(cell, text)


def as_string(value: str, text: str) -> str:
    """A string as JSON, with escapes if the text of the file has no letters beyond ASCII."""
    is_escaped = text.isascii() or re.search("[\ud800-\udfff]", value) is not None
    return json.dumps(value, ensure_ascii=is_escaped)
