"""Every curvature, (M + λI)^-1, compared with dense linear algebra in float64."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from zoo import make

from skinfluence import FilteredEstimator, InfluenceSampleSelector, InfluenceScorer
from skinfluence._core.directions import Objective, directions
from skinfluence._core.factors import Outer
from skinfluence._core.gradients import forward, ggnvp, row_gradients
from skinfluence._core.influence import row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._data.params import draw_seed
from skinfluence.curvature import CG, EKFAC, DataInf, Exact, LiSSA, check_curvature
from skinfluence.curvature._kfac import Block, Eigenbasis
from skinfluence.ensembles import Dropout, Single
from skinfluence.nets import TabularClassifier
from skinfluence.targets import Utility

RNG = np.random.RandomState
SMALL = ["mlp", "conv1d", "batchnorm1d", "embedding", "logit scale"]


def problem(name, dtype=torch.float64):
    net, X, y = make(name, dtype)
    return FunctionalNet(net), X, y


def random_directions(fnet, k=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        n: torch.randn((k, *p.shape), generator=generator, dtype=p.dtype)
        for n, p in fnet.params.items()
    }


def flat(V):
    return torch.cat([v.reshape(len(v), -1) for v in V.values()], 1)


def gradients(fnet, X, y):
    """Row gradients by vmap, (n, p)."""
    Xb, yb = next(fnet.batches(X, y))
    return flat(row_gradients(fnet, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb)))


def dense_hessian(fnet, X, y):
    """Hessian of the mean loss, by torch.func over one flat vector."""
    Xb, yb = next(fnet.batches(X, y))
    shapes = {n: p.shape for n, p in fnet.params.items()}
    vector = torch.cat([p.flatten() for p in fnet.params.values()])

    def loss(v):
        chunks = v.split([s.numel() for s in shapes.values()])
        params = {n: c.reshape(s) for (n, s), c in zip(shapes.items(), chunks, strict=True)}
        return fnet.losses(fnet.outputs(params, Xb), Xb, yb).mean()

    return torch.func.hessian(loss)(vector)


def dense_ggn(fnet, X, y):
    """Mean of J_i^T H_i J_i, Jacobians and Hessians row by row."""
    Xb, yb = next(fnet.batches(X, y))
    n = len(yb)
    J = torch.func.jacrev(lambda p: fnet.outputs(p, Xb))(fnet.params)
    f = forward(fnet, Xb)
    J = torch.cat([j.reshape(n, f[0].numel(), -1) for j in J.values()], 2)
    total = 0
    for i in range(n):

        def of_row(g, i=i):
            outputs = torch.cat([f[:i], g.unsqueeze(0), f[i + 1 :]])
            return fnet.losses(outputs, Xb, yb)[i]

        H = torch.func.hessian(of_row)(f[i]).reshape(J.shape[1], J.shape[1])
        total = total + J[i].T @ H @ J[i]
    return total / n


@pytest.mark.parametrize("name", SMALL)
def test_a_gauss_newton_product_is_the_dense_matrix_times_the_vector(name):
    fnet, X, y = problem(name)
    u = {n: v[0] for n, v in random_directions(fnet).items()}
    got = torch.cat([v.flatten() for v in ggnvp(fnet, fnet.batches(X, y), u).values()])
    want = dense_ggn(fnet, X, y) @ torch.cat([v.flatten() for v in u.values()])
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("matrix", "dense"), [("hessian", dense_hessian), ("ggn", dense_ggn)])
def test_exact_is_dense_algebra(name, matrix, dense):
    fnet, X, y = problem(name)
    V = random_directions(fnet)
    got = flat(Exact(matrix, damping=0.1).prepare(fnet, X, y, RNG(0))(V))
    M = dense(fnet, X, y)
    want = torch.linalg.solve(M + 0.1 * torch.eye(len(M)).to(M), flat(V).T).T
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", SMALL)
def test_cg_is_exact_to_its_tolerance(name):
    fnet, X, y = problem(name)
    V = random_directions(fnet)
    want = flat(Exact("ggn", damping=0.05).prepare(fnet, X, y, RNG(0))(V))
    solver = CG(damping=0.05, max_iter=1000, tol=1e-10)
    got = flat(solver.prepare(fnet, X, y, RNG(0))(V))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6 * float(want.abs().max()))


def test_cg_raises_an_error_on_negative_curvature():
    fnet, X, y = problem("mlp")
    lowest = float(torch.linalg.eigvalsh(dense_hessian(fnet, X, y))[0])
    assert lowest < 0
    with pytest.raises(ValueError, match="negative curvature"):
        CG("hessian", damping=0.0, max_iter=1000, tol=1e-12).prepare(fnet, X, y, RNG(0))(
            random_directions(fnet)
        )


def test_cg_warns_when_it_reaches_max_iter():
    fnet, X, y = problem("mlp")
    with pytest.warns(RuntimeWarning, match="stopped after 2 steps"):
        CG(damping=1e-6, max_iter=2).prepare(fnet, X, y, RNG(0))(random_directions(fnet, 1))


def test_lissa_converges_to_the_exact_solution():
    fnet, X, y = problem("mlp")
    V = random_directions(fnet, 1)
    want = flat(Exact("ggn", damping=0.5).prepare(fnet, X, y, RNG(0))(V))
    solver = LiSSA("ggn", damping=0.5, scale=5.0, n_steps=300, batch_size=10_000)
    got = flat(solver.prepare(fnet, X, y, RNG(0))(V))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6 * float(want.abs().max()))


def test_lissa_says_what_to_change_when_it_diverges():
    fnet, X, y = problem("mlp")
    with pytest.raises(ValueError, match=r"scale=0\.01"):
        LiSSA("ggn", damping=0.1, scale=0.001).prepare(fnet, X, y, RNG(0))(
            random_directions(fnet, 1)
        )


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e15])
def test_cg_solves_for_directions_of_any_length_in_float32(scale):
    fnet, X, y = problem("mlp", dtype=torch.float32)
    V = random_directions(fnet)
    solve = CG(damping=0.1, tol=1e-4).prepare(fnet, X, y, RNG(0))
    got = flat(solve({name: scale * v for name, v in V.items()}))
    torch.testing.assert_close(got / scale, flat(solve(V)), rtol=1e-3, atol=1e-4)


def test_lissa_gives_the_same_numbers_for_the_same_seed():
    fnet, X, y = problem("mlp")
    V = random_directions(fnet, 1)
    solver = LiSSA(damping=0.5, scale=20.0, n_steps=20, batch_size=4)
    first, again = (flat(solver.prepare(fnet, X, y, RNG(3))(V)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("damping", ["auto", 0.2])
def test_datainf_is_the_mean_of_the_rows_dense_inverses(name, damping):
    fnet, X, y = problem(name)
    V = random_directions(fnet)
    got = DataInf(damping).prepare(fnet, X, y, RNG(0))(V)
    Xb, yb = next(fnet.batches(X, y))
    rows = row_gradients(fnet, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb))
    for name_, g in rows.items():
        g = g.reshape(len(g), -1)
        lam = float(g.square().mean()) / 10 if damping == "auto" else damping
        v = V[name_].reshape(2, -1)
        want = 0
        for row in g:
            M = torch.outer(row, row) + lam * torch.eye(len(row), dtype=row.dtype)
            want = want + torch.linalg.solve(M, v.T).T / len(g)
        torch.testing.assert_close(
            got[name_].reshape(2, -1), want, rtol=1e-6, atol=1e-6 * float(want.abs().max())
        )


# EK-FAC --------------------------------------------------------------------------------------


def sampled_gradients(fnet, X, seed, bias=True):
    """Per-row gradients at the labels that EKFAC samples."""
    generator = torch.Generator().manual_seed(int(RNG(seed).randint(np.iinfo(np.int32).max)))
    Xb, _ = next(fnet.batches(X))
    f = forward(fnet, Xb)
    y = fnet.sampled_labels(f, None, generator)
    return row_gradients(fnet, Xb, fnet.cotangents(f, Xb, y))


@pytest.mark.parametrize("corrected", [True, False], ids=["EK-FAC", "KFAC"])
def test_ekfac_is_its_dense_definition_on_an_mlp(corrected):
    fnet, X, y = problem("mlp")
    V = random_directions(fnet)
    got = EKFAC(0.1, corrected=corrected).prepare(fnet, X, y, RNG(0))(V)
    rows = sampled_gradients(fnet, X, 0)
    layers = [n.removesuffix(".weight") for n in rows if n.endswith(".weight")]
    for layer in layers:
        W, b = rows[f"{layer}.weight"], rows[f"{layer}.bias"]
        g = torch.cat([W, b.unsqueeze(2)], 2)  # (n, out, in + 1), each d ⊗ ã: rank one
        d = b
        # ã from the gradients themselves: g = d ãᵀ with ã's last entry 1
        a = torch.einsum("no,noi->ni", d, g) / d.square().sum(1, keepdim=True)
        _, Q_A = torch.linalg.eigh(a.T @ a / len(a))
        _, Q_S = torch.linalg.eigh(d.T @ d / len(d))
        if corrected:
            values = (Q_S.T @ g @ Q_A).square().mean(0)
        else:
            values = torch.outer((d @ Q_S).square().mean(0), (a @ Q_A).square().mean(0))
        v = torch.cat([V[f"{layer}.weight"], V[f"{layer}.bias"].unsqueeze(2)], 2)
        want = Q_S @ ((Q_S.T @ v @ Q_A) / (values + 0.1)) @ Q_A.T
        mine = torch.cat([got[f"{layer}.weight"], got[f"{layer}.bias"].unsqueeze(2)], 2)
        torch.testing.assert_close(mine, want, rtol=1e-7, atol=1e-8 * float(want.abs().max()))


@pytest.mark.parametrize("corrected", [True, False], ids=["EK-FAC", "KFAC"])
@pytest.mark.parametrize("first", [0, 1], ids=["short first", "long first"])
def test_ekfac_counts_batches_of_all_lengths(first, corrected):
    """The eigenvalues add up to the mean squared gradient norm, or to the product of the traces."""
    rng = torch.Generator().manual_seed(0)
    batches = []
    for steps in (1, 6):
        a = torch.randn(32, steps, 1, 5, generator=rng, dtype=torch.float64)
        d = torch.randn(32, steps, 1, 3, generator=rng, dtype=torch.float64)
        batches.append(Block(Outer(a, d), ["weight"]))
    in_order = [batches[first], batches[1 - first]]
    basis = Eigenbasis(in_order[0])
    for block in in_order:
        basis.accumulate(block)
    of_factors = basis.A.trace() / basis.n * basis.S.trace() / (32 + 32 * 6)
    basis.diagonalize(corrected)
    for block in in_order if corrected else ():
        basis.fit_eigenvalues(block)
    of_rows = torch.cat([block.factor.square_norms() for block in batches]).mean()
    torch.testing.assert_close(basis.values.sum(), of_rows if corrected else of_factors)


def test_ekfac_of_a_convolution_is_that_of_its_patches():
    """A convolution is a linear layer over patches, summed over the steps of a row."""
    fnet, X, y = problem("conv1d")
    V = random_directions(fnet)
    got = EKFAC(0.1).prepare(fnet, X, y, RNG(0))(V)
    (name, conv), *_ = [(n, m) for n, m in fnet.shell.named_modules() if isinstance(m, nn.Conv1d)]
    g = sampled_gradients(fnet, X, 0)
    a, d = inputs_and_cotangents(fnet, conv, X)
    pad = nn.functional.pad(a, (conv.padding[0], conv.padding[0]))
    reach = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    windows = pad.unfold(2, reach, conv.stride[0])[..., :: conv.dilation[0]]  # (n, in, T, k)
    patches = windows.permute(0, 2, 1, 3).flatten(2)  # (n, T, in k)
    patches = torch.cat([patches, torch.ones_like(patches[..., :1])], 2)
    d = d.transpose(1, 2)  # (n, T, out)
    rows = torch.cat([g[f"{name}.weight"].flatten(2), g[f"{name}.bias"].unsqueeze(2)], 2)
    torch.testing.assert_close(torch.einsum("nto,nti->noi", d, patches), rows)
    _, Q_A = torch.linalg.eigh(torch.einsum("nti,ntj->ij", patches, patches))
    _, Q_S = torch.linalg.eigh(torch.einsum("nti,ntj->ij", d, d))
    values = (Q_S.T @ rows @ Q_A).square().mean(0)
    v = torch.cat([V[f"{name}.weight"].flatten(2), V[f"{name}.bias"].unsqueeze(2)], 2)
    want = Q_S @ ((Q_S.T @ v @ Q_A) / (values + 0.1)) @ Q_A.T
    mine = torch.cat([got[f"{name}.weight"].flatten(2), got[f"{name}.bias"].unsqueeze(2)], 2)
    torch.testing.assert_close(mine, want, rtol=1e-7, atol=1e-8 * float(want.abs().max()))


def inputs_and_cotangents(fnet, layer, X):
    """Inputs of a layer, and the gradient of each row's sampled loss by its outputs."""
    generator = torch.Generator().manual_seed(int(RNG(0).randint(np.iinfo(np.int32).max)))
    Xb, _ = next(fnet.batches(X))
    kept = {}

    def hook(_, inputs, output):
        kept["a"], kept["out"] = inputs[0].detach(), output

    handle = layer.register_forward_hook(hook)
    leaves = {n: p.detach().requires_grad_() for n, p in fnet.params.items()}
    f = fnet.outputs(leaves, Xb)
    handle.remove()
    y = fnet.sampled_labels(f.detach(), None, generator)
    (d,) = torch.autograd.grad(fnet.losses(f, Xb, y).sum(), kept["out"])
    return kept["a"], d


@pytest.mark.parametrize("name", ["conv1d", "embedding", "batchnorm1d", "lstm"])
def test_ekfac_solves_for_every_parameter_and_is_positive_definite(name):
    fnet, X, y = problem(name)
    V = random_directions(fnet, 3)
    solved = EKFAC(0.1).prepare(fnet, X, y, RNG(0))(V)
    assert list(solved) == list(V)
    assert (torch.linalg.vecdot(flat(V), flat(solved)) > 0).all()


def test_a_parameter_without_kronecker_factors_gets_its_fisher_diagonal():
    fnet, X, y = problem("batchnorm1d")
    V = random_directions(fnet, 1)
    solved = EKFAC(0.1).prepare(fnet, X, y, RNG(0))(V)
    rows = sampled_gradients(fnet, X, 0)
    norms = [n for n, m in fnet.shell.named_modules() if isinstance(m, nn.BatchNorm1d)]
    for name in (f"{norms[0]}.weight", f"{norms[0]}.bias"):
        want = V[name] / (rows[name].square().mean(0) + 0.1)
        torch.testing.assert_close(solved[name], want, rtol=1e-9, atol=1e-12)


# Bad parameters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curvature", "message"),
    [
        (Exact("fisher"), "expected 'hessian' or 'ggn'"),
        (CG(damping=-1), "0 or more"),
        (DataInf(0), "above 0"),
        (CG(max_iter=0), "1 or more"),
        (LiSSA(scale=0), "above 0"),
        (EKFAC(n_samples=0), "1 or more"),
    ],
    ids=["matrix", "damping", "DataInf damping", "max_iter", "scale", "n_samples"],
)
def test_bad_parameters_are_named(curvature, message):
    fnet, X, y = problem("mlp")
    with pytest.raises(ValueError, match=message):
        curvature.prepare(fnet, X, y, RNG(0))


def test_a_string_is_not_accepted_as_curvature():
    with pytest.raises(TypeError, match="EKFAC"):
        check_curvature("ekfac")


@pytest.mark.parametrize("curvature", [Exact(), CG(), LiSSA(), DataInf(), EKFAC()], ids=repr)
def test_curvatures_are_cloned_with_their_parameters(curvature):
    assert clone(curvature).get_params() == curvature.get_params()


# In the scorer ----------------------------------------------------------------------------------


def table(n=120, seed=0):
    rng = RNG(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    y = (X[:, 0] + 0.8 * rng.normal(size=n) > 0).astype(int)
    return X[:-40], y[:-40], X[-40:], y[-40:]


def scored(curvature, **options):
    X, y, X_val, y_val = table()
    net = TabularClassifier(module__hidden=(8,), max_epochs=10)
    scorer = InfluenceScorer(net, curvature=curvature, random_state=0, **options)
    return scorer.fit(X, y, X_val=X_val, y_val=y_val)


@pytest.mark.parametrize(
    "curvature", [Exact("ggn", 0.1), CG(damping=0.1), EKFAC(), DataInf()], ids=repr
)
def test_a_scorer_multiplies_its_direction_by_the_curvature(curvature):
    X, y, X_val, y_val = table()
    scorer = scored(curvature)
    fnet = FunctionalNet(scorer.estimator_)
    v = directions(fnet, Objective(Utility(), X_val, y_val, True))
    rng = RNG(draw_seed(0))
    Single().members([], fnet, X, rng)
    u = curvature.prepare(fnet, X, y, rng)(v)
    want = row_scores(fnet, u, X, y)
    np.testing.assert_allclose(scorer.scores_, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_a_very_large_damping_leaves_the_inner_product():
    plain, damped = scored(None).scores_, scored(Exact(damping=1e6)).scores_
    assert np.corrcoef(plain, damped)[0, 1] > 1 - 1e-6


def test_each_member_of_an_ensemble_has_its_own_curvature():
    one = scored(Exact("ggn", 0.1), ensemble=Dropout(1)).scores_
    assert np.array_equal(one, scored(Exact("ggn", 0.1)).scores_)
    several = scored(Exact("ggn", 0.1), ensemble=Dropout(3, 0.5)).scores_
    assert not np.allclose(one, several)


def test_votes_use_the_curvature_for_each_reference_row():
    plain, curved = (
        scored(curvature, ensemble=Dropout(2, aggregate="votes")).scores_
        for curvature in (None, Exact("ggn", 0.1))
    )
    assert not np.allclose(plain, curved)
    # A multiple of the identity changes no rank, and so no vote.
    same = scored(Exact("ggn", 1e9), ensemble=Dropout(2, aggregate="votes")).scores_
    np.testing.assert_allclose(same, plain, atol=0.02)


def test_the_scorer_is_reproducible_with_a_random_curvature():
    assert np.array_equal(scored(EKFAC()).scores_, scored(EKFAC()).scores_)


def test_a_hessian_of_weight_norm_is_refused():
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)))
    net = initialized(module)
    X = RNG(0).normal(size=(6, 5)).astype(np.float32)
    y = np.array([0, 1, 2, 0, 1, 2])
    with pytest.raises(ValueError, match="weight_norm"):
        Exact().prepare(FunctionalNet(net), X, y, RNG(0))


def initialized(module):
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, train_split=None)
    return net.initialize()


def test_exact_influence_of_a_logistic_model_predicts_leaving_a_row_out():
    X, y, X_val, y_val = table()
    C, n = 1.0, len(y)

    def loss_without(rows):
        model = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(X[rows], y[rows])
        return log_loss(y_val, model.predict_proba(X_val)), model

    base, model = loss_without(np.arange(n))
    truth = [loss_without(np.delete(np.arange(n), i))[0] - base for i in range(n)]
    net = initialized(nn.Linear(6, 2))
    net.classes_inferred_ = np.array([0, 1])
    with torch.no_grad():  # two logits whose difference is the model's; the penalty is the damping
        half = torch.as_tensor(np.stack([-model.coef_[0], model.coef_[0]]) / 2)
        net.module_.weight.copy_(half)
        bias = model.intercept_[0] / 2
        net.module_.bias.copy_(torch.tensor([-bias, bias]))
    # The penalty w²/(2 C n) on the mean loss is, for weights ±w/2, a damping of 2/(C n).
    scorer = InfluenceScorer(FrozenEstimator(net), curvature=Exact(damping=2 / (C * n)))
    scores = scorer.fit(X, y, X_val=X_val, y_val=y_val).scores_
    assert spearmanr(scores, truth)[0] >= 0.98


@pytest.mark.parametrize(
    ("curvature", "said"),
    [
        (Exact("ggn"), "Exact: columns"),
        (CG(damping=0.1), "CG: steps"),
        (LiSSA(n_steps=5, scale=1000.0), "LiSSA: steps"),
        (DataInf(), "DataInf: solving"),
        (EKFAC(), "EK-FAC: eigenvalues"),
    ],
    ids=str,
)
def test_a_verbose_scorer_shows_the_progress_of_the_curvature(curvature, said, capsys):
    scored(curvature, verbose=1)
    assert said in capsys.readouterr().err
    scored(curvature)
    assert capsys.readouterr().err == ""


def test_a_grid_search_can_set_the_damping():
    X, y = make_classification(120, random_state=0)
    scorer = InfluenceScorer(TabularClassifier(max_epochs=3), curvature=EKFAC())
    cleaned = FilteredEstimator(LogisticRegression(), InfluenceSampleSelector(scorer, cv=2))
    name = "selector__scorer__curvature__damping"
    search = GridSearchCV(cleaned, {name: [0.01, "auto"]}, cv=2).fit(X, y)
    assert search.best_params_[name] in (0.01, "auto")
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_fisher_matrix_of_a_regressor_is_its_gauss_newton_matrix(outputs, reduction):
    X = RNG(0).normal(size=(40, 3))
    y = RNG(1).normal(size=(40, outputs))
    module = nn.Linear(3, outputs, bias=False).double()
    net = NeuralNetRegressor(
        module, criterion__reduction=reduction, train_split=None, batch_size=-1
    ).initialize()
    fnet = FunctionalNet(net)
    V = random_directions(fnet)
    want = flat(Exact("ggn", 0.1).prepare(fnet, X, y, RNG(0))(V))
    got = flat(EKFAC(0.1, n_samples=500).prepare(fnet, X, y, RNG(0))(V))
    # Equal up to sampling error: KFAC is exact for a linear model; 20,000 errors per output.
    torch.testing.assert_close(got, want, rtol=0, atol=0.05 * float(want.abs().max()))
