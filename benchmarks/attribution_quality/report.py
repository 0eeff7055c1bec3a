"""The full table for download, and the tables of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

OURS = "skinfluence"
KEY = ["net", "method", "library"]
COLUMNS = [
    *KEY,
    "lds",
    "low",
    "high",
    "spread",
    "loo",
    "ap",
    "auc",
    "seconds",
    "passes",
    "row seconds",
    "trainings",
]
# The rows that the page shows first; the others are behind a click.
BEST_KNOWN = {
    "lds": [
        "Exact",
        "CG",
        "EKFAC, 20 draws",
        "EKFAC",
        "LiSSA",
        "Checkpoints",
        "DataInf",
        "LayerAware",
        "IP Ensemble",
        "IP",
    ],
    "ap": [
        "NoisyLabelDetector",
        "Margin, Checkpoints",
        "Loss, Checkpoints",
        "SelfInfluence, Checkpoints",
        "out-of-fold self-confidence",
        "Loss",
        "SelfInfluence",
        "EKFAC",
        "CG",
        "IP",
    ],
}


def merged(path: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table at `path`, in which this run's nets and libraries replace their earlier rows."""
    found = pd.DataFrame(rows, columns=COLUMNS)
    if path.exists():
        before = pd.read_csv(path)
        run = set(zip(found.net, found.library, strict=True))
        stays = [pair not in run for pair in zip(before.net, before.library, strict=True)]
        found = pd.concat([before[stays], found], ignore_index=True)
    nets = {name: k for k, name in enumerate(dict.fromkeys(found.net))}
    found["ours"] = found.library != OURS
    found["net order"] = found.net.map(nets)
    found = found.sort_values(
        ["net order", "ours", "lds", "ap"], ascending=[True, True, False, False]
    )
    return found[COLUMNS].round(4).reset_index(drop=True)


def write(found: pd.DataFrame, folder: Path) -> None:
    """The full table for download, and each table of the page, with its short form."""
    found.to_csv(folder / "attribution_quality.csv", index=False)
    pairs, rows = found[found.lds.notna()].copy(), found[found.ap.notna()].copy()
    pairs["LDS"] = [interval(*row) for row in pairs[["lds", "low", "high"]].to_numpy()]
    pairs["LOO"] = pairs.loo.map("{:.3f}".format)
    pairs["s"] = pairs.seconds.map("{:.3f}".format)
    pairs["passes"] = pairs.passes.map("{:,.0f}".format)
    rows["AP"], rows["AUC"] = rows.ap.map("{:.3f}".format), rows.auc.map("{:.3f}".format)
    tables = {
        "attribution_lds": table(pairs, ["LDS", "LOO"], "lds"),
        "attribution_lds_short": short(pairs, "LDS", "lds"),
        "attribution_noise": table(rows, ["AP", "AUC"], "ap"),
        "attribution_noise_short": short(rows, "AP", "ap"),
        "attribution_cost": table(pairs, ["s", "passes"], "lds"),
    }
    for name, made in tables.items():
        made.to_csv(folder / f"{name}.csv", index=False)


def interval(lds: float, low: float, high: float) -> str:
    """A score with its interval, in one cell that does not wrap."""
    return f"{lds:.3f} ({low:.3f} to {high:.3f})".replace(" ", "\N{NO-BREAK SPACE}")


def short(found: pd.DataFrame, column: str, by: str) -> pd.DataFrame:
    """The best-known methods alone, with one column per net."""
    ours = found[found.library.isin([OURS, "cleanlab"]) & found.method.isin(BEST_KNOWN[by])]
    made = table(ours, [column], by).drop(columns="library")
    return made.rename(columns=lambda name: name.removesuffix(f": {column}"))


def table(found: pd.DataFrame, columns: list[str], by: str) -> pd.DataFrame:
    """One row per method, the given columns for each net; the best average comes first."""
    wide = found.pivot(index=["method", "library"], columns="net", values=columns)
    order = found.groupby(["method", "library"])[by].mean().sort_values(ascending=False).index
    nets = list(dict.fromkeys(found.net))
    wide = wide.reindex(order)[[(c, net) for net in nets for c in columns]]
    wide.columns = [f"{net}: {c}" for c, net in wide.columns]
    return wide.fillna("").reset_index()
