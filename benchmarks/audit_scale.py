"""How long does an audit of a large table take, and how much memory?

    python benchmarks/audit_scale.py [--tables tall wide classes] [--share 1.0] [--output DIR]

Three CSV files are written to a temporary folder and audited by the command, each in a new process.
"tall" has 1,000,000 rows and 20 columns: numbers, categories, a date, names and a key. "wide" has
2,000 rows and 2,000 columns of numbers. "classes" has 20,000 rows, 20 columns and 26 classes. A
twentieth of the labels are wrong. `--share` shrinks the number of rows. Memory is the peak of the
process; CPU seconds say how long it takes if other programs share the machine. On two cores, "tall"
has to stay within 15 minutes and 8 GB, and "wide" within 5 minutes.
"""

from __future__ import annotations

import argparse
import csv
import os
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from skinfluence.datasets import flip_labels

NOISE = 0.05


def tall(n: int, rng: np.random.RandomState) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns of all kinds; the label depends on numbers, a category and the date."""
    numbers = rng.randn(n, 12).astype(np.float32).round(3)
    colors = np.array(["red", "green", "blue", "white", "black"])[rng.randint(5, size=(n, 4))]
    days = rng.randint(3650, size=n)
    first, last = rng.randint(500, size=n), rng.randint(2000, size=n)
    frame = pd.DataFrame({f"number {i}": numbers[:, i] for i in range(12)})
    for i in range(4):
        frame[f"color {i}"] = colors[:, i]
    frame["day"] = (pd.Timestamp("2015-01-01") + pd.to_timedelta(days, unit="D")).strftime(
        "%d.%m.%Y"
    )
    frame["name"] = [f"first{a} last{b}" for a, b in zip(first, last, strict=True)]
    frame["key"] = [f"k{i:08d}" for i in rng.permutation(n)]
    signal = numbers[:, :3].sum(1) + 2 * (colors[:, 0] == "red") + days / 1825 - 1.4
    return frame, np.where(signal > 0, "yes", "no")


def wide(n: int, rng: np.random.RandomState) -> tuple[pd.DataFrame, np.ndarray]:
    """1,999 numbers; the label depends on ten of them."""
    numbers = rng.randn(n, 1999).astype(np.float32).round(3)
    frame = pd.DataFrame(numbers, columns=[f"number {i}" for i in range(1999)])
    return frame, np.where(numbers[:, :10].sum(1) > 0, "yes", "no")


def classes(n: int, rng: np.random.RandomState) -> tuple[pd.DataFrame, np.ndarray]:
    """26 clusters of 19 numbers."""
    y = rng.randint(26, size=n)
    centers = 2 * np.random.RandomState(0).randn(26, 19)
    numbers = (centers[y] + rng.randn(n, 19)).astype(np.float32).round(3)
    frame = pd.DataFrame(numbers, columns=[f"number {i}" for i in range(19)])
    return frame, np.array(list(string.ascii_uppercase))[y]


TABLES = {"tall": (tall, 1_000_000), "wide": (wide, 2_000), "classes": (classes, 20_000)}


def audit(path: Path, output: Path) -> dict[str, float]:
    """Run the command; return its seconds and its peak of memory."""
    command = [sys.executable, "-m", "skinfluence", "audit", path, "--output", output, "--quiet"]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"the audit of {path.name} failed")
    return {
        "seconds": round(time.perf_counter() - start),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime),
        "memory_gb": round(usage.ru_maxrss / 1e6, 2),
    }


def measure(name: str, share: float, folder: Path) -> dict[str, object]:
    """Write a table, audit it, and compare the suspects with the planted wrong labels."""
    make, n = TABLES[name]
    n = int(n * share)
    frame, labels = make(n, np.random.RandomState(1))
    labels, is_planted = flip_labels(labels, NOISE, random_state=2)
    frame["label"] = labels
    path, output = folder / f"{name}.csv", folder / name
    frame.to_csv(path, index=False)
    shape = frame.shape
    del frame
    cost = audit(path, output)
    suspects = pd.read_csv(output / "suspects.csv", usecols=["skinfluence_row"])["skinfluence_row"]
    found = int(is_planted[suspects - 1].sum())
    return {
        "table": name,
        "rows": shape[0],
        "columns": shape[1],
        **cost,
        "suspects": len(suspects),
        "found": found,
        "planted": int(is_planted.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--share", type=float, default=1.0, help="share of the rows")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    rows = []
    for name in args.tables:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(name, args.share, Path(folder)))
        print(rows[-1], flush=True)
    if args.output:
        with open(args.output / "audit_scale.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
