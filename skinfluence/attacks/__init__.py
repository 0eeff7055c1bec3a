"""Attacks: small changes to rows that make a net err, for the robustness target and for defense.

An attack is called as ``attack(net, X, y)``, with a fitted skorch net, rows as the net takes them
and labels as its criterion takes them. It returns changed rows of the same shape and modifies none
of its arguments; any such callable can be used. The attacks here need gradients. :class:`FromART`
wraps those of the adversarial-robustness-toolbox, some of which need predicted labels only.
"""

from skinfluence.attacks._art import FromART
from skinfluence.attacks._base import Attack
from skinfluence.attacks._gradient import FGSM, PGD, Crossing
from skinfluence.attacks._reference import attack_rows as attack_rows

__all__ = ["FGSM", "PGD", "Attack", "Crossing", "FromART"]
