"""The column that is shown large in the review: an image, or a long text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import quote

from skinfluence._audit.findings import Findings
from skinfluence._audit.table import Table

SHORT_TEXT, LONG_TEXT = 25, 50  # characters, in the median, of a text and of any other column

N_TRIED = 50  # cells that are looked at

# fmt: off
_IMAGE = re.compile(
    r"data:image/[\w.+-]+;|(?!\w\w+:).*\.(?:png|jpe?g|gif|webp|bmp|svg|avif|tiff?)$", re.IGNORECASE
)
# fmt: on


@dataclass(frozen=True)
class Media:
    """The column that is shown large.

    Attributes
    ----------
    column : int
        Position of the column in the table.
    kind : {"image", "text"}
        How its cells are shown.
    source : callable or None
        Row of the table -> address of its image, such as a ``data:`` URI of a thumbnail, or None
        if there is no image. None: the cells are shown, shortened to a few thousand characters.
    """

    column: int
    kind: str
    source: Callable[[int], str | None] | None = None


def find_media(
    table: Table, findings: Findings, source: str | None, page_folder: Path | None = None
) -> Media | None:
    """Find a column of images, or else the column of the longest texts; None if there is neither.

    A column is an image if the audit used it as one, or if its cells are ``data:`` URIs or names of
    image files. Paths are relative to the folder of `source`, the path of the table, unless the
    table knows their folder. Addresses of images are relative to `page_folder`, the folder of the
    page, if it is given.
    """
    shown = [table.cells[findings.rows[i]] for i in findings.order[:N_TRIED]]
    kinds = findings.prepared.kinds
    longest, text = 0.0, None
    for position in range(len(table.names)):
        cells = [row[position].strip() for row in shown if row[position].strip()]
        if position == findings.problem.label or not cells:
            continue
        kind = kinds.get(str(position))
        if kind == "image" or all(map(_IMAGE.match, cells)):
            folder = table.images.get(position, folder_of(source))
            return Media(position, "image", partial(_address, table, folder, page_folder, position))
        length = median(map(len, cells))
        if length >= (SHORT_TEXT if kind == "text" else LONG_TEXT) and length > longest:
            longest, text = length, position
    return None if text is None else Media(text, "text")


def folder_of(source: str | None) -> Path:
    """Folder of the table, to which paths of images are relative."""
    return Path(source).parent if source else Path()


def _address(
    table: Table, folder: Path, page_folder: Path | None, position: int, row: int
) -> str | None:
    cell = table.cells[row][position].strip()
    if not cell or cell.startswith("data:"):
        return cell or None
    path = (folder / cell).absolute()
    try:
        if page_folder is None:
            return path.as_uri()
        return quote(Path(os.path.relpath(path, page_folder)).as_posix())
    except ValueError:  # a NUL in the path, or another drive of Windows
        return None if "\0" in cell else path.as_uri()
