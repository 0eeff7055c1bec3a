"""Fused kernels are off inside, and each flag of the process is restored afterwards."""

import sys
import threading

import pytest
import torch
from core_cases import random_directions
from torch import nn
from zoo import initialized, rows_for

from skinfluence._core.gradients import pushforward
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet

FLAGS = {
    "attention fast path": (
        torch.backends.mha.get_fastpath_enabled,
        torch.backends.mha.set_fastpath_enabled,
    ),
    "mkldnn": (
        lambda: torch.backends.mkldnn.enabled,
        lambda value: setattr(torch.backends.mkldnn, "enabled", value),
    ),
    "cudnn": (
        lambda: torch.backends.cudnn.enabled,
        lambda value: setattr(torch.backends.cudnn, "enabled", value),
    ),
    "flash attention": (
        torch.backends.cuda.flash_sdp_enabled,
        torch.backends.cuda.enable_flash_sdp,
    ),
    "memory-efficient attention": (
        torch.backends.cuda.mem_efficient_sdp_enabled,
        torch.backends.cuda.enable_mem_efficient_sdp,
    ),
}


class EveryKernel(nn.Module):
    """Has each layer for which a kernel is switched off."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, X):
        h, _ = self.lstm(X)
        return self.head(self.attention(h, h, h, need_weights=False)[0].mean(1))


@pytest.fixture
def kernels():
    return FunctionalNet(initialized(EveryKernel()))


@pytest.fixture
def often_switched():
    """Make threads switch a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=FLAGS)
def flag(request):
    read, write = FLAGS[request.param]
    before = read()
    yield read, write
    write(before)


@pytest.mark.parametrize("before", [True, False])
def test_a_flag_is_off_inside_and_restored_after(flag, kernels, before):
    read, write = flag
    write(before)
    with plain_kernels(kernels):
        assert read() is False
    assert read() is before


@pytest.mark.parametrize("before", [True, False])
def test_a_flag_is_restored_after_an_exception(flag, kernels, before):
    read, write = flag
    write(before)
    with pytest.raises(KeyError), plain_kernels(kernels):
        raise KeyError
    assert read() is before


def test_a_flag_is_restored_after_nested_passes(flag, kernels):
    read, write = flag
    write(True)
    with plain_kernels(kernels):
        with plain_kernels(kernels):
            pass
        assert read() is False
    assert read() is True


def test_a_flag_stays_off_until_both_threads_are_out(flag, kernels):
    read, write = flag
    write(True)
    entered, leave = threading.Event(), threading.Event()

    def first():
        with plain_kernels(kernels):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(10)
    with plain_kernels(kernels):
        leave.set()
        thread.join()
        inside = read()
    assert (inside, read()) == (False, True)


@pytest.mark.parametrize("number", [1, 2])
def test_two_threads_get_the_same_numbers_as_one(kernels, number, often_switched):
    X = torch.as_tensor(rows_for("lstm")[0])
    U = random_directions(kernels, number)
    _, want = pushforward(kernels, X, U)
    found = []

    def work():
        fnet = FunctionalNet(kernels._net)
        for _ in range(10):
            found.append(pushforward(fnet, X, U)[1])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(torch.allclose(t, want, rtol=1e-12, atol=1e-12) for t in found)
