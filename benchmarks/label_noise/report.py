"""Means over the seeds with 95 % confidence intervals, printed and as CSV for the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from arms import DEFAULT
from scipy import stats

MEASURES = ["AP", "AUC", "precision"]
SETTING = ["data", "kind", "rate", "reference"]
LEAD = "AP minus the default's"
BEST = "the best other score of each setting"
# What a user could run instead. Other influence scores of this library are not among them.
PEERS = [
    "cleanlab, self_confidence",
    "cleanlab, normalized_margin",
    "loss, mean over checkpoints",
    "loss, final",
    "AUM",
    "KNN-Shapley",
    "self-influence, final",
    "self-influence, checkpoints",
    "outlier gradients, isolation forest",
    "outlier gradients, L1",
    "outlier gradients, L2",
    "IP (the paper's)",
    "IP Ensemble (dropout)",
    "Data-OOB (trees)",
]

# The rows that the page shows first; the others are behind a click.
SHORT = [
    DEFAULT,
    "loss, mean over checkpoints",
    "KNN-Shapley",
    "self-influence, checkpoints",
    "AUM",
    "Data-OOB (trees)",
    "cleanlab, self_confidence",
    "loss, final",
    "IP (the paper's)",
    "random",
]

SHARES = {
    "noisy": DEFAULT,
    "clean": f"{DEFAULT}, clean reference rows",
    "cleanlab": "cleanlab, find_label_issues",
}


def write(lines: list[dict[str, Any]], folder: Path | None, lacking: list[str]) -> None:
    """Print all tables, and write them if a folder is given."""
    protocol = [line for line in lines if line["data"] == "opendataval"]
    lines = [line for line in lines if line["data"] != "opendataval"]
    if not lines:
        return
    scores = table(lines)
    tables = {
        "label_noise": overall(scores),
        "label_noise_by_data": by(scores, "data"),
        "label_noise_by_kind": by(scores, "noise"),
        "label_noise_worst": worst(scores),
        "label_noise_actions": actions(lines),
        "label_noise_share": shares(lines),
        "label_noise_flags": flags(lines),
    }
    tables["label_noise_short"] = short(tables["label_noise"])
    if protocol:
        tables["label_noise_opendataval"] = overall(table(protocol), references=("clean",))
    for name, found in tables.items():
        print(f"\n{name}\n{found.to_string(index=False)}")
        if folder:
            found.to_csv(folder / f"{name}.csv", index=False)
    print(f"\n{seconds(lines)}")
    print(f"{len(lines)} settings; left out: {', '.join(lacking) or 'nothing'}")


def table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per setting, seed, kind of reference rows and score."""
    rows = [
        (line["data"], line["kind"], line["rate"], reference, line["seed"], arm, *values)
        for line in lines
        for reference in ("noisy", "clean")
        for arm, values in line[reference].items()
    ]
    found = pd.DataFrame(rows, columns=[*SETTING, "seed", "arm", *MEASURES])
    found["noise"] = found.kind + found.rate.map(lambda r: f" {r:g}" if r else "")
    return found


def half_width(values: pd.Series) -> float:
    """Half the width of a 95 % confidence interval of the mean, by Student's t."""
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * values.std() / np.sqrt(n)) if n > 1 else np.nan


def overall(scores: pd.DataFrame, references: tuple[str, ...] = ("noisy", "clean")) -> Any:
    """Means over all settings and seeds; the intervals are those of the seeds' means."""
    scores = scores[scores.reference.isin(references)]
    seeds = scores.groupby(["arm", "seed"])[MEASURES].mean()
    less = seeds.AP - seeds.AP.loc[DEFAULT].reindex(seeds.index.get_level_values("seed")).to_numpy()
    means = seeds.groupby("arm").mean().sort_values("AP", ascending=False)
    found = pd.DataFrame(index=means.index)
    for measure in ("AP", "AUC"):
        found[measure] = with_interval(seeds[measure])
    found["precision"] = means.precision
    found[LEAD] = with_interval(less, "+")
    for reference in references:
        of = scores[scores.reference == reference]
        found[f"AP, {reference} reference"] = of.groupby("arm").AP.mean()
    return tidy(found)


def with_interval(seeds: pd.Series, sign: str = "", digits: int = 3) -> pd.Series:
    """Mean ± half the width of the interval for each arm, in a cell that does not wrap."""
    groups = seeds.groupby("arm")
    pairs = zip(groups.mean(), groups.apply(half_width), strict=True)
    texts = [
        f"{mean:{sign}.{digits}f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{half:.{digits}f}"
        for mean, half in pairs
    ]
    return pd.Series(texts, index=groups.mean().index)


def short(overall: pd.DataFrame) -> pd.DataFrame:
    """The best-known scores alone."""
    return overall.loc[overall.score.isin(SHORT), ["score", "AP", "AUC", LEAD]]


def by(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean AP of each score by data set or by kind of noise."""
    found = scores.pivot_table(index="arm", columns=column, values="AP")
    return tidy(found.loc[found.mean(axis=1).sort_values(ascending=False).index])


def worst(scores: pd.DataFrame) -> pd.DataFrame:
    """The default's mean lead over each peer, and the setting that it loses by most."""
    means = scores.groupby([*SETTING, "arm"]).AP.mean().unstack("arm")
    peers = [p for p in PEERS if p in means]
    rows = []
    for peer in [*peers, BEST]:
        other = means[peers].max(axis=1) if peer not in means else means[peer]
        lead = means[DEFAULT] - other
        *setting, reference = lead.idxmin()
        where = ", ".join([*map(str, setting), f"{reference} reference"])
        rows.append((peer, lead.mean(), (lead > 0).mean(), lead.min(), where))
    columns = ["other score", "mean lead", "share won", "worst", "where"]
    return tidy(pd.DataFrame(rows, columns=columns).set_index("other score"), "other score")


def actions(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Accuracy on clean test rows of nets retrained after each action."""
    rows = [
        (line["data"], line["kind"], line["seed"], arm, 100 * value)
        for line in lines
        for arm, value in line.get("accuracy", {}).items()
    ]
    found = pd.DataFrame(rows, columns=["data", "kind", "seed", "arm", "accuracy"])
    seeds = found.groupby(["arm", "seed"]).accuracy.mean()
    none = seeds.loc["no action"]
    gain = seeds - none.reindex(seeds.index.get_level_values("seed")).to_numpy()
    means = pd.DataFrame({"accuracy %": seeds.groupby("arm").mean()})
    means["gain"] = with_interval(gain, "+", digits=2)
    kinds = found.pivot_table(index="arm", columns="kind", values="accuracy")
    return tidy(means.join(kinds).sort_values("accuracy %", ascending=False), "action", 2)


def shares(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Estimated share of wrong labels minus the true share."""
    lines = [line for line in lines if line["kind"] != "real"]
    rows = [
        (line["data"], line["truth"], SHARES[of], value - line["truth"])
        for line in lines
        for of, value in line["contamination"].items()
    ]
    found = pd.DataFrame(rows, columns=["data", "truth", "estimate", "error"])
    groups = found.groupby("estimate").error
    means = pd.DataFrame({"bias": groups.mean(), "mean absolute error": groups.apply(size)})
    by_data = found.pivot_table(index="estimate", columns="data", values="error")
    return tidy(means.join(by_data), "estimate")


def flags(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """F1 of the flagged rows."""
    rows = [(line["data"], of, f1) for line in lines for of, f1 in line["flags"].items()]
    found = pd.DataFrame(rows, columns=["data", "flags", "F1"])
    means = pd.DataFrame({"F1": found.groupby("flags").F1.mean()})
    return tidy(means.join(found.pivot_table(index="flags", columns="data", values="F1")), "flags")


def seconds(lines: list[dict[str, Any]]) -> str:
    found = pd.DataFrame([line["seconds"] for line in lines]).dropna(axis=1).mean()
    return "mean seconds: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items())


def size(values: pd.Series) -> float:
    return float(values.abs().mean())


def tidy(found: pd.DataFrame, name: str = "score", digits: int = 3) -> pd.DataFrame:
    """The index as a first column, and all numbers with the same decimals."""
    numbers = found.select_dtypes("number").columns
    written = found[numbers].map(lambda v: "" if np.isnan(v) else f"{v:.{digits}f}")
    return found.assign(**written).rename_axis(name).reset_index()
