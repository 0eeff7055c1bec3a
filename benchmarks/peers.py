"""How long do other libraries and this one take for the same scores, and how much memory?

    python benchmarks/peers.py --output DIR [--quick] [--threads 1] [--limit 120]

Needs matplotlib and the packages that `tox -e peers` installs; `traker` is optional. Each library
works in its own process, and the processes take turns. Before a library is timed, its scores of a
few rows are compared with the scores of this library. If they differ, the other library is not
timed. The benchmark writes peers_speed.csv, peers_speed.png, and the tables of the page,
peers_scores.csv and peers_tasks.csv.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import importlib.metadata
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

REFERENCE = 100
GRADIENTS = 2**26  # numbers in the row gradients that a peer holds at once: 256 MB of float32
TOLERANCE = 1e-3  # for float32 sums over a million products; a wrong layer is off by far more
DAMPING = 0.1

# Nets -------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Multi-head attention made of Linear layers only, which most libraries support."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, X):
        q, k, v = (
            layer(X).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for layer in (self.query, self.key, self.value)
        )
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return self.out((weights @ v).transpose(-2, -3).flatten(-2))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.norm1 = Attention(width, heads), nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, X):
        X = self.norm1(X + self.attention(X))
        return self.norm2(X + self.outer(nn.functional.gelu(self.inner(X))))


class Encoder(nn.Module):
    """An encoder with the shape of all-MiniLM-L6, without position embeddings."""

    def __init__(self, tokens: int = 30522, width: int = 384, layers: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.layers = nn.Sequential(*(Layer(width, 12) for _ in range(layers)))
        self.head = nn.Linear(width, 10)

    def forward(self, X):
        return self.head(self.layers(self.embed(X)).mean(-2))


def mlp(*widths: int) -> nn.Module:
    layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip


def table(n: int, rng) -> np.ndarray:
    return rng.standard_normal((n, 64), dtype=np.float32)


def images(n: int, rng) -> np.ndarray:
    return rng.standard_normal((n, 3, 16, 16), dtype=np.float32)


def sentences(n: int, rng) -> np.ndarray:
    return rng.integers(0, 30522, (n, 8))


NETS = {  # module, rows, last layer, rows per batch in a pass
    "CNN 24k": (cnn, images, "8", 256),
    "MLP 0.1M": (lambda: mlp(64, 256, 256, 64, 10), table, "6", 256),
    "MLP 1M": (lambda: mlp(64, 1024, 896, 64, 10), table, "6", 256),
    "encoder 22M": (Encoder, sentences, "head", 32),
}


@dataclass
class Problem:
    """A net of random weights with rows to score and reference rows."""

    module: nn.Module
    last: str
    batch: int
    X: torch.Tensor
    y: torch.Tensor
    X_ref: torch.Tensor
    y_ref: torch.Tensor
    drawn: torch.Tensor  # labels for the curvature, where a library accepts them

    @classmethod
    def of(cls, name: str, rows: int) -> Problem:
        make, make_rows, last, batch = NETS[name]
        rng = np.random.default_rng(0)
        torch.manual_seed(0)
        X_ref, X = (torch.as_tensor(make_rows(n, rng)) for n in (REFERENCE, rows))
        y_ref, y = (torch.as_tensor(rng.integers(0, 10, n)) for n in (REFERENCE, rows))
        return cls(make().eval(), last, batch, X, y, X_ref, y_ref, y)

    def first(self, n: int) -> Problem:
        return replace(self, X=self.X[:n], y=self.y[:n], drawn=self.drawn[:n])

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    @property
    def own_batch(self) -> int:
        """Rows per batch for libraries that form all row gradients of a batch."""
        return max(1, min(self.batch, GRADIENTS // self.parameters))

    def batches(self, size: int):
        return zip(self.X.split(size), self.y.split(size), strict=True)


class Rows(TensorDataset):
    """Returns a batch by indexing once; the default collects it row by row."""

    def __getitems__(self, index):
        return tuple(t[torch.as_tensor(index)] for t in self.tensors)


def whole(batch):
    return batch


def loader(size: int, *tensors) -> DataLoader:
    return DataLoader(Rows(*tensors), batch_size=size, collate_fn=whole)


# Ours -------------------------------------------------------------------------------------------


def scorer(problem: Problem, **options):
    from skinfluence import InfluenceScorer

    net = NeuralNetClassifier(
        problem.module,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        iterator_valid__batch_size=problem.batch,
        classes=list(range(10)),
    )
    return InfluenceScorer(FrozenEstimator(net.initialize()), random_state=0, **options)


def ours(task: str, problem: Problem):
    """The whole of `fit` without training: checks, curvature, direction and scores.

    The matrix of pairs comes from a scorer that was fitted to a few rows before.
    """
    from skinfluence.curvature import EKFAC
    from skinfluence.methods import SelfInfluence
    from skinfluence.pairwise import influence_matrix

    X, y = problem.X.numpy(), problem.y.numpy()
    reference = {"X_val": problem.X_ref.numpy(), "y_val": problem.y_ref.numpy()}
    options = {
        "EK-FAC": {"curvature": EKFAC(DAMPING)},
        "last layer": {"parameters": f"{problem.last}.*"},
        "self": {"method": SelfInfluence()},
    }.get(task, {})
    made = scorer(problem, **options)
    if task == "pairs":
        made.fit(X[:20], y[:20], **reference)
        return lambda: influence_matrix(made, X, y)
    if task == "self":
        return lambda: -made.fit(X, y).scores_
    return lambda: len(problem.y_ref) * made.fit(X, y, **reference).scores_


def plain_pass(task: str, problem: Problem):
    """One forward and backward pass over all rows, as a lower limit."""

    def run():
        for X, y in problem.batches(problem.batch):
            nn.functional.cross_entropy(problem.module(X), y).backward()
            problem.module.zero_grad()

    return run


# captum -----------------------------------------------------------------------------------------


def captum(task: str, problem: Problem, fast: bool):
    from captum.influence import TracInCP, TracInCPFast

    module, size = copy.deepcopy(problem.module), problem.own_batch
    same = {"checkpoints": [0], "checkpoints_load_func": lambda *_: 1.0}
    reference = problem.X_ref, problem.y_ref
    if task == "last layer":
        train, loss = loader(problem.batch, problem.X, problem.y), nn.CrossEntropyLoss()
        found = TracInCPFast(
            module, module.get_submodule(problem.last), train, loss_fn=loss, **same
        )
        return lambda: found.influence(reference).sum(0)
    loss = nn.CrossEntropyLoss(reduction="sum" if fast else "none")
    train = loader(size, problem.X, problem.y)
    found = TracInCP(module, train, loss_fn=loss, sample_wise_grads_per_batch=fast, **same)
    if task == "self":
        return lambda: found.self_influence()
    if task == "pairs":
        return lambda: found.influence(reference).T
    in_batches = loader(size, *reference)
    return lambda: found.influence(in_batches, aggregate=True)[0]


def captum_fast(task: str, problem: Problem):
    return captum(task, problem, True)


def captum_slow(task: str, problem: Problem):
    return captum(task, problem, False)


# pyDVL ------------------------------------------------------------------------------------------


def pydvl(task: str, problem: Problem):
    """pyDVL's gradient provider; the reference gradients are summed once."""
    from pydvl.influence.torch.base import TorchBatch, TorchGradientProvider

    if task == "EK-FAC":
        return pydvl_ekfac(problem)
    module, size = copy.deepcopy(problem.module), problem.own_batch
    names = [n for n, _ in module.named_parameters() if task != "last layer" or of_last(problem, n)]
    own = {name: module.get_parameter(name).detach() for name in names}
    provider = TorchGradientProvider(module, nn.functional.cross_entropy, own)

    def gradients(X, y):
        return provider.flat_grads(TorchBatch(X, y))

    def reference():
        parts = zip(problem.X_ref.split(size), problem.y_ref.split(size), strict=True)
        if task == "pairs":
            return torch.cat([gradients(X, y) for X, y in parts]).T
        return sum(gradients(X, y).sum(0) for X, y in parts)

    def run():
        if task == "self":
            rows = (gradients(X, y).square().sum(1) for X, y in problem.batches(size))
        else:
            v = reference()
            rows = (gradients(X, y) @ v for X, y in problem.batches(size))
        return torch.cat(list(rows))

    return run


def pydvl_ekfac(problem: Problem):
    from pydvl.influence.torch import EkfacInfluence

    def run():
        module = copy.deepcopy(problem.module)
        model = EkfacInfluence(module, update_diagonal=True, hessian_regularization=DAMPING)
        model.fit(loader(problem.batch, problem.X, problem.y))
        v = model.influence_factors(problem.X_ref, problem.y_ref).sum(0, keepdim=True)
        parts = problem.batches(problem.own_batch)
        return torch.cat([model.influences_from_factors(v, X, y)[0] for X, y in parts])

    return run


def of_last(problem: Problem, name: str) -> bool:
    return name.startswith(problem.last + ".")


# dattri -----------------------------------------------------------------------------------------


def dattri(task: str, problem: Problem):
    """All reference rows are one item of dattri's test set, whose loss is their sum.

    As single items, their gradients would be computed again for every batch of rows.
    """
    from dattri.algorithm import TracInAttributor
    from dattri.task import AttributionTask

    module, size = copy.deepcopy(problem.module), problem.own_batch

    def loss(params, data):
        X, y = data
        outputs = torch.func.functional_call(module, params, (X.unsqueeze(0),))
        return nn.functional.cross_entropy(outputs, y.reshape(1))

    def total(params, data):
        outputs = torch.func.functional_call(module, params, (data[0],))
        return nn.functional.cross_entropy(outputs, data[1], reduction="sum")

    states = [module.state_dict()]
    work = AttributionTask(loss, module, states, target_func=loss if task == "pairs" else total)
    names = [n for n, _ in module.named_parameters() if of_last(problem, n)]
    found = TracInAttributor(
        work, torch.ones(1), False, layer_name=names if task == "last layer" else None
    )
    found.projector_kwargs = None  # None as an argument is its default: a random projection
    train = loader(size, problem.X, problem.y)
    if task == "self":
        return lambda: found.self_attribute(train)
    if task == "pairs":
        test = loader(size, problem.X_ref, problem.y_ref)
        return lambda: found.attribute(train, test)
    test = loader(1, problem.X_ref[None], problem.y_ref[None])
    return lambda: found.attribute(train, test)[:, 0]


# kronfluence ------------------------------------------------------------------------------------


def kronfluence_task(task: str, problem: Problem):
    from kronfluence.task import Task

    class Work(Task):
        def compute_train_loss(self, batch, model, sample=False):
            X, y, drawn = batch
            return nn.functional.cross_entropy(model(X), drawn if sample else y, reduction="sum")

        def compute_measurement(self, batch, model):
            return self.compute_train_loss(batch, model)

        def get_influence_tracked_modules(self):
            return [problem.last] if task == "last layer" else None

    return Work()


def kronfluence(task: str, problem: Problem):
    """kronfluence always works through files, here in a temporary directory."""
    from kronfluence import analyzer
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.utils.dataset import DataLoaderKwargs

    work, ekfac = kronfluence_task(task, problem), task == "EK-FAC"
    train = Rows(problem.X, problem.y, problem.drawn)
    reference = Rows(problem.X_ref, problem.y_ref, problem.y_ref)
    size = problem.batch if problem.parameters < 1e7 else problem.own_batch
    whole_batches = {"dataloader_kwargs": DataLoaderKwargs(collate_fn=whole)}
    factors = FactorArguments(strategy="ekfac" if ekfac else "identity")
    scores = ScoreArguments(
        damping_factor=DAMPING, aggregate_query_gradients=task not in ("self", "pairs")
    )

    def run():
        module = analyzer.prepare_model(copy.deepcopy(problem.module), work)
        common = {"cpu": True, "disable_tqdm": True, "disable_model_save": True}
        with tempfile.TemporaryDirectory() as directory:
            found = analyzer.Analyzer("peer", module, work, output_dir=directory, **common)
            found.fit_all_factors(
                "factors", train, per_device_batch_size=size, factor_args=factors, **whole_batches
            )
            options = {"per_device_train_batch_size": size, "score_args": scores} | whole_batches
            if task == "self":
                found.compute_self_scores("scores", "factors", train, **options)
                return found.load_self_scores("scores")["all_modules"]
            options["per_device_query_batch_size"] = min(len(problem.y_ref), size)
            found.compute_pairwise_scores("scores", "factors", reference, train, **options)
            matrix = found.load_pairwise_scores("scores")["all_modules"]
        return matrix.T if task == "pairs" else matrix.sum(0)

    return run


# TRAK -------------------------------------------------------------------------------------------


def trak(task: str, problem: Problem):
    """TRAK's scores of projected gradients, which measure something else and are not compared."""
    from trak import TRAKer

    def run():
        module, size = copy.deepcopy(problem.module), problem.own_batch
        parts = list(problem.batches(size))
        reference = list(zip(problem.X_ref.split(size), problem.y_ref.split(size), strict=True))
        with tempfile.TemporaryDirectory() as directory:
            found = TRAKer(
                module, "image_classification", len(problem.y), save_dir=directory, device="cpu",
                proj_dim=512, use_half_precision=False, logging_level=logging.ERROR,
            )  # fmt: skip
            found.load_checkpoint(module.state_dict(), model_id=0)
            for X, y in parts:
                found.featurize((X, y), num_samples=len(y))
            found.finalize_features()
            found.start_scoring_checkpoint("scores", module.state_dict(), 0, len(problem.y_ref))
            for X, y in reference:
                found.score((X, y), num_samples=len(y))
            return np.array(found.finalize_scores("scores")).sum(1)

    return run


# library: (package, function, tasks)
LIBRARIES = {
    "plain pass": ("torch", plain_pass, ("scores", "self", "pairs", "EK-FAC", "last layer")),
    "ours": ("skinfluence", ours, ("scores", "self", "pairs", "EK-FAC", "last layer")),
    "captum fast": ("captum", captum_fast, ("scores", "self", "pairs", "last layer")),
    "captum slow": ("captum", captum_slow, ("scores", "self", "pairs")),
    "pyDVL": ("pyDVL", pydvl, ("scores", "self", "pairs", "EK-FAC", "last layer")),
    "dattri": ("dattri", dattri, ("scores", "self", "pairs", "last layer")),
    "kronfluence": (
        "kronfluence",
        kronfluence,
        ("scores", "self", "pairs", "EK-FAC", "last layer"),
    ),
    "TRAK 512": ("traker", trak, ("scores",)),
}

CELLS = {  # task: net: rows
    "scores": {
        "MLP 1M": (100, 1000, 10_000),
        "MLP 0.1M": (1000, 10_000, 100_000),
        "CNN 24k": (1000,),
        "encoder 22M": (100,),
    },
    "last layer": {
        "MLP 0.1M": (1000, 100_000),
        "MLP 1M": (1000, 10_000),
        "encoder 22M": (100,),
    },
    "self": {"CNN 24k": (1000,), "MLP 0.1M": (1000,), "MLP 1M": (1000,)},
    "pairs": {"CNN 24k": (1000,), "MLP 0.1M": (1000,), "MLP 1M": (1000,)},
    "EK-FAC": {"CNN 24k": (1000,), "MLP 0.1M": (1000, 10_000), "MLP 1M": (1000,)},
}
QUICK = {
    task: {net: rows[:1] for net, rows in nets.items() if not net.startswith("encoder")}
    for task, nets in CELLS.items()
}

# One process per library --------------------------------------------------------------------------


def held(what: str) -> int:
    """Bytes of this process (Linux): VmRSS now, VmHWM at the peak."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(what + ":")[1].split()[0])


def measured(run) -> tuple[float, float]:
    """Seconds, and the rise of the process's peak memory in MB."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current memory
    before, start = held("VmRSS"), time.perf_counter()
    run()
    return time.perf_counter() - start, (held("VmHWM") - before) / 1e6


def few(problem: Problem) -> Problem:
    few = problem.first(6 if problem.parameters > 1e7 else 40)
    return replace(few, X_ref=few.X_ref[:20], y_ref=few.y_ref[:20])


def numbers(found) -> np.ndarray | None:
    if found is None:
        return None
    return np.asarray(found.detach() if isinstance(found, torch.Tensor) else found, np.float64)


def checked(library: str, task: str, problem: Problem) -> tuple:
    """Scores of a few rows; ours come with the labels that the curvature drew."""
    kept = []
    if library == "ours":
        from skinfluence._core.net import FunctionalNet

        draw = FunctionalNet.sampled_labels

        def spy(*args, **kwargs):
            kept.append(draw(*args, **kwargs))
            return kept[-1]

        FunctionalNet.sampled_labels = spy
    found = numbers(LIBRARIES[library][1](task, problem)())
    if library == "ours":
        FunctionalNet.sampled_labels = draw
    return found, torch.cat(kept)[: len(problem.y)].numpy() if kept else None


def work(library: str, task: str, net: str, rows: int, threads: int, pipe, drawn) -> None:
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        try:
            problem = Problem.of(net, rows)
            if task == "last layer":  # TracInCPFast leaves the bias out; the other libraries cannot
                problem.module.get_submodule(problem.last).bias = None
            small = few(problem)
            if drawn is not None:
                small = replace(small, drawn=torch.as_tensor(drawn))
            pipe.send(checked(library, task, small))
            run = None
            while pipe.recv():
                run = run or LIBRARIES[library][1](task, problem)
                pipe.send(measured(run))
        except Exception as error:  # the failure becomes a cell of the table
            pipe.send(f"fails: {type(error).__name__}: {str(error).splitlines()[0][:90]}")


class Worker:
    """The process of one library, with its `seconds` and `peak`, or the `trouble` that it had."""

    def __init__(self, library: str, cell: tuple, args, drawn=None) -> None:
        self.library, self.limit, self.seconds, self.peak = library, args.limit, [], None
        self.trouble = ""
        context = multiprocessing.get_context("forkserver")
        self.pipe, other = context.Pipe()
        self.process = context.Process(
            target=work, args=(library, *cell, args.threads, other, drawn), daemon=True
        )
        self.process.start()
        other.close()
        self.found, self.drawn = self._answer() or (None, None)

    def _answer(self):
        try:
            answer = self.pipe.recv() if self.pipe.poll(self.limit) else f"over {self.limit} s"
        except EOFError:
            answer = "fails: its process died"
        if isinstance(answer, str):
            self.trouble = answer
            self.stop()
            return None
        return answer

    def turn(self) -> None:
        self.pipe.send(True)
        answer = self._answer()
        if answer:
            self.seconds.append(answer[0])
            self.peak = answer[1] if self.peak is None else self.peak

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


# The table ----------------------------------------------------------------------------------------


def difference(found: np.ndarray | None, own: np.ndarray) -> float | None:
    if found is None:
        return None
    return float(np.abs(found - own).max() / np.abs(own).max()) if found.shape == own.shape else 9.9


def error_of(worker: Worker, own: Worker) -> float | None:
    if worker.library in ("plain pass", "TRAK 512") or worker.trouble:
        return None
    error = difference(worker.found, own.found)
    if not error < TOLERANCE:
        worker.trouble = "wrong"
        worker.stop()
    return error


def installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def too_wide(library: str, net: str) -> bool:
    """On the CPU, TRAK draws a projection of 512 times the parameters for every batch."""
    return library == "TRAK 512" and PARAMETERS[net] > 1e7


def cell_rows(task: str, net: str, rows: int, args, before: dict) -> list[dict]:
    """Time one cell; `before` has the seconds per row (or trouble) of smaller cells of the net."""
    names = [
        n for n, (package, _, tasks) in LIBRARIES.items() if task in tasks and installed(package)
    ]
    names.remove("ours")
    own = Worker("ours", (task, net, rows), args)
    if own.trouble:
        raise RuntimeError(f"ours, {task}, {net}: {own.trouble}")
    workers, skipped = [own], []
    for name in names:
        known = before.get((task, net, name), 0)
        if isinstance(known, str):
            skipped.append((name, "not run" if known.startswith("over") else known))
        elif known * rows > 4 * args.limit or too_wide(name, net):
            skipped.append((name, "not run"))
        else:
            workers.append(Worker(name, (task, net, rows), args, own.drawn))
    errors = {w.library: error_of(w, own) for w in workers}
    for _ in range(args.repeats):
        for w in workers:
            if not w.trouble and sum(w.seconds) <= args.limit / 12:
                w.turn()
    for w in workers:
        w.stop()
        usable = w.seconds and not w.trouble
        before[task, net, w.library] = (
            statistics.median(w.seconds) / rows if usable else w.trouble or "not run"
        )
    made = [row_of(task, net, rows, w, errors[w.library]) for w in workers]
    ratios(made)
    return sorted(made, key=lambda r: list(LIBRARIES).index(r["library"])) + [
        blank(task, net, rows, name, why) for name, why in skipped
    ]


def blank(task: str, net: str, rows: int, library: str, seconds: str) -> dict:
    return {
        "task": task, "net": net, "parameters": PARAMETERS[net], "rows": rows, "library": library,
        "version": installed(LIBRARIES[library][0]), "seconds": seconds, "ratio_to_pass": "",
        "ratio_to_ours": "", "peak_mb": "", "max_error": "",
    }  # fmt: skip


def row_of(task: str, net: str, rows: int, worker: Worker, error: float | None) -> dict:
    row = blank(task, net, rows, worker.library, worker.trouble)
    if worker.seconds and not worker.trouble:
        row |= {"seconds": statistics.median(worker.seconds), "peak_mb": worker.peak}
    return row | {"max_error": "" if error is None else f"{error:.0e}"}


def ratios(made: list[dict]) -> None:
    took = {r["library"]: r["seconds"] for r in made if isinstance(r["seconds"], float)}
    for r in made:
        if r["library"] in took:
            r["ratio_to_pass"] = f"{took[r['library']] / took['plain pass']:.2f}"
            r["ratio_to_ours"] = f"{took[r['library']] / took['ours']:.2f}"
            r["seconds"] = f"{took[r['library']]:.4f}"
            r["peak_mb"] = f"{r['peak_mb']:.1f}"


PARAMETERS = {"CNN 24k": 0, "MLP 0.1M": 0, "MLP 1M": 0, "encoder 22M": 0}

# The figure ---------------------------------------------------------------------------------------

COLORS = {  # Okabe-Ito
    "plain pass": "#808080", "ours": "#000000", "captum fast": "#E69F00", "captum slow": "#D55E00",
    "pyDVL": "#0072B2", "dattri": "#009E73", "kronfluence": "#CC79A7", "TRAK 512": "#56B4E9",
}  # fmt: skip
MARKERS = dict(zip(COLORS, "_os^DvPX", strict=True))
NAMES = {"plain pass": "plain pass", "ours": "skinfluence"}


def draw(path: Path, rows: list[dict]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    timed = [r for r in rows if r["task"] == "scores" and r["ratio_to_ours"]]
    figure, axes = plt.subplots(2, 2, figsize=(8.5, 7.5), layout="constrained")
    of_rows = [r for r in timed if r["net"] == "MLP 1M"]
    of_nets = [r for r in timed if r["rows"] == (100 if r["net"] == "encoder 22M" else 1000)]
    lines(axes[0, 0], of_rows, "rows", lambda r: float(r["seconds"]))
    lines(axes[0, 1], of_nets, "parameters", lambda r: 1000 * float(r["seconds"]) / r["rows"])
    lines(axes[1, 0], of_rows, "rows", lambda r: max(float(r["peak_mb"]), 0.1))
    lines(axes[1, 1], of_nets, "parameters", lambda r: max(float(r["peak_mb"]), 0.1))
    titles = [
        ("seconds", "rows, MLP of 1M parameters"),
        ("milliseconds per row", "parameters, 1,000 rows (22M: 100)"),
        ("peak memory, MB", "rows, MLP of 1M parameters"),
        ("peak memory, MB", "parameters, 1,000 rows (22M: 100)"),
    ]
    for ax, (of_y, of_x) in zip(axes.flat, titles, strict=True):
        ax.set(xscale="log", yscale="log", ylabel=of_y, xlabel=of_x)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("Scores from all parameters, one thread")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def lines(ax, rows: list[dict], by: str, value) -> None:
    for library in COLORS:
        points = sorted((r[by], value(r)) for r in rows if r["library"] == library)
        if not points:
            continue
        own, limit = library == "ours", library == "plain pass"
        ax.plot(
            *zip(*points, strict=True), color=COLORS[library], marker=MARKERS[library],
            linewidth=3.2 if own else 1.6, linestyle="--" if limit else "-", zorder=5 if own else 3,
            label=NAMES.get(library, library),
        )  # fmt: skip


def write(directory: Path, rows: list[dict]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    scores = [r for r in rows if r["task"] == "scores"]
    others = [r for r in rows if r["task"] != "scores"]
    tables = {
        "peers_speed": rows,
        "peers_scores": [{k: v for k, v in row.items() if k != "task"} for row in wide(scores)],
        "peers_tasks": wide(others),
    }
    for name, table in tables.items():
        if table:
            with open(directory / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(table)
    draw(directory / "peers_speed.png", rows)


def wide(rows: list[dict]) -> list[dict]:
    """Seconds in one column per library, for the page."""
    took_part = {r["library"] for r in rows}
    columns = [NAMES.get(library, library) for library in LIBRARIES if library in took_part]
    found: dict[tuple, dict] = {}
    for r in rows:
        key = {"task": r["task"], "net": r["net"], "rows": f"{r['rows']:,}"}
        line = found.setdefault(tuple(key.values()), key | dict.fromkeys(columns, ""))
        line[NAMES.get(r["library"], r["library"])] = cell(r["seconds"])
    return list(found.values())


def cell(seconds: str) -> str:
    """Three decimals, or why there is no time, on one line."""
    if seconds.startswith("fails"):
        return "fails"
    text = f"{float(seconds):.3f}" if seconds[0].isdigit() else seconds
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--quick", action="store_true", help="only the fewest rows, no encoder, one turn each"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--limit", type=int, default=120, help="seconds that a library may take (default: 120)"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS), metavar="NET")
    args = parser.parse_args()
    args.repeats = 1 if args.quick else args.repeats
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    multiprocessing.set_forkserver_preload(
        ["__main__", "captum.influence", "pydvl.influence.torch"]
    )
    for net, (make, *_) in NETS.items():
        PARAMETERS[net] = sum(p.numel() for p in make().parameters())
    rows, before = [], {}
    for task in args.tasks:
        for net, sizes in (QUICK if args.quick else CELLS)[task].items():
            for size in sizes if net in args.nets else ():
                for row in cell_rows(task, net, size, args, before):
                    print(*row.values(), sep=" | ", flush=True)
                    rows.append(row)
                write(args.output, rows)


if __name__ == "__main__":
    main()
