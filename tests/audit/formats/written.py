"""Files to read, and tables that are written and read again."""

from skinfluence._audit.formats import read_table


def given(folder, content, name="t.csv"):
    """A file with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rewritten(table, folder, changes, name="written"):
    """Path of the changed table."""
    path = folder / f"{name}{table.source.suffix}"
    table.source.write(path, changes)
    return path


def expect_changes(table, folder, changes, options=None):
    """Write the changed table, read it again, and compare every cell; return the new table."""
    rows = [changes.get(row, cells) for row, cells in enumerate(table.cells)]
    again = read_table(rewritten(table, folder, changes), options)
    assert again.names == table.names
    assert list(again.cells) == [cells for cells in rows if cells is not None]
    columns = zip(*again.cells, strict=True)
    assert [list(column) for column in again.columns] == [list(column) for column in columns]
    return again
