"""How long does scoring ten thousand to ten million rows in a file take, and how much memory?

    python benchmarks/out_of_core.py [--most 10000000] [--output DIR]

`score_stream` scores rows of 20 numbers in a memmap with a ready-made net and writes the scores to
another memmap. Each number of rows runs in its own process. Memory is the peak of the process's
anonymous memory, minus the anonymous memory before the call (Linux only). Anonymous memory excludes
mapped pages of the file, which the system can reclaim.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SIZES = [10**4, 10**5, 10**6, 10**7]
COLUMNS = 20


def write_rows(folder: Path, n: int) -> None:
    """Write rows and labels block by block."""
    rng = np.random.default_rng(0)
    X = np.memmap(folder / "X", np.float32, "w+", shape=(n, COLUMNS))
    y = np.memmap(folder / "y", np.int64, "w+", shape=(n,))
    for start in range(0, n, 10**5):
        block = rng.standard_normal((min(10**5, n - start), COLUMNS), dtype=np.float32)
        X[start : start + len(block)] = block
        y[start : start + len(block)] = (block[:, :3].sum(1) > 0).astype(int)
    X.flush()
    y.flush()


def status(key: str) -> float:
    """A value from the process's status, in MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(key + ":")[1].split()[0]) / 1024


def score(folder: Path, n: int) -> dict[str, float]:
    """Score the rows in this process, and watch its memory."""
    from skinfluence import InfluenceScorer
    from skinfluence.stream import score_stream

    X = np.memmap(folder / "X", np.float32, "r", shape=(n, COLUMNS))
    y = np.memmap(folder / "y", np.int64, "r", shape=(n,))
    scorer = InfluenceScorer(random_state=0).fit(np.array(X[:5000]), np.array(y[:5000]))
    out = np.memmap(folder / "scores", np.float64, "w+", shape=(n,))
    score_stream(scorer, X[:1000], y[:1000])  # warm-up
    before, peak, done = status("RssAnon"), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    score_stream(scorer, X, y, out=out)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return {
        "rows": n,
        "seconds": round(seconds, 2),
        "rows_per_second": round(n / seconds),
        "own_memory_mb": round(max(peak[0] - before, 0), 1),
        "resident_peak_mb": round(status("VmHWM"), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--score", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.score:
        print(json.dumps(score(Path(args.score[0]), int(args.score[1]))))
        return
    rows = []
    for n in [size for size in SIZES if size <= args.most]:
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder), n)
            command = [sys.executable, __file__, "--score", folder, str(n)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    logs = np.log10([[row["rows"], row["seconds"]] for row in rows])
    print(f"slope of log time over log rows: {np.polyfit(*logs.T, 1)[0]:.3f}")
    if args.output:
        with open(args.output / "out_of_core.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
