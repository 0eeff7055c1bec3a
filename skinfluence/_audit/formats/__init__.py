"""The formats that a table can be read from, each in a separate module."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from skinfluence._audit.formats import (
    columnar,
    databases,
    delimited,
    image_folder,
    json_records,
    packed,
    refused,
    saved_sets,
    spreadsheet,
)
from skinfluence._audit.formats.format import Format, Given, file_of, find_given
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, Table

__all__ = ["FORMATS", "file_of", "read_table"]

FORMATS: tuple[Format, ...] = (
    columnar.PARQUET,
    columnar.ARROW,
    spreadsheet.XLSX,
    spreadsheet.XLS,
    databases.SQLITE,
    databases.DUCKDB,
    json_records.FORMAT,
    delimited.FORMAT,
)


def read_table(path: str | Path, options: Options | None = None) -> Table:
    """Read a table; raise AuditError if the file cannot be read as one.

    Parameters
    ----------
    path : str or Path
        A file, a folder, a database and its table as in ``db.sqlite::table``, or ``-`` for standard
        input.
    options : Options, optional
        How to read it.
    """
    options = _checked(Options() if options is None else options)
    try:
        return _read(find_given(path), options)
    except MemoryError as error:
        raise AuditError(
            f"{str(path)!r} does not fit into memory; audit a sample of its rows, or fewer columns."
        ) from error
    except OSError as error:
        raise AuditError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error


def _checked(options: Options) -> Options:
    sep = options.sep
    if sep is None:
        return options
    sep = {"\\t": "\t", "tab": "\t"}.get(sep, sep)
    if len(sep) != 1 or sep in '"\r\n':
        raise AuditError(f"--sep {sep!r} must be one character, such as ',' ';' or '\\t'.")
    return replace(options, sep=sep)


def _read(given: Given, options: Options) -> Table:
    if given.path is not None and given.path.is_dir():
        return _read_folder(given, options)
    if (unpacked := packed.unpack(given)) is not None:
        inner, pack = unpacked
        table = _read(inner, options)
        return replace(table, source=pack(table.source))
    form = spreadsheet.find_in_zip(given) or _find_format(given)
    return form.read_checked(given, options)


def _read_folder(given: Given, options: Options) -> Table:
    if (found := saved_sets.find_set(given)) is not None:
        return saved_sets.FORMAT.read_checked(found, options)
    if (table := image_folder.read_images(given)) is not None:
        return table
    raise AuditError(
        f"{given.shown} is a folder; expected a file that holds a table, a folder with one folder "
        "of images per class, or a folder of a saved Hugging Face data set."
    )


def _find_format(given: Given) -> Format:
    head = given.head()
    for form in FORMATS:
        if form.recognizes(head):
            return form
    refused.refuse_known(given, head)
    for form in FORMATS:
        if given.suffix in form.suffixes:
            return form
    return json_records.FORMAT if json_records.resembles(head) else delimited.FORMAT
