"""Curvature: v -> u = (M + λI)^-1 v, M the Hessian of the mean training loss or a stand-in for it.

A curvature looks at the training rows once (`prepare`) and then solves for as many directions as
it is given. None of them is the default: plain inner products are M + λI = I.
"""

from skinfluence.curvature._base import Curvature, check_curvature
from skinfluence.curvature._exact import Exact
from skinfluence.curvature._iterative import CG, LiSSA
from skinfluence.curvature._layerwise import EKFAC, DataInf

__all__ = ["CG", "EKFAC", "Curvature", "DataInf", "Exact", "LiSSA", "check_curvature"]
