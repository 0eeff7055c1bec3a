"""Values of Arrow's types as text cells, and text cells as values of the type of their column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skinfluence._audit.table import AuditError, shorten

CLASSES = b"class_names"


class TextOf:
    """Turns the values of a column into text.

    Parameters
    ----------
    column : pyarrow.Field
        Name and type of the column, from `described`.
    """

    def __init__(self, column: Any) -> None:
        self.names = _class_names(column)

    def __call__(self, value: Any) -> str:
        """The text of one value."""
        if value is None:
            return ""
        if self.names is not None and isinstance(value, int) and 0 <= value < len(self.names):
            return self.names[value]
        return _bytes_text(value) if isinstance(value, bytes) else str(value)


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return f"({len(value):,} bytes)"


def described(schema: Any) -> list[Any]:
    """The columns of a schema, with the names of classes that a data set stores as numbers."""
    info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = info.get("info", {}).get("features", {})
    columns = []
    for i, name in enumerate(schema.names):
        feature = features.get(name)
        is_class = isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        names = {CLASSES: json.dumps(feature["names"])} if is_class else {}
        columns.append(schema.field(i).with_metadata(names))
    return columns


def _class_names(column: Any) -> list[str] | None:
    names = (column.metadata or {}).get(CLASSES)
    return None if names is None else json.loads(names)


def changed_column(column: Any, cells: Mapping[int, str], description: Any) -> Any:
    """The column with other values in some rows; an equal text keeps the value.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
        The values.
    cells : mapping of int to str
        Row -> its new text.
    description : pyarrow.Field
        Name and type of the column, from `described`.
    """
    import pyarrow as pa

    text_of = TextOf(description)
    old = {row: text_of(column[row].as_py()) for row in cells}
    new = {row: text for row, text in cells.items() if text != old[row]}
    if not new:
        return column
    values = {row: _value(text, description) for row, text in new.items()}
    if isinstance(column, pa.DictionaryArray):
        known = {value: code for code, value in enumerate(column.dictionary.to_pylist())}
        if all(value in known for value in values.values()):
            # Arrow files allow one dictionary only.
            codes = column.indices.to_pylist()
            for row, value in values.items():
                codes[row] = known[value]
            indices = pa.array(codes, type=column.indices.type)
            ordered = column.type.ordered
            return pa.DictionaryArray.from_arrays(indices, column.dictionary, ordered=ordered)
    every = column.to_pylist()
    for row, value in values.items():
        every[row] = value
    return pa.array(every, type=column.type)


def _value(text: str, description: Any) -> Any:
    """A text as a value of the type of its column."""
    import pyarrow as pa

    kind = description.type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    names = _class_names(description)
    if names is not None and text in names:
        return names.index(text)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text
    if not text:
        return None
    if pa.types.is_integer(kind) and "." in text:
        text = str(round(float(text)))
    try:
        return pa.array([text]).cast(kind)[0].as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise AuditError(
            f"{shorten(text)!r} cannot be written to column {shorten(description.name)!r}, whose "
            f"type is {kind}."
        ) from error
