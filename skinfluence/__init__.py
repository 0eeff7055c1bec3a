"""Find the training rows that hurt a model, and drop, relabel or reweight them.

``import skinfluence`` imports the four estimators. A public module, such as
``skinfluence.pairwise``, and the function ``skinfluence.audit`` are imported when they are first
used.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from skinfluence._detector import NoisyLabelDetector
from skinfluence._filtered import FilteredEstimator
from skinfluence._scorer import InfluenceScorer
from skinfluence._selector import InfluenceSampleSelector
from skinfluence._version import __version__ as __version__

if TYPE_CHECKING:
    from skinfluence import (  # noqa: F401  for type checkers and editors
        active,
        attacks,
        columns,
        curvature,
        datasets,
        diffusion,
        ensembles,
        images,
        methods,
        metrics,
        nets,
        pairwise,
        plotting,
        retraining,
        rules,
        stream,
        subsets,
        targets,
        text,
    )

    def audit(table: Any, label: str | None = None, **options: Any) -> Any: ...


__all__ = [
    "FilteredEstimator",
    "InfluenceSampleSelector",
    "InfluenceScorer",
    "NoisyLabelDetector",
]

_MODULES = {found.name for found in iter_modules(__path__) if not found.name.startswith("_")}

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> Any:
        if name == "audit":
            return import_module("skinfluence._audit").audit_table
        if name in _MODULES:
            return import_module(f"skinfluence.{name}")
        raise AttributeError(f"module 'skinfluence' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, "audit"})
