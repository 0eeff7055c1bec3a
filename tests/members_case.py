"""A net with three members of an ensemble, and the gradients of rows at each."""

import copy
from types import SimpleNamespace

import numpy as np
import torch
from zoo import loop_gradients, make

from skinfluence._core.directions import Objective, directions
from skinfluence._core.members import InnerProducts, Member
from skinfluence._core.net import FunctionalNet
from skinfluence.targets import Utility

N, N_REFERENCE = 60, 9
LABELS = np.arange(3)
WEIGHTS = [0.5, 0.2, 1.3]


class MembersCase:
    """A net with three members, and the gradients of rows at each member."""

    def __init__(self, name="mlp", dtype=torch.float64):
        self.net, *_ = make(name, dtype, batch_size=16)
        rng = np.random.RandomState(3)
        self.X, self.y = rng.randn(N, 5), rng.randint(0, 3, N)
        self.new, self.new_y = rng.randn(11, 5), rng.randint(0, 3, 11)
        self.reference = rng.randn(N_REFERENCE, 5), rng.randint(0, 3, N_REFERENCE)
        self.modules, generator = [self.net.module_], torch.Generator().manual_seed(0)
        for _ in range(2):
            module = copy.deepcopy(self.net.module_)
            with torch.no_grad():
                for t in module.parameters():
                    t += 0.3 * torch.randn(t.shape, generator=generator).to(t)
            self.modules.append(module)
        states = [{}, *(module.state_dict() for module in self.modules[1:])]
        pairs = zip(states, WEIGHTS, strict=True)
        self.members = [Member(state, weight) for state, weight in pairs]
        self.fnet = FunctionalNet(self.net)
        self.objective = Objective(Utility(), *self.reference, True)

    def directions(self, **options):
        return [directions(self.fnet.at(m.state), self.objective, **options) for m in self.members]

    def inner_products(self, normalize=False, **options):
        return InnerProducts(self.members, self.directions(**options), normalize=normalize)

    def gradients(self, X, y):
        """Gradients of rows at each member, (3, n, p), by a loop."""
        twins = [SimpleNamespace(module_=module) for module in self.modules]
        return np.stack([loop_gradients(twin, X, y) for twin in twins])

    def pairs(self, X, y, normalize=False):
        """Scores by each member and reference row, (3, n, m), by a loop."""
        rows = self.gradients(X, y)
        if normalize:
            rows /= np.linalg.norm(rows, axis=2, keepdims=True)
        return np.einsum("knp,kmp->knm", rows, self.gradients(*self.reference)) / N_REFERENCE
