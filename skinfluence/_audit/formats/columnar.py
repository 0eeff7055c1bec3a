"""Tables that are stored by column: Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.formats.format import Format, Given, starts_with
from skinfluence._audit.options import Options
from skinfluence._audit.stored_text import Column
from skinfluence._audit.table import AuditError, Table
from skinfluence._extras import need

PARQUET_BATCH, MAX_PARQUET_CELLS, MAX_PARQUET_CHARACTERS = 1024, 100_000_000, 2_000_000_000


def read_parquet(given: Given, options: Options) -> Table:
    path = given.on_disk()
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise AuditError(str(need("parquet", "reading Parquet needs pyarrow"))) from error
    try:
        # Not pq.read_table, which treats parent folders with names such as "a=1" as partitions.
        with pq.ParquetFile(path) as file:
            shape = file.metadata.num_rows, len(file.schema_arrow.names)
            _refuse_parquet_shape(path, *shape)
            return table_from_columns(file.schema_arrow.names, _parquet_columns(path, file))
    except (OSError, ValueError, NotImplementedError) as error:  # ArrowInvalid is a ValueError
        raise AuditError(f"{str(path)!r} cannot be read as Parquet: {error}") from error


def _refuse_parquet_shape(path: Path, n_rows: int, n_columns: int) -> None:
    if not n_rows or not n_columns:
        raise AuditError(
            f"{str(path)!r} has {n_rows} rows and {n_columns} columns; a table needs at least one "
            "of each."
        )
    # A small file may hold many equal cells. The metadata tells before any of them is unfolded.
    if n_rows * n_columns > MAX_PARQUET_CELLS:
        raise AuditError(
            f"{str(path)!r} has {n_rows:,} rows and {n_columns:,} columns; at most "
            f"{MAX_PARQUET_CELLS:,} cells can be read. Audit a sample of its rows, or fewer "
            "columns."
        )


def _parquet_columns(path: Path, file: Any) -> list[Column]:
    """Columns of text, read a few rows at a time, so that long cells are noticed early."""
    columns = [Column() for _ in file.schema_arrow.names]
    n_characters = 0
    for batch in file.iter_batches(batch_size=PARQUET_BATCH):
        for column, values in zip(columns, batch.columns, strict=True):
            texts = ["" if v is None else str(v) for v in values.to_pylist()]
            n_characters += sum(map(len, texts))
            column.extend(texts)
        if n_characters > MAX_PARQUET_CHARACTERS:
            raise AuditError(
                f"{str(path)!r} holds more than {MAX_PARQUET_CHARACTERS:,} characters of text; "
                "audit a sample of its rows, or fewer columns."
            )
    return columns


PARQUET = Format("Parquet", (".parquet", ".pq"), read_parquet, starts_with(b"PAR1"))
