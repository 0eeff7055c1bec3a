"""Columns of records that come one after another, each with its own names."""

from __future__ import annotations

from skinfluence._audit.stored_text import CHUNK, Column
from skinfluence._audit.table import AuditError

MANY_NAMES = 20_000


class ColumnsByName:
    """Columns of records that do not all have the same names; missing cells are empty."""

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}
        self._waiting: list[dict[str, str]] = []
        self._n_done = 0

    def add(self, cells: dict[str, str]) -> None:
        """Add a record."""
        self._waiting.append(cells)
        if len(self._waiting) == CHUNK:
            self._store()

    def finished(self) -> dict[str, Column]:
        """The columns, in the order in which their names occur."""
        self._store()
        return self._columns

    def _store(self) -> None:
        for name in dict.fromkeys(name for cells in self._waiting for name in cells):
            if name not in self._columns:
                self._columns[name] = Column.of("" for _ in range(self._n_done))
        if len(self._columns) > MANY_NAMES:
            raise AuditError(
                f"the objects have more than {MANY_NAMES:,} different names; expected records "
                "that share most of their names."
            )
        for name, column in self._columns.items():
            column.extend([cells.get(name, "") for cells in self._waiting])
        self._n_done += len(self._waiting)
        self._waiting.clear()
