"""A small net whose training changes weights and buffers, and callbacks that watch or stop it."""

import copy
import signal

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skinfluence._fitting.fit import fit_net

rng = np.random.RandomState(0)
X, y = rng.randn(40, 5).astype(np.float32), np.arange(40) % 3
REFERENCE = rng.randn(9, 5).astype(np.float32), np.arange(9) % 3


class PressCtrlC(Callback):
    """Sends the signal of Ctrl-C to this process, in the middle of the second epoch."""

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 3))


class Diary(Callback):
    """Keeps the state of every epoch, and can stop the training."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def on_train_begin(self, net, **kwargs):
        self.states_ = {}

    def on_epoch_end(self, net, **kwargs):
        self.states_[len(net.history)] = copy.deepcopy(net.module_.state_dict())
        if len(net.history) == self.stop_after:
            raise KeyboardInterrupt  # as EarlyStopping does


def net_of(**params):
    params = {"criterion": nn.CrossEntropyLoss, "train_split": None, "verbose": 0} | params
    return NeuralNetClassifier(params.pop("module", MLP), **params)


def fitted(net, seed=0, checkpoints=1):
    return fit_net(net, X, y, REFERENCE, seed, checkpoints)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def epochs_of(net, states):
    """The epoch of each state, according to the diary."""
    (diary,) = (cb for _, cb in net.callbacks_ if isinstance(cb, Diary))
    return [next((e for e, kept in diary.states_.items() if same(s, kept)), None) for s in states]
