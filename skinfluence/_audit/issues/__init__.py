"""What is wrong with a table, apart from single labels: one kind of issue per object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from skinfluence._audit.issues.confusion import Confusion
from skinfluence._audit.issues.context import Context, Issue, Kind
from skinfluence._audit.issues.duplicates import Contradictions, Duplicates, NearDuplicates
from skinfluence._audit.issues.groups import Groups
from skinfluence._audit.issues.leakage import Leakage
from skinfluence._audit.issues.outliers import Outliers
from skinfluence._audit.issues.overlap import Overlap, check_against
from skinfluence._audit.issues.spellings import Spellings
from skinfluence._audit.table import AuditError, shorten

__all__ = [
    "KINDS",
    "Context",
    "Issue",
    "Kind",
    "as_frame",
    "check_against",
    "chosen_kinds", "find_issues",
]  # fmt: skip

# What changes labels most comes first. A new kind is a new object here.
KINDS: tuple[Kind, ...] = (
    Contradictions(),
    Leakage(),
    Spellings(),
    Confusion(),
    Groups(),
    Duplicates(),
    NearDuplicates(),
    Overlap(),
    Outliers(),
)


def find_issues(
    context: Context, only: Iterable[str] = (), skip: Iterable[str] = ()
) -> list[Issue]:
    """Look for all kinds of issues, or for the chosen ones.

    Parameters
    ----------
    context : Context
        The table, its labels, and what the audit found out about them.
    only, skip : iterable of str
        Names of kinds to look for, and to leave out. If `only` is empty, it means all.

    Returns
    -------
    issues : list of Issue
        The kinds that were found, in the order of `KINDS`.

    Raises
    ------
    AuditError
        If a kind is unknown.
    """
    found = (kind.find(context) for kind in chosen_kinds(only, skip))
    return [issue for issue in found if issue is not None]


def chosen_kinds(only: Iterable[str] = (), skip: Iterable[str] = ()) -> list[Kind]:
    """The kinds in `only`, or all, without those in `skip`; raise AuditError if one is unknown.

    An item may also be several names with commas between them.
    """
    names = [kind.name for kind in KINDS]
    only, skip = _split(only), _split(skip)
    for option, given in (("--only", only), ("--skip", skip)):
        for name in given:
            if name not in names:
                raise AuditError(
                    f"{option} {shorten(name, 40)!r} is not a kind of issue; the kinds are: "
                    f"{', '.join(names)}."
                )
    return [kind for kind in KINDS if kind.name in (only or names) and kind.name not in skip]


def _with_gaps(details: pd.DataFrame) -> pd.DataFrame:
    """The details with integers that stay integers where other kinds have no value."""
    integers = details.select_dtypes("integer").columns
    return details.astype(dict.fromkeys(integers, "Int64"))


def _split(names: Iterable[str]) -> list[str]:
    texts = [names] if isinstance(names, str) else names
    parts = (part.strip() for text in texts for part in text.split(","))
    return [part for part in parts if part]


def as_frame(issues: Sequence[Issue]) -> pd.DataFrame:
    """All issues in one DataFrame: the kind, the number of the row, and the details of each kind.

    Row 1 is the first row under the header. A line about a column or a group has no row.
    """
    frames = [_with_gaps(issue.details).assign(kind=issue.kind) for issue in issues]
    if not frames:
        return pd.DataFrame({"kind": pd.Series(dtype=object), "row": pd.Series(dtype="Int64")})
    together = pd.concat(frames, ignore_index=True)
    rows = together.get("row", pd.Series(pd.NA, index=together.index)).astype("Int64")
    others = [name for name in together if name not in ("kind", "row")]
    return pd.concat([together["kind"], rows.rename("row"), together[others]], axis=1)
