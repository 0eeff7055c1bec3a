"""The user's net is copied and read, and never changed."""

import copy
import threading

import numpy as np
import pytest
import torch
from core_cases import losses_of, random_directions
from sklearn.base import clone
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import SequentialSampler
from zoo import initialized, loop_gradients, make, rows_for

from skinfluence._core.ghost import Ghost
from skinfluence._core.gradients import forward, hvp, pullback, pushforward, row_gradients
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import check_gradients
from skinfluence._core.shell import copy_module
from skinfluence.nets import MLP

F = nn.functional


def use_everything(net, X, y):
    fnet = FunctionalNet(net)
    for Xb, yb in fnet.batches(X, y):
        f = forward(fnet, Xb)
        G = fnet.cotangents(f, Xb, yb)
        u = pullback(fnet, Xb, G)
        pushforward(fnet, Xb, {n: v.unsqueeze(0) for n, v in u.items()})
        row_gradients(fnet, Xb, G)
        Ghost(fnet, Xb).square_norms(Xb, G)
        fnet.plain_outputs(Xb)
    hvp(fnet, fnet.batches(X, y), u)
    fnet.at(net.module_.state_dict())


@pytest.fixture
def used(request):
    """A net after all was done with it; its module, and torch's random state, before."""
    net, X, y = make(request.param)
    before = copy.deepcopy(net.module_)
    random_state = torch.get_rng_state()
    use_everything(net, X, y)
    return net, before, random_state


delicate = pytest.mark.parametrize(
    "used",
    ["dropout", "residual batchnorm2d", "lstm", "transformer encoder", "tied"],
    indirect=True,
)


@delicate
def test_weights_and_buffers_stay_bit_identical(used):
    net, before, _ = used
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]), name


@delicate
def test_train_flags_stay_as_they_were(used):
    net, before, _ = used
    assert [m.training for m in net.module_.modules()] == [m.training for m in before.modules()]


@delicate
def test_no_hook_is_left_on_the_module(used):
    net, _, _ = used
    for module in net.module_.modules():
        kinds = ("forward", "forward_pre", "backward", "backward_pre")
        assert not any(getattr(module, f"_{kind}_hooks") for kind in kinds)


@delicate
def test_no_gradient_is_left_on_a_parameter(used):
    net, _, _ = used
    assert all(p.grad is None for p in net.module_.parameters())


@delicate
def test_requires_grad_stays_as_it_was(used):
    net, before, _ = used
    wants = [p.requires_grad for p in net.module_.parameters()]
    assert wants == [p.requires_grad for p in before.parameters()]


@delicate
def test_the_random_state_of_torch_is_not_advanced(used):
    assert torch.equal(used[2], torch.get_rng_state())


def test_an_embedding_with_max_norm_does_not_rewrite_the_weights():
    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 4, max_norm=0.5), nn.Linear(4, 3)

        def forward(self, X):
            return self.head(self.embed(X).mean(1))

    X, _ = rows_for("embedding")
    net = initialized(Bounded())
    before = net.module_.embed.weight.detach().clone()
    fnet = FunctionalNet(net)
    forward(fnet, torch.as_tensor(X))
    assert torch.equal(before, net.module_.embed.weight)


def test_a_forward_that_writes_into_a_buffer_does_not_write_into_the_users():
    class Counts(nn.Linear):
        def __init__(self):
            super().__init__(5, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, X):
            self.calls.add_(1)
            return super().forward(X)

    net = initialized(Counts())
    use_everything(net, *rows_for("mlp"))
    assert net.module_.calls.item() == 0


def test_a_module_that_stores_a_tensor_of_its_last_pass_can_be_copied():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, X):
            self.hidden = self.body(X)
            return self.head(self.hidden)

    X, y = rows_for("mlp")
    net = initialized(Remembers())
    net.module_(torch.as_tensor(X))
    assert not net.module_.hidden.is_leaf
    np.testing.assert_allclose(
        losses_of(net, X, y),
        F.cross_entropy(net.module_(torch.as_tensor(X)), torch.as_tensor(y), reduction="none")
        .detach()
        .numpy(),
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("*", ["0.weight", "0.bias", "2.weight", "2.bias"]),
        ("2.*", ["2.weight", "2.bias"]),
        ("*.bias", ["0.bias", "2.bias"]),
        (["2.weight", "0.b*"], ["0.bias", "2.weight"]),
        (("*.weight",), ["0.weight", "2.weight"]),
    ],
)
def test_parameters_are_globs_over_names(parameters, names):
    net, _, _ = make("mlp")
    assert list(FunctionalNet(net, parameters).params) == names


def test_a_glob_without_a_match_lists_the_parameter_names():
    net, _, _ = make("mlp")
    message = (
        r"parameters='head\.\*' matches no trainable parameter of the module; it has: 0\.weight, "
        r"0\.bias, 2\.weight, 2\.bias\."
    )
    with pytest.raises(ValueError, match=message):
        FunctionalNet(net, "head.*")


def test_the_error_names_a_net_whose_parameters_are_all_frozen():
    net, _, _ = make("mlp")
    net.module_.requires_grad_(False)
    with pytest.raises(ValueError, match=r"it has: none \(all 4 are frozen\)"):
        FunctionalNet(net)


def test_frozen_parameters_are_left_out():
    net, _, _ = make("frozen first layer")
    assert list(FunctionalNet(net).params) == ["2.weight", "2.bias"]


def test_a_shared_parameter_counts_once():
    net, _, _ = make("tied")
    assert list(FunctionalNet(net).params) == ["embed.weight", "mix.weight", "mix.bias"]


def test_parameters_outside_the_module_are_refused():
    class Learned(nn.CrossEntropyLoss):
        def __init__(self):
            super().__init__()
            self.temperature = nn.Parameter(torch.ones(()))

    net = initialized(nn.Linear(5, 3), criterion=Learned)
    with pytest.raises(ValueError, match=r"outside its module \(temperature\)"):
        FunctionalNet(net)


def test_a_compiled_net_has_the_names_of_its_module():
    net, _, _ = make("mlp", compile=True, compile__backend="eager")
    assert list(FunctionalNet(net).params) == ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize("key", ["sampler", "batch_sampler"])
def test_a_sampler_is_refused(key):
    net, _, _ = make("mlp", **{f"iterator_valid__{key}": SequentialSampler(range(7))})
    with pytest.raises(ValueError, match=f"iterator_valid__{key} is set on the net"):
        FunctionalNet(net)


def test_the_net_can_still_be_cloned():
    net, X, y = make("mlp")
    use_everything(net, X, y)
    assert clone(net).get_params()["criterion"] is nn.CrossEntropyLoss


def test_the_criterion_keeps_its_reduction():
    net, X, y = make("mlp", criterion__reduction="sum")
    losses_of(net, X, y)
    assert net.criterion_.reduction == "sum"


class LockedHook:
    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, *args):
        with self.lock:
            return None


class CopiedHook(LockedHook):
    def __deepcopy__(self, memo):
        return CopiedHook()


def test_a_hook_that_holds_a_lock_is_refused_with_the_way_out():
    module = nn.Sequential(nn.Linear(2, 2))
    handle = module[0].register_forward_hook(LockedHook())
    with pytest.raises(TypeError, match=r"Sequential holds an object that cannot be copied.*lock"):
        copy_module(module)
    handle.remove()
    module[0].register_forward_hook(CopiedHook())
    assert copy_module(module)(torch.ones(1, 2)).shape == (1, 2)


def test_an_attribute_that_is_a_lock_is_refused():
    module = nn.Linear(2, 2)
    module.lock = threading.Lock()
    with pytest.raises(TypeError, match="Remove the hook or attribute first"):
        copy_module(module)


# Modules that write into their weights ---------------------------------------------------------


class DividesData(nn.Linear):
    """Renormalizes its weight by a new `.data`."""

    def forward(self, X):
        self.weight.data = self.weight.data / self.weight.data.norm(dim=1, keepdim=True)
        return super().forward(X)


class ScalesData(nn.Linear):
    """Renormalizes its weight in place, outside autograd."""

    def forward(self, X):
        self.weight.data.div_(self.weight.data.norm(dim=1, keepdim=True))
        return super().forward(X)


class Clamps(nn.Linear):
    def forward(self, X):
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
        return super().forward(X)


class Copies(nn.Linear):
    def forward(self, X):
        with torch.no_grad():
            self.weight.copy_(torch.clamp(self.weight, max=0.1))
        return super().forward(X)


class Merges(nn.Linear):
    """Adds an adapter to its weight in eval mode, as loralib does."""

    def __init__(self, *args):
        super().__init__(*args)
        self.A, self.B = nn.Parameter(torch.randn(2, 5)), nn.Parameter(torch.randn(3, 2))
        self.merged = False

    def train(self, mode=True):
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * (self.B @ self.A).detach()
            self.merged = not mode
        return super().train(mode)

    def forward(self, X):
        return super().forward(X) + (0 if self.merged else X @ self.A.T @ self.B.T)


WRITERS = [DividesData, ScalesData, Clamps, Copies, Merges]
each_writer = pytest.mark.parametrize("writer", WRITERS)


def written(writer, **params):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = initialized(nn.Sequential(writer(5, 3), nn.Tanh(), nn.Linear(3, 3)), **params)
    return net, *rows_for("mlp", n=30)


@each_writer
@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
@pytest.mark.parametrize("params", [{}, {"batch_size": 4}], ids=str)
def test_a_module_that_writes_into_its_weights_does_not_change_the_users(writer, params):
    net, X, y = written(writer, **params)
    before = {n: (t.clone(), t.data_ptr()) for n, t in net.module_.state_dict().items()}
    check_gradients(FunctionalNet(net), X, y)
    use_everything(net, X, y)
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, before[name][0])
        assert value.data_ptr() == before[name][1]


@each_writer
@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["own state", "other state"])
def test_gradients_of_a_module_that_writes_are_those_of_a_copy(writer, elsewhere, monkeypatch):
    net, X, y = written(writer)
    state = {n: t.clone() for n, t in net.module_.state_dict().items()}
    if elsewhere:
        state = {n: t * 1.3 for n, t in state.items()}
    given = {n: t.clone() for n, t in state.items()}
    fnet = FunctionalNet(net).at(state)
    Xb, yb = next(fnet.batches(X, y))
    rows = row_gradients(fnet, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb))
    assert all(torch.equal(state[n], given[n]) for n in state)
    other = copy.deepcopy(net)
    other.module_.load_state_dict(state)
    # Merged adapters have the same outputs, but no gradients.
    monkeypatch.setattr(Merges, "train", nn.Module.train)
    want = loop_gradients(other, X, y)
    U = random_directions(fnet, 2)
    flat = torch.cat([u.reshape(len(u), -1) for u in U.values()], 1).numpy()
    _, t = pushforward(fnet, Xb, U)
    along = (t * fnet.cotangents(forward(fnet, Xb), Xb, yb)).sum(2).T
    np.testing.assert_allclose(along, want @ flat.T, rtol=0, atol=1e-9)
    got = torch.cat([g.flatten(1) for g in rows.values()], 1)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())


def test_the_search_for_writes_does_not_run_hooks():
    net, X, _ = make("mlp")
    fnet, sizes = FunctionalNet(net), []
    fnet.shell[0].register_forward_hook(lambda layer, inputs, f: sizes.append(len(f)))
    forward(fnet, torch.as_tensor(X))
    assert sizes == [len(X)]


class OwnLinear(nn.Linear):
    pass


def with_hook(layer):
    layer.register_forward_pre_hook(lambda layer, inputs: None)
    return layer


def with_own_forward(layer):
    layer.forward = lambda X: F.linear(X, layer.weight)
    return layer


class OwnInfer(NeuralNetClassifier):
    def infer(self, x, **params):
        return super().infer(x.relu_(), **params)


KNOWN = {
    "linear": nn.Linear(5, 3),
    "layers": nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3)),
    "MLP": MLP(5, 3, (4,)),
}
IN_DOUBT = {
    "own layer": OwnLinear(5, 3),
    "own container": type("Own", (nn.Sequential,), {})(nn.Linear(5, 3)),
    "in place": nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 3)),
    "lookup": nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(3, 3)),
    "hook": with_hook(nn.Linear(5, 3)),
    "inner hook": nn.Sequential(with_hook(nn.Linear(5, 3))),
    "own forward": with_own_forward(nn.Linear(5, 3)),
    "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Linear(5, 3)),
    "encoder": nn.TransformerEncoderLayer(4, 2, activation=lambda x: x.relu_()),
}


@pytest.mark.parametrize("case", [*KNOWN, *IN_DOUBT])
def test_a_forward_is_known_if_all_layers_are_those_of_torch(case):
    net = initialized((KNOWN | IN_DOUBT)[case])
    assert FunctionalNet(net).is_known is (case in KNOWN)


def test_a_forward_is_not_known_if_the_net_or_its_loss_may_do_anything():
    assert not FunctionalNet(initialized(nn.Linear(5, 3), OwnInfer)).is_known

    class OwnLoss(nn.CrossEntropyLoss):
        pass

    fnet = FunctionalNet(initialized(nn.Linear(5, 3), criterion=OwnLoss))
    assert fnet.has_known_forward
    assert not fnet.is_known
