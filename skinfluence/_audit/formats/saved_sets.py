"""Folders that the package `datasets` of Hugging Face saved; they are read with pyarrow alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.columnar import (
    Container,
    arrow_batches,
    arrow_shape,
    rewrite_arrow,
)
from skinfluence._audit.formats.format import Format, Given
from skinfluence._audit.table import AuditError, listed

INFO, STATE = "dataset_info.json", "state.json"


def _data_files(folder: Path) -> list[Path]:
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return [folder / str(item["filename"]) for item in state["_data_files"]]


def _pieces(given: Given) -> list[Given]:
    return [Given(str(path), path) for path in _data_files(given.on_disk())]


def _set_shape(given: Given) -> tuple[Any, int]:
    shapes = [arrow_shape(piece) for piece in _pieces(given)]
    return shapes[0][0], sum(n for _, n in shapes)


def _set_batches(given: Given) -> Iterator[Any]:
    for piece in _pieces(given):
        yield from arrow_batches(piece)


def _rewrite_set(given: Given, path: Path, change: Callable[[Any], Any]) -> None:
    path.mkdir()
    for piece in _pieces(given):
        rewrite_arrow(piece, path / Path(piece.name).name, change)
    folder = given.on_disk()
    (path / INFO).write_bytes((folder / INFO).read_bytes())
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    # The fingerprint names the rows in caches of `datasets`; other rows need another name.
    state["_fingerprint"] = f"{state.get('_fingerprint') or ''}-cleaned"[-64:]
    (path / STATE).write_text(json.dumps(state, indent=2, sort_keys=True), encoding="utf-8")


def find_set(given: Given) -> Given | None:
    """The saved data set in a folder, or its only split; None if the folder holds none."""
    folder = given.on_disk()
    if (folder / STATE).is_file() and (folder / INFO).is_file():
        return given
    if not (folder / "dataset_dict.json").is_file():
        return None
    splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    part = splits[0] if given.part is None and len(splits) == 1 else given.part
    if part is None or part not in splits:
        raise AuditError(
            f"{given.shown} holds the splits {listed(splits)}; name one, as in "
            f"{given.name}::{splits[0]}."
        )
    return Given(str(folder / part), folder / part)


SAVED_SET = Container("a Hugging Face data set", _set_shape, _set_batches, _rewrite_set)


FORMAT = Format(
    "a saved Hugging Face data set",
    (),
    lambda given, options: SAVED_SET.read(given, ""),
    has_parts=True,
    is_foreign=True,
)
