"""The text of a table in memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pandas")
pytest.importorskip("skrub")  # imported here, so that its code is not counted below

from skinfluence._audit import stored_text
from skinfluence._audit.formats import read_table
from skinfluence._audit.options import Options


@given(st.lists(st.lists(st.text(st.characters(categories=["L", "Cc", "Cs", "So"])))))
def test_a_column_holds_the_same_cells_in_the_same_order(chunks):
    column = stored_text.Column()
    for chunk in chunks:
        column.extend(chunk)
    assert list(column) == [cell for chunk in chunks for cell in chunk]


def test_cells_longer_than_a_byte_can_count_are_kept():
    cells = ["", "x" * 255, "é" * 256, "y" * 100_000]
    assert list(stored_text.Column.of(cells)) == cells


def large_csv(n=15_000):
    """Twenty columns of numbers, categories, codes and dates, and a label."""
    rng = np.random.default_rng(0)
    columns = [[f"{x:.6f}" for x in rng.normal(size=n)] for _ in range(8)]
    columns += [[str(x) for x in rng.integers(0, 100_000, n)] for _ in range(4)]
    columns += [[["red", "grün", "", "NA"][x] for x in rng.integers(0, 4, n)] for _ in range(4)]
    columns += [[f"C{x:06d}" for x in rng.integers(0, n // 2, n)] for _ in range(2)]
    columns += [[f'"2024-{x:02d}-01"' for x in rng.integers(1, 13, n)]]
    columns += [[["yes", "no"][x] for x in rng.integers(0, 2, n)]]
    lines = [
        ",".join(f"c{i}" for i in range(len(columns))),
        *map(",".join, zip(*columns, strict=True)),
    ]
    return "\n".join(lines) + "\n"


def test_a_table_and_its_features_take_four_times_the_memory_of_the_file(tmp_path):
    from skinfluence._audit import features, findings

    path = tmp_path / "t.csv"
    path.write_text(large_csv(), encoding="utf-8")
    tracemalloc.start()
    try:
        table = read_table(path)
        _, reading = tracemalloc.get_traced_memory()
        problem = findings.read_problem(table, len(table.names) - 1)
        features.prepare(
            table, problem.label, problem.rows, Options(embed="none", ignore=("c16", "c17"))
        )
        _, preparing = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size, fixed = (
        path.stat().st_size,
        9_000_000,
    )  # the first lines, rows of one chunk, formats of dates
    assert reading < 3 * size + fixed
    assert preparing < 4 * size + fixed
    assert table.source.header + "".join(table.source.rows) == path.read_text(encoding="utf-8")
