"""Outside oracles: other libraries, asked the same of the same net, find the same numbers.

Not part of the default suite: `tox -e peers` installs the libraries (requirements-peers.txt) and
runs these tests. Everything is in float64 on both sides, so that only the order of sums may differ;
what is compared is what a user sees, `scores_` of a frozen net, unless a peer gives less.

Where a peer answers another question than ours, its comment says which, and what is left to
compare.
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

# Importing some of the peers compiles functions by torch.jit, which is deprecated.
uses_jit = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def assert_close(ours, peer, tolerance=1e-8):
    """Largest difference over the largest number; 1e-8 leaves float64 room for linear algebra."""
    ours, peer = np.asarray(ours), np.asarray(peer)
    assert ours.shape == peer.shape
    assert np.abs(peer).max() > 0
    assert np.abs(ours - peer).max() <= tolerance * np.abs(peer).max()


@contextlib.contextmanager
def double():
    """For peers whose results are tensors of the default dtype, whatever the net is."""
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
    """Padding, stride and dilation; biases; a map that is not square."""

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
    """A net after a few epochs, its rows, and the loss that it was trained on."""

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
        """A copy for the peer to do with as it likes."""
        return copy.deepcopy(self.net.module_).eval()

    def scorer(self, **options):
        return InfluenceScorer(FrozenEstimator(self.net), random_state=0, **options)

    def scores(self, **options):
        """Ours, of the mean reference loss unless `options` say otherwise."""
        scorer = self.scorer(**options)
        return scorer.fit(self.X, self.y, X_val=self.X_val, y_val=self.y_val).scores_

    def pairs(self, **options):
        """Ours, one reference row at a time, (N, M)."""
        found = []
        for j in range(M):
            rows = [j] * 3  # thrice the same: a scorer asks for as many rows as there are classes
            of_row = {"X_val": self.X_val[rows], "y_val": self.y_val[rows]}
            found.append(self.scorer(**options).fit(self.X, self.y, **of_row).scores_)
        return np.stack(found, 1)

    def labels(self, y):
        """As the criterion wants them."""
        y = torch.as_tensor(y)
        if self.criterion is nn.CrossEntropyLoss:
            return y
        return y.double().reshape(len(y), -1)

    def tensors(self):
        """X, y, X_val, y_val for a peer."""
        X, X_val = torch.as_tensor(self.X), torch.as_tensor(self.X_val)
        return X, self.labels(self.y), X_val, self.labels(self.y_val)

    def gradients(self, X, y, module=None):
        """Of each row's loss, by a backward pass each, (n, p)."""
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
    """Labels that our EK-FAC draws from the model, a tensor a batch and a look."""
    kept = []
    draw = FunctionalNet.sampled_labels

    def spy(*args, **kwargs):
        kept.append(draw(*args, **kwargs))
        return kept[-1]

    monkeypatch.setattr(FunctionalNet, "sampled_labels", spy)
    return kept


def one_look(drawn, n_rows):
    """The labels of the first look; those of the second, at the eigenvalues, are the same."""
    labels = torch.cat(drawn)
    assert len(labels) in (n_rows, 2 * n_rows)
    if len(labels) > n_rows:
        assert torch.equal(labels[:n_rows], labels[n_rows:])
    return labels[:n_rows]


# captum: TracInCP, one row at a time ------------------------------------------------------------


def captum_tracin(problem, states, rates=None):
    """The slow path. The fast one (`sample_wise_grads_per_batch=True`) is silently wrong for any
    layer but Linear and Conv2d."""
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
def test_pairs_are_those_of_captum(problem):
    problem = problem()
    tracin, reference = captum_tracin(problem, own_state(problem))
    assert_close(problem.pairs(), tracin.influence(reference).numpy().T)


@uses_jit
@each_classifier
def test_scores_are_captums_aggregate_over_the_number_of_reference_rows(problem):
    problem = problem()
    tracin, reference = captum_tracin(problem, own_state(problem))
    loader = DataLoader(TensorDataset(*reference), batch_size=2)
    theirs = tracin.influence(loader, aggregate=True)
    assert_close(problem.scores(), theirs[0].numpy() / M)


@uses_jit
@each_classifier
def test_squared_gradient_norms_are_captums_self_influence(problem):
    problem = problem()
    tracin, _ = captum_tracin(problem, own_state(problem))
    ours = self_influences(FunctionalNet(problem.net), problem.X, problem.y)
    assert_close(ours, tracin.self_influence().numpy())


@uses_jit
def test_checkpoints_are_captums_weighted_sum_over_the_sum_of_the_weights():
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
# Its EK-FAC (0.3.0) is left out: it turns into the basis of the rows of eigh's matrices, whose
# columns are the eigenvectors, and cuts a weight and its bias into rows of another length.


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
def test_pairs_are_those_of_dattri(problem):
    problem = problem()
    attributor = importlib.import_module("dattri.algorithm").TracInAttributor(
        dattri_task(problem), torch.ones(1), normalized_grad=False
    )
    attributor.projector_kwargs = None  # None as an argument is its default: a random projection
    with double():
        theirs = attributor.attribute(*dattri_loaders(problem, 7))
    assert_close(problem.pairs(), theirs.numpy())


@uses_jit
@each_classifier
def test_cosines_are_those_of_dattri(problem):
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
        # It does not look at its tolerance, and divides 0 by 0 once the residual is 0.
        ("CG", {"max_iter": 20}, CG("hessian", 1.0, tol=1e-12)),
        # One matrix for a weight and its bias, where ours has two: compared without biases.
        ("DataInf", {}, DataInf(damping=1.0)),
    ],
    ids=["explicit", "CG", "DataInf"],
)
def test_influence_functions_are_those_of_dattri(name, options, curvature):
    problem = classifier(MLPWithoutBias if name == "DataInf" else MLP)
    module = importlib.import_module("dattri.algorithm.influence_function")
    attributor = getattr(module, f"IFAttributor{name}")(
        dattri_task(problem), regularization=1.0, **options
    )
    # All rows in one batch: over several, it adds up the batches' inverses.
    train, reference = dattri_loaders(problem)
    with double():
        attributor.cache(train)
        theirs = attributor.attribute(train, reference).detach()
    assert_close(problem.pairs(curvature=curvature), theirs.numpy())


# pyDVL ----------------------------------------------------------------------------------------

# It calls its own helper pyDeprecate by names that are deprecated there, also in threads.
old_names = pytest.mark.filterwarnings("ignore:.*is deprecated since .v0:FutureWarning")
# Its backward hook on the first layer, whose inputs need no gradient, is given none: it needs none.
full_hook = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")


def pydvl(name):
    return getattr(importlib.import_module("pydvl.influence.torch"), name)


@old_names
@each_classifier
def test_exact_influence_is_pydvls_direct_influence(problem):
    problem = problem()
    X, y, X_val, y_val = problem.tensors()
    model = pydvl("DirectInfluence")(
        problem.module, nn.functional.cross_entropy, regularization=0.3
    ).fit(DataLoader(TensorDataset(X, y), batch_size=N // 3))
    theirs = model.influences(X_val, y_val, X, y)
    assert_close(problem.pairs(curvature=Exact(damping=0.3)), theirs.numpy().T)


@old_names
@each_classifier
def test_conjugate_gradients_are_pydvls(problem):
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
def test_ekfac_is_pydvls_on_the_labels_that_we_draw(corrected, drawn, monkeypatch):
    """pyDVL takes no labels: it differentiates Σ_c √p_c log p_c, whose gradient's outer product
    has cross terms between classes that the Fisher matrix has not. With its loss put right, its
    factors, eigenvalues, bias and damping are compared."""
    problem = classifier()
    ours = problem.scores(curvature=EKFAC(0.1, corrected=corrected))
    labels = one_look(drawn, N)
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
    """Scores out of what solves for a direction."""
    X, y, X_val, y_val = problem.tensors()
    v = problem.gradients(X_val, y_val, module).mean(0)
    return (problem.gradients(X, y, module) @ (inverse @ v)).numpy()


def curvlinops_ekfac(problem, X, labels, damping, kind="EKFAC", **options):
    """Its scores; "auto" damping is one it does not have."""
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
def test_exact_matrices_are_those_of_curvlinops(problem, matrix, name):
    problem = problem()
    X, y, *_ = problem.tensors()
    module = problem.module
    operator = curvlinops(f"{name}LinearOperator", problem, X, y, module=module)
    dense = operator @ torch.eye(operator.shape[0], dtype=torch.float64)
    inverse = torch.linalg.inv(dense + 0.5 * torch.eye(len(dense), dtype=torch.float64))
    ours = problem.scores(curvature=Exact(matrix, damping=0.5))
    assert_close(ours, solved(problem, inverse, module))


# Without vectors: it multiplies the loss of given labels by the root of their length, which is for
# errors of variance 1/2. kronfluence, below, takes given labels as they are.
@uses_jit
@pytest.mark.parametrize("problem", list(PROBLEMS.values())[:-1], ids=list(PROBLEMS)[:-1])
@pytest.mark.parametrize("kind", ["EKFAC", "KFAC"])
@pytest.mark.parametrize("n_samples", [1, 2])
def test_ekfac_is_that_of_curvlinops_on_the_labels_that_we_draw(problem, kind, n_samples, drawn):
    """Its empirical Fisher matrix, of our labels: the same factors, with the bias as a column of
    the inputs, the same positions of a convolution, eigenvalues and damping."""
    problem = problem()
    ours = EKFAC(0.1, corrected=kind == "EKFAC", n_samples=n_samples)
    ours = problem.scores(curvature=ours)
    labels = problem.labels(one_look(drawn, n_samples * N))
    X = problem.tensors()[0].repeat(n_samples, *[1] * (problem.X.ndim - 1))
    assert_close(ours, curvlinops_ekfac(problem, X, labels, 0.1, kind))


@uses_jit
@pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=list(PROBLEMS))
def test_ekfac_of_many_draws_is_that_of_curvlinops_expectation(problem):
    """The labels are drawn from the distribution that the loss stands for: its "type-2" Fisher
    matrix takes the expectation over it in closed form."""
    problem = problem()
    X, y, *_ = problem.tensors()
    theirs = curvlinops_ekfac(problem, X, y, 0.1, fisher_type="type-2")
    ours = problem.scores(curvature=EKFAC(0.1, n_samples=1000))
    # 24 000 draws: about 1 % of noise in an eigenvalue; a wrong distribution is off by a factor.
    assert_close(ours, theirs, 0.03)


# kronfluence ------------------------------------------------------------------------------------

# It makes a gradient scaler, which it does not use here, by its old name.
old_scaler = pytest.mark.filterwarnings("ignore:.torch.cuda.amp.GradScaler:FutureWarning")


def kronfluence_scores(problem, directory, strategy, labels=None, damping=None, partitions=1):
    """Mean score over the reference rows, all its dtypes float64; factors from `labels`."""
    kronfluence = importlib.import_module("kronfluence")
    arguments = importlib.import_module("kronfluence.arguments")
    analyzer = importlib.import_module("kronfluence.analyzer")
    criterion = problem.criterion()

    class Task(kronfluence.task.Task):
        def compute_train_loss(self, batch, model, sample=False):
            X, y, drawn = batch
            return len(X) * criterion(model(X), drawn if sample else y)  # it asks for sums

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
def test_scores_are_those_of_kronfluence_without_factors(problem, tmp_path):
    problem = problem()
    assert_close(problem.scores(), kronfluence_scores(problem, tmp_path, "identity"))


@old_scaler
@each_problem
@pytest.mark.parametrize("damping", [0.1, "auto"])
def test_ekfac_is_that_of_kronfluence_on_the_labels_that_we_draw(problem, damping, drawn, tmp_path):
    """Also the published damping, a tenth of each layer's mean eigenvalue."""
    problem = problem()
    ours = problem.scores(curvature=EKFAC(damping))
    labels = problem.labels(one_look(drawn, N))
    theirs = kronfluence_scores(
        problem, tmp_path, "ekfac", labels, None if damping == "auto" else damping
    )
    assert_close(ours, theirs)


# pyinfluence: logistic regression in closed form ---------------------------------------------


class Logistic:
    """One model twice: scikit-learn's, and a linear net with its weights."""

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
        """Change of the functional when a row is left out: ours is that of a row's whole weight,
        theirs of its share 1/n. Of the functional's own sign: our gaps are its size."""
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
def test_targets_are_the_functionals_of_pyinfluence(target, functional):
    same = Logistic()
    assert_close(same.ours(target), same.theirs(functional(same.group, same.model)))


def test_equalized_odds_is_the_larger_one_of_two_gaps_of_pyinfluence():
    same = Logistic()
    peer = importlib.import_module("pyinfluence")
    gaps = [disparity(kind, same.group, target_of=same.model) for kind in ("eopp", "fpr")]
    values = [peer.functional_value(same.model, same.X_val, gap, same.y_val) for gap in gaps]
    larger = gaps[int(np.argmax(np.abs(values)))]
    assert_close(same.ours(EqualizedOdds()), same.theirs(larger))


# Said of the case without a ridge, where the Hessian is well conditioned all the same.
@pytest.mark.filterwarnings("ignore:.*has no regularization:UserWarning")
@each_target
@pytest.mark.parametrize(
    ("intercept", "C", "damping"), [(False, 0.7, 1e-3), (True, np.inf, 0.0)], ids=["ridge", "plain"]
)
def test_exact_influence_is_that_of_pyinfluence(target, functional, intercept, C, damping):
    """It adds the ridge of the model, which it spares the intercept, and a damping, likewise: with
    an intercept there can be neither."""
    same = Logistic(intercept=intercept, C=C)
    ridge = 1 / (C * len(same.y))
    ours = same.ours(target, Exact(damping=ridge + damping))
    theirs = same.theirs(functional(same.group, same.model), "exact", damping)
    assert_close(ours, theirs)
