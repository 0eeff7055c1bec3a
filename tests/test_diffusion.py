"""The diffusion net: its fixed loss, its images, its bound, and influence scores of them."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from skorch.dataset import ValidSplit
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence._core.gradients import ggnvp
from skinfluence._core.net import FunctionalNet
from skinfluence.curvature import EKFAC, DataInf
from skinfluence.diffusion import Denoiser, DenoisingDiffusion, VariationalBound
from skinfluence.diffusion._schedule import fixed_draws, make_schedule
from skinfluence.ensembles import Checkpoints, Seeds
from skinfluence.metrics import linear_datamodeling_score
from skinfluence.pairwise import influence_matrix
from skinfluence.retraining import draw_subsets, retrain

N_STEPS, N_DRAWS = 40, 20


def digits(n=60, classes=10):
    X, y = load_digits(n_class=classes, return_X_y=True)
    return (X[:n] / 8 - 1).astype(np.float32), y[:n]


def diffusion(**params):
    return DenoisingDiffusion(
        **{
            "module__hidden": (16, 16),
            "n_steps": N_STEPS,
            "n_draws": N_DRAWS,
            "max_epochs": 5,
            "batch_size": 16,
        }
        | params
    )


class Double(Denoiser):
    def __init__(self, **params):
        super().__init__(**params)
        self.double()


class Convolutions(nn.Module):
    """The layers treat each noisy image as a row; the time is a second channel."""

    def __init__(self, n_inputs=64):
        super().__init__()
        self.body = nn.Conv2d(2, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, noisy, time):
        x = noisy.reshape(-1, 1, 8, 8)
        t = time.reshape(-1, 1, 1, 1).expand_as(x)
        return self.head(torch.relu(self.body(torch.cat([x, t], 1)))).reshape(noisy.shape)


@pytest.fixture(scope="module")
def net():
    X, _ = digits()
    torch.manual_seed(0)
    return diffusion().fit(X)


@pytest.fixture(scope="module")
def exact():
    """A net in double precision whose fixed draws contain each step once."""
    X, _ = digits(30)
    torch.manual_seed(0)
    return diffusion(module=Double, n_draws=N_STEPS).fit(X.astype(np.float64))


def loop_kept(schedule, n_steps):
    """Compute ᾱ by a loop."""
    kept = [1.0]
    for t in range(1, n_steps + 1):
        if schedule == "linear":
            beta = (0.1 + (20 - 0.1) * (t - 1) / (n_steps - 1)) / n_steps
        else:
            now, before = (
                np.cos((s / n_steps + 0.008) / 1.008 * np.pi / 2) ** 2 for s in (t, t - 1)
            )
            beta = 1 - now / before
        kept.append(kept[-1] * (1 - min(beta, 0.999)))
    return kept


def step_back(image, noisy, t, kept):
    """Compute mean and variance of q(x_{t-1} | x_t, x_0), by Bayes' rule for normal variables."""
    beta, before = 1 - kept[t] / kept[t - 1], 1 - kept[t - 1]
    if t == 1:
        return image, None
    precision = (1 - beta) / beta + 1 / before
    mean = (np.sqrt(1 - beta) * noisy / beta + np.sqrt(kept[t - 1]) * image / before) / precision
    return mean, 1 / precision


def predicted(net, noisy, t):
    with torch.no_grad():
        weight = next(net.module_.parameters())
        x = torch.as_tensor(noisy).to(weight).reshape(1, 1, -1)
        return net.module_(x, torch.full((1, 1), t / net.n_steps, dtype=x.dtype)).numpy().ravel()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_schedule_is_the_published_one(schedule):
    constants = make_schedule(schedule, N_STEPS)
    kept = loop_kept(schedule, N_STEPS)
    np.testing.assert_allclose(constants.kept, kept, rtol=1e-12)
    for t in range(2, N_STEPS + 1):
        variance = step_back(0.0, 0.0, t, kept)[1]
        np.testing.assert_allclose(constants.variance[t], variance, rtol=1e-9)
    assert constants.variance[1] == constants.variance[2]


def test_the_loss_of_an_image_is_fixed_and_does_not_depend_on_others(net):
    X, _ = digits()
    fnet = FunctionalNet(net)
    rows, y = torch.from_numpy(X), torch.zeros(len(X))
    outputs = fnet.outputs(fnet.params, rows)
    losses = fnet.losses(outputs, rows, y)
    alone = [fnet.losses(fnet.outputs(fnet.params, x), x, y[:1]) for x in rows[:, None]]

    assert outputs.shape == (60, N_DRAWS, 64)
    assert torch.equal(outputs, fnet.outputs(fnet.params, rows))
    torch.testing.assert_close(losses, torch.cat(alone))
    np.testing.assert_allclose(net.score_samples(X), -losses.detach().numpy(), rtol=1e-5)


def test_the_loss_equals_a_loop_over_the_draws(exact):
    X = digits(5)[0].astype(np.float64)
    kept = loop_kept("linear", N_STEPS)
    steps, noises = (part.numpy() for part in fixed_draws(N_STEPS, 64, N_STEPS))
    want = []
    for x in X:
        errors = []
        for t, noise in zip(steps, noises, strict=True):
            noisy = np.sqrt(kept[t]) * x + np.sqrt(1 - kept[t]) * noise
            errors.append(np.mean((predicted(exact, noisy, t) - noise) ** 2))
        want.append(np.mean(errors))
    np.testing.assert_allclose(exact.score_samples(X), -np.array(want), rtol=1e-12)


def test_one_step_is_drawn_from_each_interval_of_time():
    assert fixed_draws(N_STEPS, 3, N_STEPS)[0].tolist() == list(range(1, N_STEPS + 1))
    steps, noise = fixed_draws(50, 4, 1000)
    assert ((steps - 1) // 20).tolist() == list(range(50))
    assert noise.shape == (50, 4)
    assert abs(noise.std() - 1) < 0.2


def test_training_draws_new_noise(net):
    X = torch.from_numpy(digits()[0])
    twin = clone(net).initialize().set_params(module__n_inputs=64)
    twin._set_training(True)
    first, noise = twin.infer(X)
    _, other = twin.infer(X)
    assert first.shape == noise.shape == (60, 1, 64)
    assert not torch.equal(noise, other)
    assert not torch.equal(noise[0], noise[1])
    loss = twin.get_loss((first, noise), None, X=X, training=True)
    torch.testing.assert_close(loss, (first - noise).square().mean())


def test_images_equal_those_of_the_published_algorithm(exact):
    """Ho et al., algorithm 2, with the predicted image clipped to its range."""
    kept = loop_kept("linear", N_STEPS)
    seed = int(np.random.RandomState(3).randint(np.iinfo(np.int32).max))
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return torch.randn((1, 1, 64), generator=generator).double().numpy().ravel()

    x = draw()
    for t in range(N_STEPS, 0, -1):
        noise = predicted(exact, x, t)
        image = np.clip((x - np.sqrt(1 - kept[t]) * noise) / np.sqrt(kept[t]), -1, 1)
        x, variance = step_back(image, x, t, kept)
        if t > 1:
            x = x + np.sqrt(variance) * draw()
    np.testing.assert_allclose(exact.sample(1, random_state=3)[0], x, rtol=1e-9, atol=1e-12)


def test_the_seed_decides_the_images_and_global_random_states_stay(net):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    images = net.sample(4, random_state=0)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    np.testing.assert_array_equal(images, net.sample(4, random_state=0))
    assert (images != net.sample(4, random_state=1)).any()
    assert images.shape == (4, 64)
    assert images.dtype == np.float32
    assert np.abs(images).max() <= 1 + 1e-6


def test_images_of_a_trained_net_resemble_its_training_images():
    X, _ = digits(300, classes=2)
    torch.manual_seed(0)
    net = diffusion(module__hidden=(64, 64), max_epochs=100, n_steps=50).fit(X)
    images = net.sample(50, random_state=0)
    noise = np.random.RandomState(0).randn(50, 64).clip(-1, 1)

    def distance(images):
        return np.linalg.norm(images[:, None] - X, axis=2).min(1).mean()

    # Measured with three seeds: distances to the nearest training image of 3.6 to 4.0, for noise
    # 7.9; correlations of the mean images of .88 to .94.
    assert distance(images) < 0.6 * distance(noise)
    assert np.corrcoef(images.mean(0), X.mean(0))[0, 1] > 0.8


def test_images_keep_their_shape():
    X, y = digits()
    torch.manual_seed(0)
    flat = diffusion().fit(X)
    torch.manual_seed(0)
    square = diffusion().fit(X.reshape(-1, 1, 8, 8))
    np.testing.assert_array_equal(
        square.sample(2, random_state=0).reshape(2, 64), flat.sample(2, random_state=0)
    )
    of_flat = InfluenceScorer(FrozenEstimator(flat), random_state=0).fit(X, y)
    of_square = InfluenceScorer(FrozenEstimator(square), random_state=0)
    of_square.fit(X.reshape(-1, 1, 8, 8), y)
    np.testing.assert_array_equal(of_flat.scores_, of_square.scores_)


@pytest.mark.parametrize("steps", [None, (4, 9)])
def test_scores_equal_a_loop_of_plain_autograd(exact, steps):
    X, y = digits(30)
    X, Q = X[:20].astype(np.float64), X[20:].astype(np.float64)
    target = exact.variational_bound(steps) if steps else None
    scorer = InfluenceScorer(FrozenEstimator(exact), target=target, normalize="rows")
    scorer.fit(X, y[:20], X_val=Q, y_val=y[20:])

    constants = make_schedule("linear", N_STEPS)
    drawn, noises = fixed_draws(N_STEPS, 64, N_STEPS)
    params = list(exact.module_.parameters())

    def gradient(x, weights):
        kept = constants.kept[drawn].unsqueeze(1)
        noisy = kept.sqrt() * torch.from_numpy(x) + (1 - kept).sqrt() * noises
        errors = exact.module_(noisy[None], (drawn.double() / N_STEPS)[None])[0] - noises
        grads = torch.autograd.grad((weights @ errors.square()).sum(), params)
        return torch.cat([g.flatten() for g in grads])

    equal = torch.full((N_STEPS,), 1 / (64 * N_STEPS), dtype=torch.float64)
    of_steps = torch.where((drawn >= 4) & (drawn <= 9), constants.weights[drawn], 0)
    of_target = of_steps if steps else equal
    direction = torch.stack([gradient(x, of_target) for x in Q]).mean(0)
    rows = torch.stack([gradient(x, equal) for x in X])
    want = rows @ direction / rows.norm(dim=1)
    np.testing.assert_allclose(scorer.scores_, want, rtol=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_bound_is_the_sum_of_divergences_of_the_reverse_steps(schedule):
    X, _ = digits(3)
    torch.manual_seed(0)
    net = diffusion(module=Double, n_draws=N_STEPS, schedule=schedule).fit(X)
    kept = loop_kept(schedule, N_STEPS)
    noises = fixed_draws(N_STEPS, 64, N_STEPS)[1].numpy()
    want = np.zeros((3, N_STEPS))
    for i, x in enumerate(X.astype(np.float64)):
        for t in range(1, N_STEPS + 1):
            noisy = np.sqrt(kept[t]) * x + np.sqrt(1 - kept[t]) * noises[t - 1]
            image = (noisy - np.sqrt(1 - kept[t]) * predicted(net, noisy, t)) / np.sqrt(kept[t])
            true, model = (step_back(start, noisy, t, kept)[0] for start in (x, image))
            variance = step_back(x, noisy, max(t, 2), kept)[1]
            # KL divergence of two normal distributions with one variance; at the first step, the
            # negative log-density.
            want[i, t - 1] = np.sum((true - model) ** 2) / (2 * variance)
    outputs = net.forward(X)
    np.testing.assert_allclose(net.variational_bound().of_images(outputs), want.sum(1), rtol=1e-8)
    for first, last in [(1, 1), (2, 7), (N_STEPS, N_STEPS)]:
        part = net.variational_bound((first, last)).of_images(outputs)
        np.testing.assert_allclose(part, want[:, first - 1 : last].sum(1), rtol=1e-8)


def test_fewer_draws_estimate_the_bound(net):
    X, _ = digits()
    every, some = (
        net.variational_bound().of_images(net.set_params(n_draws=k).forward(X)).mean()
        for k in (4 * N_STEPS, N_DRAWS)
    )
    # Half of the steps with one noise each, against every step with four. Measured difference, with
    # three nets: -.23.
    np.testing.assert_allclose(some, every, rtol=0.35)


def test_scores_for_the_bound_differ_from_scores_for_the_loss(net):
    X, y = digits()
    scorer = InfluenceScorer(FrozenEstimator(net)).fit(X[:50], y[:50], X_val=X[50:], y_val=y[50:])
    other = scorer.retarget(net.variational_bound((1, 3)), X[:50], y[:50])
    assert np.corrcoef(scorer.scores_, other.scores_)[0, 1] < 0.99


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"normalize": "both"},
        {"curvature": DataInf()},
        {"curvature": EKFAC()},
        {"ensemble": Seeds(2)},
        {"ensemble": Checkpoints(3)},
        {"ensemble": Seeds(2, each=Checkpoints(2)), "target": VariationalBound(N_STEPS)},
    ],
    ids=repr,
)
def test_every_option_of_the_scorer_works(params):
    X, y = digits(50)
    scorer = InfluenceScorer(diffusion(max_epochs=3), random_state=0, **params)
    scorer.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])

    matrix = influence_matrix(scorer, X[:40], y[:40])

    assert np.isfinite(scorer.scores_).all()
    assert len(np.unique(scorer.scores_)) == 40
    scale = np.abs(scorer.scores_).max()
    np.testing.assert_allclose(matrix.mean(1), scorer.scores_, rtol=1e-3, atol=1e-4 * scale)
    np.testing.assert_allclose(
        scorer.score_samples(X[:5], y[:5]), scorer.scores_[:5], rtol=1e-3, atol=1e-4 * scale
    )


def test_the_curvature_matrix_is_that_of_the_squared_loss(exact):
    X = torch.from_numpy(digits(6)[0]).double()
    fnet = FunctionalNet(exact)
    generator = torch.Generator().manual_seed(0)
    u = {n: torch.randn(p.shape, generator=generator).to(p) for n, p in fnet.params.items()}

    found = ggnvp(fnet, [(X, torch.zeros(6))], u)

    outputs, product = torch.func.jvp(lambda p: fnet.outputs(p, X), (fnet.params,), (u,))
    leaves = {n: p.detach().requires_grad_() for n, p in fnet.params.items()}
    scaled = 2 * product / outputs.numel()
    want = torch.autograd.grad(fnet.outputs(leaves, X), list(leaves.values()), scaled)
    for got, expected in zip(found.values(), want, strict=True):
        torch.testing.assert_close(got, expected)


def test_noise_sampled_by_a_curvature_replaces_the_true_noise(net):
    X = torch.from_numpy(digits()[0])
    fnet = FunctionalNet(net)
    outputs = fnet.outputs(fnet.params, X).detach()
    assert (fnet.losses(outputs, X, outputs) == 0).all()
    drawn = fnet.sampled_labels(outputs, torch.zeros(60), torch.Generator().manual_seed(0))
    # The mean of k squares is the loss of k normal errors of variance k / 2; its mean is k / 2.
    per_row = fnet.losses(outputs, X, drawn)
    np.testing.assert_allclose(per_row.mean(), 0.5 * N_DRAWS * 64, rtol=0.05)


def test_labels_are_not_used(net):
    X, y = digits()
    of_classes = InfluenceScorer(FrozenEstimator(net), random_state=0).fit(X, y)
    of_images = InfluenceScorer(FrozenEstimator(net), random_state=0).fit(X, X)
    np.testing.assert_array_equal(of_classes.scores_, of_images.scores_)
    np.testing.assert_array_equal(
        of_classes.score_samples(X[:7], y[:7]), of_classes.score_samples(X[:7], y[:7] + 1)
    )


def test_any_module_with_the_signature_works():
    X, y = digits(40)
    own = DenoisingDiffusion(Convolutions, n_steps=N_STEPS, n_draws=4, max_epochs=2)
    scorer = InfluenceScorer(own, normalize="rows", random_state=0).fit(X, y)
    assert np.isfinite(scorer.scores_).all()


class FixedDrawsInTraining(DenoisingDiffusion):
    """Trains on the fixed draws, so that two trainings differ only by their rows."""

    def infer(self, x, **fit_params):
        self._set_training(False)
        return super().infer(x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        return super().get_loss(y_pred, y_true, X=X)


def test_sums_of_scores_predict_retraining():
    X, y = digits(70, classes=2)
    X, Q, y, y_ref = X[:60], X[60:], y[:60], np.zeros(10)
    net = FixedDrawsInTraining(
        module__hidden=(32,),
        n_steps=50,
        n_draws=10,
        max_epochs=150,
        lr=0.02,
        batch_size=-1,
        optimizer__weight_decay=3e-3,
    )
    kept = draw_subsets(60, 12, stratify=y, random_state=0)
    truth = retrain(
        net, X, y, kept, Q, y_ref, random_state=0, outcome=lambda f, X, y: -f.score_samples(X)
    )
    lds = {}
    for name, curvature in {"plain": None, "EK-FAC": EKFAC(n_samples=5)}.items():
        scorer = InfluenceScorer(net, curvature=curvature, random_state=0)
        matrix = influence_matrix(scorer.fit(X, y, X_val=Q, y_val=y_ref), X, y)
        lds[name] = linear_datamodeling_score(matrix, kept, truth, n_resamples=1)["lds"]
    # Measured with two seeds: .83 and .84 with EK-FAC, .31 and .33 with plain inner products.
    assert lds["EK-FAC"] > 0.6
    assert lds["EK-FAC"] > lds["plain"] + 0.2


def test_parameters_clones_and_pickles(net):
    X, _ = digits()
    other = clone(net).set_params(n_steps=7, module__hidden=(4,))
    assert other.get_params()["n_steps"] == 7
    assert clone(other).n_draws == N_DRAWS
    assert not hasattr(other, "image_shape_")
    loaded = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(loaded.sample(2, random_state=0), net.sample(2, random_state=0))
    np.testing.assert_array_equal(loaded.score_samples(X), net.score_samples(X))
    target = clone(VariationalBound(50, "cosine", steps=(1, 5)))
    assert target.get_params() == {"n_steps": 50, "schedule": "cosine", "steps": (1, 5)}


def test_a_search_chooses_by_the_error_on_held_out_images():
    X, _ = digits(100)
    torch.manual_seed(0)
    search = GridSearchCV(diffusion(max_epochs=30), {"lr": [1e-5, 1e-2]}, cv=2).fit(X)
    assert search.best_params_ == {"lr": 1e-2}
    assert search.best_score_ < 0


def test_partial_fit_continues_and_validation_uses_the_fixed_loss(net):
    X, _ = digits()
    torch.manual_seed(0)
    own = diffusion(train_split=ValidSplit(0.2, random_state=0)).fit(X)
    before = own.score(X)
    own.partial_fit(X)
    assert len(own.history) == 10
    assert own.score(X) > before
    # Without learning the loss is about 1, the mean square of the fixed noises.
    assert 0.2 < own.history[-1, "valid_loss"] < 1.1


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_draws": 0}, r"n_draws=0\): expected an integer, 1 or more"),
        ({"n_steps": 1}, "n_steps=1: expected an integer, 2 or more"),
        ({"n_steps": 2.5}, "n_steps=2.5: expected an integer"),
        ({"schedule": "sigmoid"}, "schedule='sigmoid': expected 'cosine' or 'linear'"),
    ],
)
def test_parameters_without_a_schedule_are_refused(params, words):
    with pytest.raises(ValueError, match=words):
        diffusion(**params).fit(digits()[0])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros(5, dtype=np.float32), r"X is of shape \(5,\)"),
        ({"a": np.zeros((3, 4))}, "X is of type dict"),
        (np.full((3, 4), 16.0), "X has values from 16 to 16, .* between -1 and 1: scale them"),
    ],
)
def test_input_other_than_images_is_refused(X, words):
    with pytest.raises(ValueError, match=words):
        diffusion().fit(X)


def test_sample_needs_a_fitted_net_and_a_number(net):
    with pytest.raises(NotFittedError):
        diffusion().sample()
    with pytest.raises(ValueError, match="n_samples=0: expected an integer, 1 or more"):
        net.sample(0)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((0, 5), r"expected steps=\(first, last\) with 1 <= first <= last <= 40"),
        ((5, 41), "1 <= first <= last <= 40"),
        ((9, 8), "1 <= first <= last <= 40"),
    ],
)
def test_steps_outside_of_the_schedule_are_refused(net, steps, words):
    with pytest.raises(ValueError, match=words):
        net.variational_bound(steps).of_images(net.forward(digits()[0]))


def test_a_bound_without_draws_or_for_another_net_is_refused(net):
    X, _ = digits()
    (missed,) = set(range(1, 3)) - set(fixed_draws(N_DRAWS, 64, N_STEPS)[0].tolist())
    with pytest.raises(ValueError, match="none of the 20 fixed draws is at one of these steps"):
        net.variational_bound((missed, missed)).of_images(net.forward(X))
    with pytest.raises(ValueError, match=r"outputs of shape \(3, 2\); expected outputs of"):
        VariationalBound().of_images(torch.zeros(3, 2))
