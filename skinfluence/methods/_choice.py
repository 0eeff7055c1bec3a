"""Choose the method of a scorer, and the aggregation of its members' scores."""

from __future__ import annotations

from typing import Any

from skinfluence._core.aggregation import Aggregation, Mean, Ranks, Votes
from skinfluence._core.pairs import Pairs, reference_pairs
from skinfluence.methods._base import Case, Method, check_method
from skinfluence.methods._inner_product import InnerProduct


def method_of(scorer: Any) -> Method:
    """Return the method of a scorer; raise if an argument of the scorer does not affect it."""
    method = scorer.method
    if method is None:
        product = InnerProduct(scorer.normalize, scorer.classwise)
        product.check()
        return product
    check_method(method)
    for name in ("target", "curvature", "normalize", "classwise"):
        value = getattr(scorer, name)
        if name not in method.uses and value is not None and value is not False:
            raise ValueError(
                f"{name}={value!r} has no effect on method={method!r}. Remove {name}=, or remove "
                "method= to use the inner product with the target."
            )
    return method


def aggregate(how: str, method: Method, case: Case) -> Aggregation:
    """Return the aggregation named `how` ("mean", "ranks" or "votes") of a method's scores."""
    check_votes(how, method)
    if isinstance(method, InnerProduct) and how == "votes":
        reference = _reference_of_members(case)
        return Votes(case.members, reference, normalize=method.normalizes_rows)
    members = method.member_scores(case)
    return Ranks(members) if how == "ranks" else Mean(members)


def check_votes(how: str, method: Method) -> None:
    """Raise if votes are requested from a method that does not compare pairs of rows."""
    if how == "votes" and not isinstance(method, InnerProduct):
        raise ValueError(
            f"aggregate='votes' compares rows with reference rows, which method={method!r} does "
            "not do; use aggregate='mean' or 'ranks'."
        )


def _reference_of_members(case: Case) -> list[Pairs]:
    """Return reference rows and ∂T/∂f at each member; all members share one copy of the rows."""
    members = case.bar(case.members, "members")
    found = [reference_pairs(case.fnet.at(m.state), case.objective) for m in members]
    rows = [Xb for Xb, _ in found[0]]
    return [[(Xb, G) for Xb, (_, G) in zip(rows, pairs, strict=True)] for pairs in found]
