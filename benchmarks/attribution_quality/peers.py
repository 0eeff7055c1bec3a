"""Other libraries on the same nets: scores of pairs, (training rows, reference rows).

tests/test_peers.py shows how each library has to be called, and where its results are wrong.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import os
import signal
import tempfile
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from problem import Problem
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skinfluence import InfluenceScorer
from skinfluence.ensembles import Snapshots

LIBRARIES = ("captum", "dattri", "pydvl", "kronfluence")
LIMIT = 40  # seconds per library and net, for both sets of labels
EKFAC_DAMPING = 1e-3  # pyDVL has no automatic one
INDEFINITE = 0.01  # damping of libraries that offer only the Hessian, for nets that are not convex


@dataclass
class Case:
    """The net that our scorers use, with its checkpoints, and rows as tensors."""

    module: nn.Module
    states: list[Any]
    rates: list[float]
    rows: tuple[torch.Tensor, torch.Tensor]
    reference: tuple[torch.Tensor, torch.Tensor]
    damping: float

    @classmethod
    def of(cls, problem: Problem, y: np.ndarray) -> Case:
        net = problem.kind.net(callbacks=[Snapshots(6)])
        scorer = InfluenceScorer(net, random_state=0).fit(problem.X, y, **problem.reference)
        kept = next(cb for _, cb in scorer.estimator_.callbacks_ if isinstance(cb, Snapshots))
        # Some libraries keep single precision inside, and fail on rows in double precision.
        X, X_ref = (torch.as_tensor(X).float() for X in (problem.X, problem.X_ref))
        return cls(
            copy.deepcopy(scorer.estimator_.module_).float().eval(),
            [{name: value.float() for name, value in state.items()} for state in kept.states_],
            kept.learning_rates_,
            (X, torch.as_tensor(y)),
            (X_ref, torch.as_tensor(problem.y_ref)),
            problem.kind.weight_decay if problem.kind.matrix == "hessian" else INDEFINITE,
        )

    def loaders(self) -> tuple[DataLoader, DataLoader]:
        sets = [TensorDataset(*self.rows), TensorDataset(*self.reference)]
        return tuple(DataLoader(rows, batch_size=len(rows)) for rows in sets)


def tracin(case: Case, states: list[Any], rates: list[float]) -> np.ndarray:
    """The fast path, which is correct for linear and convolutional layers only."""

    def load(module: nn.Module, k: int) -> float:
        module.load_state_dict(states[k])
        return rates[k]

    found = importlib.import_module("captum.influence").TracInCP(
        copy.deepcopy(case.module),
        TensorDataset(*case.rows),
        list(range(len(states))),
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=len(case.rows[0]),
        sample_wise_grads_per_batch=True,
    )
    return found.influence(case.reference).numpy().T


def captum_final(case: Case) -> np.ndarray:
    return tracin(case, case.states[-1:], [1.0])


def captum_checkpoints(case: Case) -> np.ndarray:
    return tracin(case, case.states, case.rates)


def dattri_task(case: Case, asked: Any = None) -> Any:
    def loss(params: Any, data: Any) -> Any:
        return nn.functional.cross_entropy(*outputs_and_labels(case, params, data))

    task = importlib.import_module("dattri.task").AttributionTask
    return task(loss_func=asked or loss, model=case.module, checkpoints=case.states[-1:])


def outputs_and_labels(case: Case, params: Any, data: Any) -> tuple[Any, Any]:
    X, y = data
    f = torch.func.functional_call(case.module, params, (X.reshape(-1, X.shape[-1]),))
    return f, y.reshape(len(f))


def dattri_cosine(case: Case) -> np.ndarray:
    attributor = importlib.import_module("dattri.algorithm").TracInAttributor(
        dattri_task(case), torch.ones(1), normalized_grad=True
    )
    attributor.projector_kwargs = None  # None as an argument is a random projection
    return attributor.attribute(*case.loaders()).numpy()


def dattri_cg(case: Case) -> np.ndarray:
    module = importlib.import_module("dattri.algorithm.influence_function")
    attributor = module.IFAttributorCG(dattri_task(case), max_iter=20, regularization=case.damping)
    train, reference = case.loaders()
    attributor.cache(train)
    return attributor.attribute(train, reference).detach().numpy()


def dattri_trak(case: Case) -> np.ndarray:
    def probability(params: Any, data: Any) -> Any:
        f, y = outputs_and_labels(case, params, data)
        return torch.exp(-nn.functional.cross_entropy(f, y))

    def log_odds(params: Any, data: Any) -> Any:
        p = probability(params, data)
        return torch.log(p) - torch.log1p(-p + 1e-12)

    attributor = importlib.import_module("dattri.algorithm").TRAKAttributor(
        dattri_task(case, log_odds),
        correct_probability_func=probability,
        projector_kwargs={"proj_dim": 256},
    )
    train, reference = case.loaders()
    attributor.cache(train)
    return attributor.attribute(reference).detach().numpy()


def pydvl_cg(case: Case) -> np.ndarray:
    torch_ = importlib.import_module("pydvl.influence.torch")
    model = torch_.CgInfluence(
        copy.deepcopy(case.module),
        nn.functional.cross_entropy,
        regularization=case.damping,
        rtol=1e-3,
        maxiter=300,
    )
    return pydvl_pairs(model, case)


def pydvl_ekfac(case: Case) -> np.ndarray:
    torch_ = importlib.import_module("pydvl.influence.torch")
    model = torch_.EkfacInfluence(
        copy.deepcopy(case.module), update_diagonal=True, hessian_regularization=EKFAC_DAMPING
    )
    return pydvl_pairs(model, case)


def pydvl_pairs(model: Any, case: Case) -> np.ndarray:
    fitted = model.fit(case.loaders()[0])
    return fitted.influences(*case.reference, *case.rows).numpy().T


def kronfluence_ekfac(case: Case) -> np.ndarray:
    """With labels drawn from the model and a tenth of the mean eigenvalue as damping, like ours."""
    task_of = importlib.import_module("kronfluence.task").Task
    analyzer = importlib.import_module("kronfluence.analyzer")

    class Task(task_of):
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Any:
            X, y = batch
            f = model(X)
            drawn = torch.multinomial(f.detach().softmax(1), 1).flatten() if sample else y
            return nn.functional.cross_entropy(f, drawn, reduction="sum")

        def compute_measurement(self, batch: Any, model: Any) -> Any:
            return self.compute_train_loss(batch, model)

    task = Task()
    module = analyzer.prepare_model(copy.deepcopy(case.module), task)
    train, reference = (TensorDataset(*rows) for rows in (case.rows, case.reference))
    with tempfile.TemporaryDirectory() as directory:
        options = {"cpu": True, "disable_tqdm": True, "disable_model_save": True}
        found = analyzer.Analyzer("net", module, task, output_dir=directory, **options)
        found.fit_all_factors("factors", train, per_device_batch_size=len(train))
        sizes = {
            "per_device_query_batch_size": len(reference),
            "per_device_train_batch_size": len(train),
        }
        found.compute_pairwise_scores("scores", "factors", reference, train, **sizes)
        scores = found.load_pairwise_scores("scores")["all_modules"]
    return scores.double().numpy().T


PEERS = {
    ("captum", "TracInCP, final net"): captum_final,
    ("captum", "TracInCP"): captum_checkpoints,
    ("dattri", "Grad-Cos"): dattri_cosine,
    ("dattri", "IF, CG"): dattri_cg,
    ("dattri", "TRAK"): dattri_trak,
    ("pydvl", "CG"): pydvl_cg,
    ("pydvl", "EK-FAC"): pydvl_ekfac,
    ("kronfluence", "EK-FAC"): kronfluence_ekfac,
}


def installed() -> list[str]:
    return [name for name in LIBRARIES if importlib.util.find_spec(name)]


@contextlib.contextmanager
def limited(seconds: int) -> Any:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"stopped after {seconds} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


@contextlib.contextmanager
def silent() -> Any:
    """Hide progress bars that cannot be turned off, and warnings about a library's internals."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
