"""External oracles: for the same net, other libraries compute the same numbers.

These tests are not part of the default suite: `tox -e peers` installs the libraries
(requirements-peers.txt) and runs them. Both sides compute in float64, so only the order of sums may
differ. The tests compare `scores_` of a frozen net, unless the other library offers less.

Where a library computes a different quantity, a comment says which, and what remains comparable.
"""

from __future__ import annotations

import contextlib
import copy
import importlib

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skinfluence import InfluenceScorer
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import self_influences
from skinfluence.curvature import CG, EKFAC, DataInf, Exact
from skinfluence.ensembles import Checkpoints, Snapshots
from skinfluence.targets import DemographicParity, EqualizedOdds, EqualOpportunity, Utility

pytestmark = pytest.mark.peer

N, M = 24, 5  # training and reference rows

# Importing some of the libraries calls torch.jit, which is deprecated.
uses_jit = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def assert_close(ours, peer, tolerance=1e-8):
    """Bound the largest difference over the largest value; 1e-8 allows for linear algebra."""
    ours, peer = np.asarray(ours), np.asarray(peer)
    assert ours.shape == peer.shape
    assert np.abs(peer).max() > 0
    assert np.abs(ours - peer).max() <= tolerance * np.abs(peer).max()


@contextlib.contextmanager
def double():
    """Set float64 as the default dtype, for libraries that allocate their results in it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


# Nets ----------------------------------------------------------------------------------------


class MLP(nn.Sequential):
    def __init__(self, outputs=3):
        super().__init__(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, outputs))
        self.double()


class MLPWithoutBias(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, 3, bias=False))
        self.double()


class ConvNet(nn.Sequential):
    """A net with padding, stride, dilation and biases, on images that are not square."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(2, 3, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 4, (2, 3), stride=(2, 1), dilation=(1, 2)),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(4 * 3 * 1, 3),
        )
        self.double()


class Problem:
    """A net trained for a few epochs, its rows, and its loss."""

    def __init__(self, kind, module, criterion, shape=(4,), outputs=3, **params):
        rng = np.random.RandomState(0)
        X = rng.randn(N + M, *shape)
        flat = X.reshape(N + M, -1)
        if kind is NeuralNetRegressor:
            y = flat[:, :outputs] ** 2 + rng.randn(N + M, outputs)
        else:
            y = (flat[:, 0] + 0.5 * rng.randn(N + M) > 0).astype(int)
            y[flat[:, 1] > 1] = min(outputs - 1, 2) if outputs > 1 else 1
        self.X, self.X_val = X[:N], X[N:]
        self.y, self.y_val = y[:N], y[N:]
        own = {"max_epochs": 8, "lr": 0.1, "verbose": 0, "train_split": None, "batch_size": 10}
        torch.manual_seed(0)
        self.net = kind(module, criterion=criterion, **own | params)
        y = self.y.astype(np.float64) if kind is NeuralNetBinaryClassifier else self.y
        self.net.fit(self.X, y)
        if kind is NeuralNetRegressor and outputs == 1:
            self.y, self.y_val = self.y[:, 0], self.y_val[:, 0]
        self.criterion = criterion

    @property
    def module(self):
        """A copy that the other library may change."""
        return copy.deepcopy(self.net.module_).eval()

    def scorer(self, **options):
        return InfluenceScorer(FrozenEstimator(self.net), random_state=0, **options)

    def scores(self, **options):
        """Compute our scores; the target is the mean reference loss unless `options` change it."""
        scorer = self.scorer(**options)
        return scorer.fit(self.X, self.y, X_val=self.X_val, y_val=self.y_val).scores_

    def pairs(self, **options):
        """Compute our scores for one reference row at a time, (N, M)."""
        found = []
        for j in range(M):
            rows = [j] * 3  # a scorer needs at least as many rows as classes
            of_row = {"X_val": self.X_val[rows], "y_val": self.y_val[rows]}
            found.append(self.scorer(**options).fit(self.X, self.y, **of_row).scores_)
        return np.stack(found, 1)

    def labels(self, y):
        """Return the labels as the criterion needs them."""
        y = torch.as_tensor(y)
        if self.criterion is nn.CrossEntropyLoss:
            return y
        return y.double().reshape(len(y), -1)

    def tensors(self):
        """Return X, y, X_val and y_val as tensors."""
        X, X_val = torch.as_tensor(self.X), torch.as_tensor(self.X_val)
        return X, self.labels(self.y), X_val, self.labels(self.y_val)

    def gradients(self, X, y, module=None):
        """Compute per-row gradients of the loss, (n, p), with one backward pass per row."""
        module = module or self.module
        criterion, params = self.criterion(), list(module.parameters())
        rows = []
        for i in range(len(X)):
            loss = criterion(module(X[i : i + 1]), y[i : i + 1])
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, params)]))
        return torch.stack(rows)


def classifier(module=MLP, **params):
    return Problem(NeuralNetClassifier, module, nn.CrossEntropyLoss, **params)


def images(**params):
    return classifier(ConvNet, shape=(2, 6, 5), **params)


def binary(**params):
    return Problem(
        NeuralNetBinaryClassifier,
        MLP,
        nn.BCEWithLogitsLoss,
        outputs=1,
        module__outputs=1,
        **params,
    )


def regressor(outputs=1, **params):
    return Problem(
        NeuralNetRegressor, MLP, nn.MSELoss, outputs=outputs, module__outputs=outputs, **params
    )


def vectors(**params):
    return regressor(outputs=2, **params)


PROBLEMS = {
    "classes": classifier,
    "images": images,
    "two classes": binary,
    "numbers": regressor,
    "vectors": vectors,
}
each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
each_classifier = pytest.mark.parametrize("problem", [classifier, images], ids=["mlp", "conv"])


@pytest.fixture
def drawn(monkeypatch):
    """Record the labels that our EK-FAC draws from the model, one tensor per batch and pass."""
    kept = []
    draw = FunctionalNet.sampled_labels

    def spy(*args, **kwargs):
        kept.append(draw(*args, **kwargs))
        return kept[-1]

    monkeypatch.setattr(FunctionalNet, "sampled_labels", spy)
    return kept


def first_pass(drawn, n_rows):
    """Return the labels of the first pass; the second, for the eigenvalues, draws the same."""
    labels = torch.cat(drawn)
    assert len(labels) in (n_rows, 2 * n_rows)
    if len(labels) > n_rows:
        assert torch.equal(labels[:n_rows], labels[n_rows:])
    return labels[:n_rows]


# captum: TracInCP, one row at a time ------------------------------------------------------------


def captum_tracin(problem, states, rates=None):
    """Make captum's TracInCP on its slow path, with the reference rows.

    The fast path (`sample_wise_grads_per_batch=True`) is silently wrong for layers other than
    Linear and Conv2d.
    """
    tracin = importlib.import_module("captum.influence").TracInCP
    rates = [1.0] * len(states) if rates is None else rates

    def load(module, k):
        module.load_state_dict(states[k])
        return rates[k]

    X, y, X_val, y_val = problem.tensors()
    loss = problem.criterion(reduction="none")
    found = tracin(
        problem.module,
        TensorDataset(X, y),
        list(range(len(states))),
        checkpoints_load_func=load,
        loss_fn=loss,
        batch_size=7,
        sample_wise_grads_per_batch=False,
    )
    return found, (X_val, y_val)


def own_state(problem):
    return [problem.net.module_.state_dict()]


@uses_jit
@each_classifier
def test_pairs_match_captum(problem):
    problem = problem()
    tracin, reference = captum_tracin(problem, own_state(problem))
    assert_close(problem.pairs(), tracin.influence(reference).numpy().T)


@uses_jit
@each_classifier
def test_scores_match_captums_aggregate_over_the_number_of_reference_rows(problem):
    problem = problem()
    tracin, reference = captum_tracin(problem, own_state(problem))
    loader = DataLoader(TensorDataset(*reference), batch_size=2)
    theirs = tracin.influence(loader, aggregate=True)
    assert_close(problem.scores(), theirs[0].numpy() / M)


@uses_jit
@each_classifier
def test_squared_gradient_norms_match_captums_self_influence(problem):
    problem = problem()
    tracin, _ = captum_tracin(problem, own_state(problem))
    ours = self_influences(FunctionalNet(problem.net), problem.X, problem.y)
    assert_close(ours, tracin.self_influence().numpy())


@uses_jit
def test_checkpoints_match_captums_weighted_sum_over_the_sum_of_the_weights():
    snapshots = Snapshots(4)
    schedule = importlib.import_module("skorch.callbacks").LRScheduler(
        torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.5
    )
    problem = classifier(callbacks=[schedule, snapshots])
    kept = next(cb for _, cb in problem.net.callbacks_ if isinstance(cb, Snapshots))
    states, rates = kept.states_, kept.learning_rates_
    assert len(set(rates)) > 2
    tracin, reference = captum_tracin(problem, states, rates)
    theirs = tracin.influence(reference).numpy().sum(0)
    ours = problem.scores(ensemble=Checkpoints(4))
    assert_close(ours, theirs / M / sum(rates))


# dattri: TracIn without its projection, and influence functions -------------------------------
#
# Its EK-FAC (0.3.0) is left out because of two errors: it takes the rows of eigh's matrices for
# eigenvectors, which are the columns, and it splits weight and bias into rows of another length.


def dattri_task(problem, states=None):
    task = importlib.import_module("dattri.task").AttributionTask
    module, criterion = problem.module, problem.criterion()

    def loss(params, data):
        X, y = data
        outputs = torch.func.functional_call(module, params, (X[None] if X.ndim < ndim else X,))
        return criterion(outputs, y.reshape(len(outputs)))

    ndim = problem.X.ndim
    return task(loss, module, states or own_state(problem))


def dattri_loaders(problem, batch_size=N):
    X, y, X_val, y_val = problem.tensors()
    return (
        DataLoader(TensorDataset(X, y), batch_size=batch_size),
        DataLoader(TensorDataset(X_val, y_val), batch_size=M),
    )


@uses_jit
@each_classifier
def test_pairs_match_dattri(problem):
    problem = problem()
    attributor = importlib.import_module("dattri.algorithm").TracInAttributor(
        dattri_task(problem), torch.ones(1), normalized_grad=False
    )
    attributor.projector_kwargs = None  # passing None selects the default, a random projection
    with double():
        theirs = attributor.attribute(*dattri_loaders(problem, 7))
    assert_close(problem.pairs(), theirs.numpy())


@uses_jit
@each_classifier
def test_cosines_match_dattri(problem):
    problem = problem()
    attributor = importlib.import_module("dattri.algorithm").TracInAttributor(
        dattri_task(problem), torch.ones(1), normalized_grad=True
    )
    attributor.projector_kwargs = None
    with double():
        theirs = attributor.attribute(*dattri_loaders(problem, 7))
    assert_close(problem.scores(normalize="both"), theirs.numpy().mean(1))


@uses_jit
@pytest.mark.parametrize(
    ("name", "options", "curvature"),
    [
        ("Explicit", {}, Exact(damping=1.0)),
        # It ignores its tolerance, and divides 0 by 0 once the residual is 0.
        ("CG", {"max_iter": 20}, CG("hessian", 1.0, tol=1e-12)),
        # It uses one matrix for a weight and its bias, ours uses two: compared without biases.
        ("DataInf", {}, DataInf(damping=1.0)),
    ],
    ids=["explicit", "CG", "DataInf"],
)
def test_influence_functions_match_dattri(name, options, curvature):
    problem = classifier(MLPWithoutBias if name == "DataInf" else MLP)
    module = importlib.import_module("dattri.algorithm.influence_function")
    attributor = getattr(module, f"IFAttributor{name}")(
        dattri_task(problem), regularization=1.0, **options
    )
    # All rows in one batch, because it adds up the inverses of several batches.
    train, reference = dattri_loaders(problem)
    with double():
        attributor.cache(train)
        theirs = attributor.attribute(train, reference).detach()
    assert_close(problem.pairs(curvature=curvature), theirs.numpy())


# pyDVL ----------------------------------------------------------------------------------------

# It calls its helper pyDeprecate by deprecated names, also in threads.
old_names = pytest.mark.filterwarnings("ignore:.*is deprecated since .v0:FutureWarning")
# Its backward hook on the first layer gets no gradient of the inputs, and needs none.
full_hook = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")


def pydvl(name):
    return getattr(importlib.import_module("pydvl.influence.torch"), name)


@old_names
@each_classifier
def test_exact_influence_matches_pydvls_direct_influence(problem):
    problem = problem()
    X, y, X_val, y_val = problem.tensors()
    model = pydvl("DirectInfluence")(
        problem.module, nn.functional.cross_entropy, regularization=0.3
    ).fit(DataLoader(TensorDataset(X, y), batch_size=N // 3))
    theirs = model.influences(X_val, y_val, X, y)
    assert_close(problem.pairs(curvature=Exact(damping=0.3)), theirs.numpy().T)


@old_names
@each_classifier
def test_conjugate_gradients_match_pydvl(problem):
    problem = problem()
    X, y, X_val, y_val = problem.tensors()
    model = pydvl("CgInfluence")(
        problem.module, nn.functional.cross_entropy, regularization=1.0, rtol=1e-12, atol=1e-14
    ).fit(DataLoader(TensorDataset(X, y), batch_size=N // 3))
    theirs = model.influences(X_val, y_val, X, y)
    ours = CG("hessian", 1.0, max_iter=500, tol=1e-12)
    assert_close(problem.pairs(curvature=ours), theirs.numpy().T)


@full_hook
@old_names
@pytest.mark.parametrize("corrected", [True, False], ids=["EK-FAC", "KFAC"])
def test_ekfac_matches_pydvl_on_the_labels_that_we_draw(corrected, drawn, monkeypatch):
    """Compare factors, eigenvalues, bias and damping, after replacing pyDVL's loss.

    pyDVL takes no labels: it differentiates Σ_c √p_c log p_c. The outer product of that gradient
    has cross terms between classes that the Fisher matrix does not have.
    """
    problem = classifier()
    ours = problem.scores(curvature=EKFAC(0.1, corrected=corrected))
    labels = first_pass(drawn, N)
    X, y, X_val, y_val = problem.tensors()
    where = importlib.import_module("pydvl.influence.torch.influence_function_model")
    monkeypatch.setattr(
        where,
        "empirical_cross_entropy_loss_fn",
        lambda outputs: nn.functional.cross_entropy(outputs, labels, reduction="sum"),
    )
    with double():
        model = pydvl("EkfacInfluence")(
            problem.module, update_diagonal=corrected, hessian_regularization=0.1
        ).fit(DataLoader(TensorDataset(X, y), batch_size=N))
        theirs = model.influences(X_val, y_val, X, y)
    assert_close(ours, theirs.numpy().mean(0))


# curvlinops: matrices, and EK-FAC ---------------------------------------------------------------


def curvlinops(name, problem, X, y, **options):
    module = options.pop("module")
    operator = getattr(importlib.import_module("curvlinops"), name)
    params = list(module.parameters())
    return operator(module, problem.criterion(), params, [(X, y)], **options)


def solved(problem, inverse, module):
    """Compute the scores from an inverse that is applied to the reference gradient."""
    X, y, X_val, y_val = problem.tensors()
    v = problem.gradients(X_val, y_val, module).mean(0)
    return (problem.gradients(X, y, module) @ (inverse @ v)).numpy()


def curvlinops_ekfac(problem, X, labels, damping, kind="EKFAC", **options):
    """Compute its scores; it has no damping "auto"."""
    module = problem.module
    operator = curvlinops(
        f"{kind}LinearOperator",
        problem,
        X,
        labels,
        module=module,
        separate_weight_and_bias=False,
        **{"fisher_type": "empirical"} | options,
    )
    inverse = importlib.import_module("curvlinops").KFACInverseLinearOperator(
        operator, damping=damping, use_exact_damping=True
    )
    return solved(problem, inverse, module)


@uses_jit
@each_problem
@pytest.mark.parametrize(
    ("matrix", "name"), [("hessian", "Hessian"), ("ggn", "GGN")], ids=["hessian", "ggn"]
)
def test_exact_matrices_match_curvlinops(problem, matrix, name):
    problem = problem()
    X, y, *_ = problem.tensors()
    module = problem.module
    operator = curvlinops(f"{name}LinearOperator", problem, X, y, module=module)
    dense = operator @ torch.eye(operator.shape[0], dtype=torch.float64)
    inverse = torch.linalg.inv(dense + 0.5 * torch.eye(len(dense), dtype=torch.float64))
    ours = problem.scores(curvature=Exact(matrix, damping=0.5))
    assert_close(ours, solved(problem, inverse, module))


# Without vectors: it multiplies the loss of given labels by the square root of their length, which
# assumes errors of variance 1/2. kronfluence, below, uses given labels unchanged.
@uses_jit
@pytest.mark.parametrize("problem", list(PROBLEMS.values())[:-1], ids=list(PROBLEMS)[:-1])
@pytest.mark.parametrize("kind", ["EKFAC", "KFAC"])
@pytest.mark.parametrize("n_samples", [1, 2])
def test_ekfac_matches_curvlinops_on_the_labels_that_we_draw(problem, kind, n_samples, drawn):
    """Compare with its empirical Fisher matrix of the labels that we draw.

    Both have the same factors (the bias is a column of the inputs), the same positions of a
    convolution, the same eigenvalues and the same damping.
    """
    problem = problem()
    curvature = EKFAC(0.1, corrected=kind == "EKFAC", n_samples=n_samples)
    ours = problem.scores(curvature=curvature)
    labels = problem.labels(first_pass(drawn, n_samples * N))
    X = problem.tensors()[0].repeat(n_samples, *[1] * (problem.X.ndim - 1))
    assert_close(ours, curvlinops_ekfac(problem, X, labels, 0.1, kind))


@uses_jit
@pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=list(PROBLEMS))
def test_ekfac_of_many_draws_matches_the_expectation_of_curvlinops(problem):
    """Our labels follow the distribution that the loss implies.

    Its "type-2" Fisher matrix takes the expectation over that distribution in closed form.
    """
    problem = problem()
    X, y, *_ = problem.tensors()
    theirs = curvlinops_ekfac(problem, X, y, 0.1, fisher_type="type-2")
    ours = problem.scores(curvature=EKFAC(0.1, n_samples=1000))
    # 24 000 draws: about 1 % of noise in an eigenvalue; a wrong distribution is off by a factor.
    assert_close(ours, theirs, 0.03)


# kronfluence ------------------------------------------------------------------------------------

# It makes a gradient scaler, unused here, by a deprecated name.
old_scaler = pytest.mark.filterwarnings("ignore:.torch.cuda.amp.GradScaler:FutureWarning")


def kronfluence_scores(problem, directory, strategy, labels=None, damping=None, partitions=1):
    """Compute its mean score over the reference rows, in float64, with factors from `labels`."""
    kronfluence = importlib.import_module("kronfluence")
    arguments = importlib.import_module("kronfluence.arguments")
    analyzer = importlib.import_module("kronfluence.analyzer")
    criterion = problem.criterion()

    class Task(kronfluence.task.Task):
        def compute_train_loss(self, batch, model, sample=False):
            X, y, drawn = batch
            return len(X) * criterion(model(X), drawn if sample else y)  # it needs sums

        def compute_measurement(self, batch, model):
            return self.compute_train_loss(batch, model)

    X, y, X_val, y_val = problem.tensors()
    train = TensorDataset(X, y, y if labels is None else labels)
    reference = TensorDataset(X_val, y_val, y_val)
    task, module = Task(), problem.module
    module = analyzer.prepare_model(module, task)
    double = torch.float64
    analysis = analyzer.Analyzer(
        "peer",
        module,
        task,
        cpu=True,
        output_dir=str(directory),
        disable_tqdm=True,
        disable_model_save=True,
    )
    analysis.fit_all_factors(
        "factors",
        train,
        per_device_batch_size=9,
        factor_args=arguments.FactorArguments(
            strategy=strategy,
            activation_covariance_dtype=double,
            gradient_covariance_dtype=double,
            per_sample_gradient_dtype=double,
            lambda_dtype=double,
        ),
    )
    analysis.compute_pairwise_scores(
        "scores",
        "factors",
        reference,
        train,
        per_device_query_batch_size=M,
        per_device_train_batch_size=9,
        score_args=arguments.ScoreArguments(
            damping_factor=damping,
            per_sample_gradient_dtype=double,
            precondition_dtype=double,
            score_dtype=double,
        ),
    )
    return analysis.load_pairwise_scores("scores")["all_modules"].double().numpy().mean(0)


@old_scaler
@each_classifier
def test_scores_without_curvature_match_kronfluence(problem, tmp_path):
    problem = problem()
    assert_close(problem.scores(), kronfluence_scores(problem, tmp_path, "identity"))


@old_scaler
@each_problem
@pytest.mark.parametrize("damping", [0.1, "auto"])
def test_ekfac_matches_kronfluence_on_the_labels_that_we_draw(problem, damping, drawn, tmp_path):
    """Compare a constant, and the published damping: 0.1 times each layer's mean eigenvalue."""
    problem = problem()
    ours = problem.scores(curvature=EKFAC(damping))
    labels = problem.labels(first_pass(drawn, N))
    theirs = kronfluence_scores(
        problem, tmp_path, "ekfac", labels, None if damping == "auto" else damping
    )
    assert_close(ours, theirs)


# pyinfluence: logistic regression in closed form ---------------------------------------------


class Logistic:
    """The same model twice: scikit-learn's, and a linear net with its weights."""

    def __init__(self, *, intercept=True, C=1.0):
        rng = np.random.RandomState(0)
        X = rng.randn(80, 4)
        y = (X[:, 0] + rng.randn(80) > 0).astype(int)
        group = (X[:, 1] + rng.randn(80) > 0).astype(int)
        self.X, self.y, self.X_val, self.y_val = X[:50], y[:50], X[50:], y[50:]
        self.groups = {"sensitive_features": group[:50], "sensitive_features_val": group[50:]}
        self.group = group[50:]
        self.model = LogisticRegression(C=C, fit_intercept=intercept, tol=1e-10)
        self.model.fit(self.X, self.y)
        linear = nn.Linear(4, 1, bias=intercept).double()
        with torch.no_grad():
            linear.weight.copy_(torch.as_tensor(self.model.coef_))
            if intercept:
                linear.bias.copy_(torch.as_tensor(self.model.intercept_))
        self.net = NeuralNetBinaryClassifier(linear, criterion=nn.BCEWithLogitsLoss)
        self.net.initialize()

    def ours(self, target=None, curvature=None, groups=True):
        scorer = InfluenceScorer(
            FrozenEstimator(self.net), target=target, curvature=curvature, random_state=0
        )
        groups = self.groups if groups else {}
        return scorer.fit(self.X, self.y, X_val=self.X_val, y_val=self.y_val, **groups).scores_

    def theirs(self, functional, hessian="identity", damping=0.0):
        """Compute its change of the functional without a row, in our scale and sign.

        Its change is that of a weight 1/n, ours of a weight 1. Its gaps have a sign, ours do not.
        """
        peer = importlib.import_module("pyinfluence")
        attributor = peer.FunctionalInfluence(functional, hessian=hessian, damping=damping)
        attributor.fit(self.model, self.X, self.y)
        value = peer.functional_value(self.model, self.X_val, functional, self.y_val)
        return len(self.y) * np.sign(value) * attributor.explain(self.X_val, self.y_val)


def functionals():
    return importlib.import_module("pyinfluence.functionals")


def disparity(*args, **kwargs):
    return importlib.import_module("pyinfluence.fairness").disparity(*args, **kwargs)


def positive(y):
    return y == 1


TARGETS = {
    "mean loss": (Utility(), lambda g, m: functionals().mean("losses")),
    "demographic parity": (DemographicParity(), lambda g, m: disparity("dp", g)),
    "equal opportunity": (EqualOpportunity(), lambda g, m: disparity("eopp", g, target_of=m)),
    "equal opportunity of losses": (
        EqualOpportunity(measure="loss"),
        lambda g, m: functionals().group_gap(g, keep=positive, of="losses"),
    ),
}
each_target = pytest.mark.parametrize(("target", "functional"), TARGETS.values(), ids=TARGETS)


@each_target
def test_targets_match_the_functionals_of_pyinfluence(target, functional):
    same = Logistic()
    assert_close(same.ours(target), same.theirs(functional(same.group, same.model)))


def test_equalized_odds_matches_the_larger_of_two_gaps_of_pyinfluence():
    same = Logistic()
    peer = importlib.import_module("pyinfluence")
    gaps = [disparity(kind, same.group, target_of=same.model) for kind in ("eopp", "fpr")]
    values = [peer.functional_value(same.model, same.X_val, gap, same.y_val) for gap in gaps]
    larger = gaps[int(np.argmax(np.abs(values)))]
    assert_close(same.ours(EqualizedOdds()), same.theirs(larger))


# It warns of the case without a ridge; the Hessian is well conditioned anyway.
@pytest.mark.filterwarnings("ignore:.*has no regularization:UserWarning")
@each_target
@pytest.mark.parametrize(
    ("intercept", "C", "damping"), [(False, 0.7, 1e-3), (True, np.inf, 0.0)], ids=["ridge", "plain"]
)
def test_exact_influence_matches_pyinfluence(target, functional, intercept, C, damping):
    """It adds the ridge of the model and the damping to all weights except the intercept.

    Ours adds damping to all weights, so the case with an intercept has neither.
    """
    same = Logistic(intercept=intercept, C=C)
    ridge = 1 / (C * len(same.y))
    ours = same.ours(target, Exact(damping=ridge + damping))
    theirs = same.theirs(functional(same.group, same.model), "exact", damping)
    assert_close(ours, theirs)
