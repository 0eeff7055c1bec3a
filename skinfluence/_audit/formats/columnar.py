"""Tables that are stored by column: Parquet and Arrow files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.arrow_cells import TextOf, changed_column, described
from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.formats.format import Format, Given, load, starts_with
from skinfluence._audit.options import Options
from skinfluence._audit.stored_text import Column
from skinfluence._audit.table import AuditError, Table

PARQUET_BATCH, MAX_PARQUET_CELLS, MAX_PARQUET_CHARACTERS = 1024, 100_000_000, 2_000_000_000

ARROW_MAGIC = b"ARROW1"


@dataclass
class ArrowSource:
    """A file of Arrow's types.

    Attributes
    ----------
    given : Given
        The file.
    container : Container
        How batches are read from it and written.
    suffix : str
        Suffix of such files.
    """

    given: Given
    container: Container
    suffix: str

    def __post_init__(self) -> None:
        self._stamp = self.given.stamp()

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the table with its schema; other cells of changed rows are kept as they are."""
        self.given.require_unchanged(self._stamp)
        self.container.rewrite(self.given, path, _Changes(changes))


@dataclass
class _Changes:
    """Applies the changes to one batch after another."""

    changes: Mapping[int, Sequence[str] | None]
    n_before: int = field(default=0)

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        rows = range(self.n_before, self.n_before + batch.num_rows)
        self.n_before += batch.num_rows
        new = {row - rows.start: self.changes[row] for row in rows if row in self.changes}
        if not new:
            return batch
        cells = {row: cells for row, cells in new.items() if cells is not None}
        fields = described(batch.schema)
        columns = [
            changed_column(column, {row: cells[row][i] for row in cells}, fields[i])
            for i, column in enumerate(batch.columns)
        ]
        batch = type(batch).from_arrays(columns, schema=batch.schema)
        keep = [new.get(row, ()) is not None for row in range(batch.num_rows)]
        return batch if all(keep) else batch.filter(pa.array(keep))


@dataclass(frozen=True)
class Container:
    """A kind of file of Arrow's types.

    Attributes
    ----------
    name : str
        What messages call it.
    shape : callable
        Schema and number of rows of a file.
    batches : callable
        The batches of a file.
    rewrite : callable
        Writes a copy of a file, each batch changed by a function.
    """

    name: str
    shape: Callable[[Given], tuple[Any, int]]
    batches: Callable[[Given], Iterator[Any]]
    rewrite: Callable[[Given, Path, Callable[[Any], Any]], None]

    def read(self, given: Given, suffix: str) -> Table:
        """Read a table; raise AuditError if the file is not one."""
        load("pyarrow", "parquet", f"reading {self.name}")
        schema, n_rows = self.shape(given)
        _refuse_parquet_shape(given, n_rows, len(schema.names))
        columns = _columns(given, schema, self.batches(given))
        plain = table_from_columns(schema.names, columns)
        source = ArrowSource(given, self, suffix)
        index = index_columns(schema)
        return Table(plain.names, plain.columns, plain.cells, plain.form, source, index=index)


def index_columns(schema: Any) -> frozenset[int]:
    """Positions of the columns that hold the index of the pandas table that was saved."""
    metadata = schema.pandas_metadata or {}
    names = {name for name in metadata.get("index_columns", []) if isinstance(name, str)}
    return frozenset(
        i for i, name in enumerate(schema.names) if name in names or name.startswith("__index_")
    )


def _refuse_parquet_shape(given: Given, n_rows: int, n_columns: int) -> None:
    if not n_rows or not n_columns:
        raise AuditError(
            f"{given.shown} has {n_rows} rows and {n_columns} columns; a table needs at least one "
            "of each."
        )
    # A small file may hold many equal cells. The metadata tells before any of them is unfolded.
    if n_rows * n_columns > MAX_PARQUET_CELLS:
        raise AuditError(
            f"{given.shown} has {n_rows:,} rows and {n_columns:,} columns; at most "
            f"{MAX_PARQUET_CELLS:,} cells can be read. Audit a sample of its rows, or fewer "
            "columns."
        )


def _columns(given: Given, schema: Any, batches: Iterator[Any]) -> list[Column]:
    """Columns of text, read a few rows at a time, so that long cells are noticed early."""
    columns = [Column() for _ in schema.names]
    texts_of = list(map(TextOf, described(schema)))
    n_characters = 0
    for batch in batches:
        batch.validate(full=True)  # a damaged file may hold positions outside its data
        for start in range(0, batch.num_rows, PARQUET_BATCH):
            piece = batch.slice(start, PARQUET_BATCH)
            for column, values, text_of in zip(columns, piece.columns, texts_of, strict=True):
                texts = [text_of(value) for value in values.to_pylist()]
                n_characters += sum(map(len, texts))
                column.extend(texts)
            if n_characters > MAX_PARQUET_CHARACTERS:
                raise AuditError(
                    f"{given.shown} holds more than {MAX_PARQUET_CHARACTERS:,} characters of "
                    "text; audit a sample of its rows, or fewer columns."
                )
    return columns


def _parquet_shape(given: Given) -> tuple[Any, int]:
    import pyarrow.parquet as pq

    # Not pq.read_table, which treats parent folders with names such as "a=1" as partitions.
    with pq.ParquetFile(given.opened()) as file:
        return file.schema_arrow, file.metadata.num_rows


def _parquet_batches(given: Given) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(given.opened()) as file:
        yield from file.iter_batches(batch_size=PARQUET_BATCH)


def _rewrite_parquet(given: Given, path: Path, change: Callable[[Any], Any]) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(given.opened()) as file:
        first = file.metadata.row_group(0)
        codecs = {}
        for i in range(first.num_columns):
            column = first.column(i)
            codecs[column.path_in_schema] = column.compression.lower().replace(
                "uncompressed", "none"
            )
        with pq.ParquetWriter(path, file.schema_arrow, compression=codecs) as writer:
            for group in range(file.metadata.num_row_groups):
                writer.write_table(change(file.read_row_group(group)))


def _open_arrow(given: Given) -> Any:
    """A reader of an Arrow file, or of an Arrow stream, which data sets are saved in."""
    import pyarrow as pa

    source = pa.memory_map(given.opened()) if given.data is None else pa.py_buffer(given.data)
    is_file = given.head().startswith(ARROW_MAGIC)
    return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def arrow_batches(given: Given) -> Iterator[Any]:
    """The batches of an Arrow file or stream."""
    with _open_arrow(given) as reader:
        if hasattr(reader, "num_record_batches"):
            yield from map(reader.get_batch, range(reader.num_record_batches))
        else:
            yield from reader


def arrow_shape(given: Given) -> tuple[Any, int]:
    """Schema and number of rows of an Arrow file or stream."""
    with _open_arrow(given) as reader:
        schema = reader.schema
    return schema, sum(batch.num_rows for batch in arrow_batches(given))


def rewrite_arrow(given: Given, path: Path, change: Callable[[Any], Any]) -> None:
    """Write a copy of an Arrow file or stream, each batch changed by a function."""
    import pyarrow as pa

    schema, _ = arrow_shape(given)
    is_file = given.head().startswith(ARROW_MAGIC)
    options = pa.ipc.IpcWriteOptions(compression=_arrow_compression(given) if is_file else None)
    new = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with open(path, "wb") as sink, new(sink, schema, options=options) as writer:
        for batch in arrow_batches(given):
            writer.write_batch(change(batch))


def _arrow_compression(given: Given) -> str | None:
    """Feather files are compressed with lz4 unless one asks otherwise; the file does not say."""
    import pyarrow as pa

    return "lz4" if given.suffix == ".feather" and pa.Codec.is_available("lz4") else None


PARQUET_FILE = Container("Parquet", _parquet_shape, _parquet_batches, _rewrite_parquet)
ARROW_FILE = Container("Arrow", arrow_shape, arrow_batches, rewrite_arrow)


def _reader(container: Container, suffixes: tuple[str, ...]) -> Callable[[Given, Options], Table]:
    return lambda given, options: container.read(
        given, given.suffix if given.suffix in suffixes else suffixes[0]
    )


_PARQUET, _ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc", ".arrows")
PARQUET = Format(
    "Parquet", _PARQUET, _reader(PARQUET_FILE, _PARQUET), starts_with(b"PAR1"), is_foreign=True
)
ARROW = Format(
    "Arrow",
    _ARROW,
    _reader(ARROW_FILE, _ARROW),
    starts_with(ARROW_MAGIC, b"\xff\xff\xff\xff"),
    is_foreign=True,
)
