"""JSON as pandas writes it by default: an object of columns, each an object of cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.formats.json_values import (
    DECODER,
    after_blanks,
    as_string,
    as_value,
    cells_of,
    members,
)
from skinfluence._audit.stored_text import Form
from skinfluence._audit.table import Table


@dataclass(frozen=True)
class JsonColumns:
    """The text of the cells of each column, by the keys of the rows."""

    text: str
    columns: dict[str, dict[str, str]]
    cells: Sequence[Sequence[str]]
    form: Form
    suffix: str = ".json"

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the table; `changes` maps a row to its new cells, or to None to drop it."""
        with self.form.open(path) as file:
            file.writelines(self._pieces(changes))

    def _pieces(self, changes: Mapping[int, Sequence[str] | None]) -> Iterator[str]:
        for position, (name, values) in enumerate(self.columns.items()):
            yield "," if position else "{"
            yield f"{as_string(name, self.text)}:{{"
            members = []
            for row, (key, value) in enumerate(values.items()):
                cells = changes.get(row, self.cells[row])
                if cells is None:
                    continue
                if cells[position] != self.cells[row][position]:
                    value = as_value(cells[position], value, self.text)
                members.append(f"{as_string(key, self.text)}:{value}")
            yield ",".join(members) + "}"
        yield "}"


def find_columns(text: str, form: Form) -> Table | None:
    """The table in an object of columns; None if the text is another JSON."""
    start = after_blanks(text, 0)
    if text[start : start + 1] != "{":
        return None
    values, end = DECODER.raw_decode(text, start)
    if after_blanks(text, end) != len(text) or not _are_columns(values):
        return None
    columns, cells = {}, []
    for name, begin, stop in members(text[start:end]):
        column = text[start + begin : start + stop]
        columns[name] = {key: column[i:j] for key, i, j in members(column)}
        cells.append(list(cells_of(values[name], column).values()))
    plain = table_from_columns(list(columns), cells)
    return replace(plain, source=JsonColumns(text, columns, plain.cells, form))


def _are_columns(values: dict[str, Any]) -> bool:
    """Whether these are several objects of single values with the same numbers as keys."""
    columns = list(values.values())
    if len(columns) < 2 or not all(isinstance(column, dict) for column in columns):
        return False
    keys = list(columns[0])
    if not keys or not all(map(str.isdecimal, keys)) or all(map(str.isdecimal, values)):
        return False
    return all(
        list(column) == keys and not any(isinstance(cell, dict | list) for cell in column.values())
        for column in columns
    )
