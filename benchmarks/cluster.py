"""How much faster do two Dask workers score rows than one, and does the client need more memory?

    python benchmarks/cluster.py [--rows 65536] [--repeats 3] [--output DIR]

A scheduler and two workers run as separate processes, each with one thread and its own address. The
workers score rows in a memmap with a net of 1M parameters. Calls with one worker and calls with two
workers take turns, and medians are reported. Memory is the rise of the client's anonymous memory
(Linux only). The workers open the file with the rows themselves, so this memory should not grow
with the number of rows. Calls with a quarter of the rows check this.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from distributed import Client

from skinfluence import InfluenceScorer
from skinfluence.nets import TabularClassifier
from skinfluence.stream import score_stream

COLUMNS = 100


@contextmanager
def cluster() -> Iterator[Client]:
    """A client with two workers, at 127.0.0.2 and 127.0.0.3."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = f"tcp://127.0.0.1:{port}"
    quiet = {
        "env": os.environ | {"OMP_NUM_THREADS": "1"},
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    arguments = [["scheduler", f"--port={port}", "--host=127.0.0.1"]]
    arguments += [
        ["worker", server, f"--host=127.0.0.{last}", "--nthreads=1", "--no-nanny"]
        for last in (2, 3)
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *rest, "--no-dashboard"], **quiet
        )
        for kind, *rest in arguments
    ]
    try:
        with Client(server, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            yield client
    finally:
        for process in processes:
            process.kill()
            process.wait()


def own_memory() -> float:
    """Anonymous memory of this process, MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024


def timed(scorer, X, y, workers: list[str]) -> tuple[float, float]:
    """Seconds, and the rise of the client's memory in MB."""
    before, peak, done = own_memory(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    with joblib.parallel_config(backend="dask", workers=workers, scatter=[scorer]):
        score_stream(scorer, X, y, chunk_size=2048)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return seconds, max(peak[0] - before, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2**16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    few = rng.standard_normal((2000, COLUMNS), dtype=np.float32)
    net = TabularClassifier(module__hidden=(900, 900), max_epochs=1, batch_size=512)
    scorer = InfluenceScorer(net, random_state=0).fit(few, (few[:, 0] > 0).astype(int))
    found = []
    with tempfile.TemporaryDirectory() as folder, cluster() as client:
        X = np.memmap(Path(folder) / "X", np.float32, "w+", shape=(args.rows, COLUMNS))
        y = np.memmap(Path(folder) / "y", np.int64, "w+", shape=(args.rows,))
        for start in range(0, args.rows, 2**14):
            rows = slice(start, min(start + 2**14, args.rows))
            X[rows] = rng.standard_normal(X[rows].shape, dtype=np.float32)
        X.flush(), y.flush()
        every = list(client.scheduler_info()["workers"])
        quarter = Path(folder) / "quarter"
        few_X = np.memmap(quarter, np.float32, "w+", shape=(args.rows // 4, COLUMNS))
        few_X[:] = X[: len(few_X)]
        warm_up = few_X[:4096]
        timed(scorer, warm_up, np.zeros(len(warm_up), np.int64), every)
        for name, Xs, workers in [
            ("one worker", X, every[:1]),
            ("two workers", X, every),
            ("two workers, a quarter of the rows", few_X, every),
        ] * args.repeats:
            ys = y if Xs is X else np.zeros(len(Xs), np.int64)
            seconds, rise = timed(scorer, Xs, ys, workers)
            found.append({"run": name, "rows": len(Xs), "seconds": seconds, "client_mb": rise})
            print(found[-1], flush=True)
    table = pd.DataFrame(found).groupby(["run", "rows"], sort=False).median().round(1)
    one, two = table["seconds"].iloc[:2]
    print(f"{table}\ntwo workers are {one / two:.2f} times as fast as one")
    if args.output:
        table.to_csv(args.output / "cluster.csv")


if __name__ == "__main__":
    main()
