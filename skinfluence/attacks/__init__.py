"""Attacks: small changes to rows that make a net err, for the robustness target and for defense.

An attack is any callable ``attack(net, X, y)``. ``net`` is a fitted skorch net, ``X`` holds the
rows in the form that the net accepts, and ``y`` holds the labels in the form that its criterion
accepts. The attack returns the changed rows, in the same shape as ``X``, and modifies none of its
arguments.

:class:`FGSM`, :class:`PGD` and :class:`Crossing` use gradients of the net. :class:`FromART` wraps
the attacks of the adversarial-robustness-toolbox, some of which use only predicted labels.
"""

from skinfluence.attacks._art import FromART
from skinfluence.attacks._base import Attack
from skinfluence.attacks._gradient import FGSM, PGD, Crossing
from skinfluence.attacks._reference import attack_rows as attack_rows

__all__ = ["FGSM", "PGD", "Attack", "Crossing", "FromART"]
