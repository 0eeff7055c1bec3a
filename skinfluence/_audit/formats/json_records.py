"""JSON: one object per line, or an array of objects; unchanged records keep their text."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.encodings import decode, own_form
from skinfluence._audit.formats.format import Format, Given
from skinfluence._audit.formats.json_columns import find_columns
from skinfluence._audit.formats.json_values import (
    DECODER,
    after_blanks,
    as_string,
    as_value,
    cells_of,
    members,
)
from skinfluence._audit.formats.named_columns import ColumnsByName
from skinfluence._audit.options import Options
from skinfluence._audit.stored_text import CHUNK, Form, Rows, from_utf8
from skinfluence._audit.table import AuditError, Table

EXPECTED = "expected one object per line, or an array of objects (in pandas: orient='records')"


def resembles(head: bytes) -> bool:
    """Whether a file without a telling name starts like JSON."""
    return re.match(rb'(\xef\xbb\xbf)?\s*(\[\s*\{\s*["}]|\{\s*")', head) is not None


def read_json(given: Given, options: Options) -> Table:
    """Read a JSON file; raise AuditError if it holds no objects."""
    text = decode(given.read(), options.encoding, given.shown)
    form = Form(encoding=text.encoding, errors=text.errors)
    suffix = given.suffix if given.suffix in FORMAT.suffixes else ""
    try:
        content, is_lines = from_utf8(text.data), suffix not in ("", ".json")
        if not is_lines and (table := find_columns(content, form)) is not None:
            return replace(table, notes=text.notes)
        source = parse(content, is_lines=is_lines)
        columns = source.columns.finished()
    except json.JSONDecodeError as error:
        raise AuditError(
            f"{given.shown} is not valid JSON in line {error.lineno:,}, column {error.colno:,}: "
            f"{error.msg}."
        ) from error
    except RecursionError as error:
        raise AuditError(f"{given.shown} has objects in objects, too deep to be read.") from error
    source.form = form
    source.suffix = suffix or (".json" if source.is_array else ".jsonl")
    names = list(columns)
    if not names:
        raise AuditError(f"the objects are empty; {EXPECTED}.")
    source.names[:] = names
    _note_strings(source)
    own = own_form(Form(errors=text.errors))
    return Table(names, list(columns.values()), JsonCells(source), own, source, text.notes)


@dataclass
class JsonSource:
    """The text of a JSON file, and where its records are."""

    text: str
    is_array: bool
    starts: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    columns: ColumnsByName = field(default_factory=ColumnsByName)
    names: list[str] = field(default_factory=list)
    strings: set[str] = field(default_factory=set)
    form: Form = field(default_factory=Form)
    suffix: str = ".json"

    def record(self, row: int) -> str:
        """The text of a record."""
        return self.text[self.starts[row] : self.ends[row]]

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the table; `changes` maps a row to its new cells, or to None to drop it."""
        with self.form.open(path) as file:
            file.writelines(self.pieces(changes))

    def pieces(self, changes: Mapping[int, Sequence[str] | None]) -> Iterator[str]:
        """The pieces of the changed text."""
        yield self.text[: self.starts[0]]
        is_first, n = True, len(self.starts)
        for row in range(n):
            cells = changes.get(row, ())
            if cells is None:
                continue
            if self.is_array and not is_first:
                yield self.text[self.ends[row - 1] : self.starts[row]]
            yield self._changed(row, cells) if cells else self.record(row)
            if not self.is_array:
                # The text between two lines is dropped with the line before it.
                end = self.starts[row + 1] if row + 1 < n else len(self.text)
                yield self.text[self.ends[row] : end]
            is_first = False
        if self.is_array:
            yield self.text[self.ends[-1] :]

    def _changed(self, row: int, cells: Sequence[str]) -> str:
        """The record with other cells; the text of its other values stays."""
        record = self.record(row)
        spans = {name: (start, end) for name, start, end in members(record)}
        old = self.cells(row)
        added, replaced = [], []
        for name, before, after in zip(self.names, old, cells, strict=True):
            if before == after:
                continue
            if name in spans:
                start, end = spans[name]
                replaced.append((start, end, self._value(name, after, record[start:end])))
            else:
                added.append(f"{as_string(name, self.text)}: {self._value(name, after, 'null')}")
        for start, end, value in sorted(replaced, reverse=True):
            record = record[:start] + value + record[end:]
        if added:
            comma = ", " if spans else ""
            record = record[:-1].rstrip() + comma + ", ".join(added) + "}"
        return record

    def _value(self, name: str, cell: str, before: str) -> str:
        if before == "null" and name in self.strings:
            before = '""'
        return as_value(cell, before, self.text)

    def cells(self, row: int) -> list[str]:
        """The cells of a record."""
        record = self.record(row)
        cells = cells_of(DECODER.decode(record), record)
        return [cells.get(name, "") for name in self.names]


@dataclass(eq=False)
class JsonCells(Rows[list[str]]):
    """The cells of each record, read from its text."""

    source: JsonSource

    def __len__(self) -> int:
        return len(self.source.starts)

    def __getitem__(self, row: Any) -> Any:
        return self.source.cells(range(len(self))[row])


def parse(text: str, *, is_lines: bool) -> JsonSource:
    """Find the records; `is_lines` says that a single object is a record, not a file of them."""
    start = after_blanks(text, 0)
    if start == len(text):
        raise AuditError("the file is empty; expected objects with the cells of a row each.")
    if text[start] == "[":
        return _array(text, start, is_whole=True)
    source = JsonSource(text, is_array=False)
    for value, begin, end in _values(text, start, ","):
        _add(source, value, begin, end)
    if len(source.starts) == 1 and not is_lines:
        return _inner_array(source) or source
    return source


def _array(text: str, start: int, *, is_whole: bool = False) -> JsonSource:
    source = JsonSource(text, is_array=True)
    for value, begin, end in _values(text, start + 1, "]"):
        _add(source, value, begin, end)
    if not source.starts:
        raise AuditError(f"the JSON array holds no object; {EXPECTED}.")
    end = text.index("]", source.ends[-1]) + 1
    if is_whole and after_blanks(text, end) != len(text):
        raise json.JSONDecodeError("expected the end of the file after the array", text, end)
    return source


def _values(text: str, position: int, closing: str) -> Iterator[tuple[Any, int, int]]:
    """Values one after another, with commas between them if they end with a bracket."""
    position = after_blanks(text, position)
    while position < len(text) and text[position] != closing:
        value, end = DECODER.raw_decode(text, position)
        yield value, position, end
        position = after_blanks(text, end)
        if closing == "]":
            if text[position : position + 1] == ",":
                position = after_blanks(text, position + 1)
            elif text[position : position + 1] != closing:
                raise json.JSONDecodeError("expected a comma or the end of the array", text, end)
    if closing == "]" and position == len(text):
        raise json.JSONDecodeError("expected the end of the array", text, position)
    if closing != "]" and position < len(text):
        raise json.JSONDecodeError("expected another object", text, position)


def _add(source: JsonSource, value: Any, start: int, end: int) -> None:
    if not isinstance(value, dict):
        line = source.text.count("\n", 0, start) + 1
        raise AuditError(f"line {line:,} holds a value that is not an object; {EXPECTED}.")
    source.starts.append(start)
    source.ends.append(end)
    source.columns.add(cells_of(value, source.text[start:end]))


def _inner_array(source: JsonSource) -> JsonSource | None:
    """The rows of a file that is one object, one of whose members is an array of objects."""
    record, shift = source.record(0), source.starts[0]
    values = DECODER.decode(record)
    rows = [name for name, value in values.items() if isinstance(value, list) and value]
    rows = [name for name in rows if all(isinstance(item, dict) for item in values[name])]
    if len(rows) == 1:
        start = next(start for name, start, _ in members(record) if name == rows[0])
        return _array(source.text, shift + start)
    if values and all(isinstance(value, dict | list) for value in values.values()):
        raise AuditError(f"the file is one JSON object; {EXPECTED}.")
    return None


def _note_strings(source: JsonSource) -> None:
    """Remember which columns hold strings, from some of the records."""
    for row in range(0, len(source.starts), CHUNK):
        record = source.record(row)
        spans = members(record)
        source.strings.update(name for name, start, _ in spans if record[start] == '"')


FORMAT = Format("JSON", (".json", ".jsonl", ".ndjson"), read_json)
