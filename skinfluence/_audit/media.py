"""Images of a table that cannot be read: their rows cannot be judged."""

from __future__ import annotations

import numpy as np

from skinfluence._audit.table import Table

UNREADABLE = "an image that cannot be read"


def unreadable_rows(table: Table) -> dict[str, np.ndarray]:
    """Reason -> positions of the rows with an image that cannot be read; empty if all can."""
    is_bad = np.zeros(len(table.cells), dtype=bool)
    for position, folder in table.images.items():
        from skinfluence.images import unreadable

        cells = table.column(position)
        is_bad[list(unreadable([str(folder / cell) if cell else None for cell in cells]))] = True
    return {UNREADABLE: np.flatnonzero(is_bad)} if is_bad.any() else {}
