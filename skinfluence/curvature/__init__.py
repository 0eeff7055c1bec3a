"""Curvatures: solvers for u = (M + λI)^-1 v.

M is the Hessian of the mean training loss, or an approximation of this Hessian. A curvature reads
the training rows in `prepare`, which returns a solver for any number of directions v. Without a
curvature, u = v, and scores are plain inner products.
"""

from skinfluence.curvature._base import Curvature, check_curvature
from skinfluence.curvature._exact import Exact
from skinfluence.curvature._iterative import CG, LiSSA
from skinfluence.curvature._layerwise import EKFAC, DataInf

__all__ = ["CG", "EKFAC", "Curvature", "DataInf", "Exact", "LiSSA", "check_curvature"]
