"""Folders of images, with one folder per class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.formats.format import Given
from skinfluence._audit.table import AuditError, Table, listed

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "eval"})


def read_images(given: Given) -> Table | None:
    """The images of a folder as a table with the columns "image" and "class".

    A class is a folder directly below the given one, with everything in it. If these folders are
    splits, such as "train" and "test", classes are the folders below the splits.

    Returns
    -------
    table : Table or None
        One row per image, in the order of the paths, which start at the folder. It is written as
        CSV. None if the folder holds no image.
    """
    folder = given.on_disk()
    files = [path.relative_to(folder) for path in _files(folder)]
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        return None
    depth = 1 if _are_splits(images) else 0
    inside = [path for path in images if len(path.parts) > depth + 1]
    if not inside:
        raise AuditError(
            f"{given.shown} holds images, but no folder of images; expected one folder per class. "
            "If a table names the images and their labels, give the table, and the column of paths "
            "with --image."
        )
    paths = [path.as_posix() for path in inside]
    table = table_from_columns(["image", "class"], [paths, [p.parts[depth] for p in inside]])
    notes = list(_notes(files, images, inside, depth))
    return replace(table, notes=notes, images={0: folder})


def _files(folder: Path) -> list[Path]:
    """All files below the folder, sorted; hidden files and folders are left out."""
    # Not Path.rglob, which fails if a folder cannot be read or goes away.
    found = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if not _is_hidden(path.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _are_splits(images: list[Path]) -> bool:
    tops = {path.parts[0].lower() for path in images if len(path.parts) > 1}
    return bool(tops) and tops <= SPLITS and any(len(path.parts) > 2 for path in images)


def _notes(files: list[Path], images: list[Path], inside: list[Path], depth: int) -> Iterator[str]:
    if depth:
        splits = listed(sorted({path.parts[0] for path in inside}))
        yield f"the folders {splits} are read as splits, and their folders as the classes"
    if number := len(images) - len(inside):
        yield f"images that are in no class folder are left out: {number:,}"
    kinds = Counter(path.suffix.lower() for path in files)
    others = [kind or "no suffix" for kind, _ in kinds.most_common() if kind not in SUFFIXES]
    if others:
        number = len(files) - len(images)
        yield f"files that are not images are left out: {number:,} ({listed(others)})"
