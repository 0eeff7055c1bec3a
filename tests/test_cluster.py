"""Scoring and retraining on a real cluster: a scheduler and two workers in separate processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small import blobs, scorer
from torch.utils.data import Dataset

from skinfluence.retraining import draw_subsets, retrain
from skinfluence.stream import score_stream

distributed = pytest.importorskip("distributed")  # too new for `tox -e oldest`

HERE = Path(__file__).parent
X, Y = blobs()
X32 = X.astype(np.float32)

pytestmark = [
    pytest.mark.slow,
    # dask's warnings about its use of the event loop and what it cannot close in time
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Rows(Dataset):
    """The rows, repeated; the first process that reads row 500 dies."""

    def __init__(self, times=10, grave=None):
        self.times, self.grave = times, grave

    def __len__(self):
        return 90 * self.times

    def __getitem__(self, i):
        if i == 500 and self.grave is not None and not os.path.exists(self.grave):
            Path(self.grave).write_text(str(os.getpid()))
            os._exit(1)
        return X32[i % 90], int(Y[i % 90])


@pytest.fixture(scope="module")
def fitted():
    return scorer().fit(X32, Y)


def started(arguments, env):
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def cluster():
    """Start two workers at different addresses; yield the client."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # So that workers find the classes of this file, and start no more threads than cores.
    env = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    options = ["--no-dashboard", "--host"]
    processes = [
        started(["distributed.cli.dask_scheduler", f"--port={port}", *options, "127.0.0.1"], env)
    ]
    try:
        for last in (2, 3):
            address = [f"tcp://127.0.0.1:{port}", "--nthreads=1", "--no-nanny"]
            host = f"127.0.0.{last}"
            processes.append(
                started(["distributed.cli.dask_worker", *address, *options, host], env)
            )
        with distributed.Client(f"tcp://127.0.0.1:{port}", timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            yield client
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_workers_at_two_addresses_give_the_same_scores(cluster, fitted):
    hosts = {address.split(":")[1] for address in cluster.scheduler_info()["workers"]}
    assert hosts == {"//127.0.0.2", "//127.0.0.3"}
    with joblib.parallel_config(backend="dask"):
        got = score_stream(fitted, Rows(), chunk_size=90)
    # float32: the processes have the same batches, but not the same number of threads
    np.testing.assert_allclose(got, np.tile(fitted.scores_, 10), rtol=1e-5, atol=1e-6)


def test_the_rows_of_a_dask_array_are_read_by_the_workers(cluster, fitted, tmp_path):
    dask_array = pytest.importorskip("dask.array")
    np.save(tmp_path / "X.npy", np.tile(X32, (10, 1)))
    path, pid = str(tmp_path / "X.npy"), os.getpid()

    def opened(block_info=None):
        assert os.getpid() != pid
        (start, stop), _ = block_info[None]["array-location"]
        return np.load(path, mmap_mode="r")[start:stop]

    rows = dask_array.map_blocks(opened, chunks=((90,) * 10, (4,)), dtype=np.float32, meta=X32[:0])
    with joblib.parallel_config(backend="dask"):
        got = score_stream(fitted, rows, np.tile(Y, 10), chunk_size=90)
    np.testing.assert_allclose(got, np.tile(fitted.scores_, 10), rtol=1e-5, atol=1e-6)


def test_no_score_is_lost_when_a_worker_dies(cluster, fitted, tmp_path):
    grave = tmp_path / "grave"
    with joblib.parallel_config(backend="dask"):
        got = score_stream(fitted, Rows(grave=str(grave)), chunk_size=90)
    assert grave.exists()
    assert len(cluster.scheduler_info()["workers"]) == 1
    np.testing.assert_allclose(got, np.tile(fitted.scores_, 10), rtol=1e-5, atol=1e-6)


def test_retraining_on_a_cluster_gives_the_same_numbers(cluster):
    kept = draw_subsets(90, 8, stratify=Y, random_state=0)
    given = (LogisticRegression(), X, Y, kept, X[:10], Y[:10])
    want = retrain(*given, random_state=0)
    with joblib.parallel_config(backend="dask"):
        got = retrain(*given, random_state=0)
    np.testing.assert_allclose(got, want, rtol=1e-6)
