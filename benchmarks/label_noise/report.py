"""Means with 95 % confidence intervals over the seeds, as text and as CSV for the docs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from arms import DEFAULT
from scipy import stats

MEASURES = ["AP", "AUC", "precision"]
SETTING = ["data", "kind", "rate", "reference"]
# Peers and floors: what a user could run instead. Influence scores of our own are not among them.
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

SHARES = {
    "noisy": DEFAULT,
    "clean": f"{DEFAULT}, clean reference rows",
    "cleanlab": "cleanlab, find_label_issues",
}


def write(lines: list[dict[str, Any]], folder: Path | None, lacking: list[str]) -> None:
    """Print all tables; write them where a folder is given."""
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
    if protocol:
        tables["label_noise_opendataval"] = overall(table(protocol), references=("clean",))
    for name, found in tables.items():
        print(f"\n{name}\n{found.to_string(index=False)}")
        if folder:
            found.to_csv(folder / f"{name}.csv", index=False)
    print(f"\n{seconds(lines)}")
    print(f"{len(lines)} settings; left out: {', '.join(lacking) or 'nothing'}")


def table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a setting, seed, reference and arm."""
    rows = [
        (line["data"], line["kind"], line["rate"], reference, line["seed"], arm, *values)
        for line in lines
        for reference in ("noisy", "clean")
        for arm, values in line[reference].items()
    ]
    found = pd.DataFrame(rows, columns=[*SETTING, "seed", "arm", *MEASURES])
    found["noise"] = found.kind + found.rate.map(lambda r: f" {r:g}" if r else "")
    return found


def interval(values: pd.Series) -> float:
    """Half the width of a 95 % confidence interval of the mean, by Student's t."""
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * values.std() / np.sqrt(n)) if n > 1 else np.nan


def overall(scores: pd.DataFrame, references: tuple[str, ...] = ("noisy", "clean")) -> Any:
    """Mean over all settings, and over seeds; intervals are over the seeds' means."""
    scores = scores[scores.reference.isin(references)]
    seeds = scores.groupby(["arm", "seed"])[MEASURES].mean()
    less = seeds.AP - seeds.AP.loc[DEFAULT].reindex(seeds.index.get_level_values("seed")).to_numpy()
    found = seeds.groupby("arm").mean()
    for measure in ("AP", "AUC"):
        found[f"{measure} ±"] = seeds[measure].groupby("arm").apply(interval)
    found["AP less the default's"] = less.groupby("arm").mean()
    found["its ±"] = less.groupby("arm").apply(interval)
    for reference in references:
        of = scores[scores.reference == reference]
        found[f"AP, {reference} reference"] = of.groupby("arm").AP.mean()
    columns = ["AP", "AP ±", "AUC", "AUC ±", "precision", "AP less the default's", "its ±"]
    columns += [c for c in found if c.startswith("AP, ")]
    return tidy(found[columns].sort_values("AP", ascending=False))


def by(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean AP by data set or by kind of noise: the default, the best peers, the table's best."""
    found = scores.pivot_table(index="arm", columns=column, values="AP")
    return tidy(found.loc[found.mean(axis=1).sort_values(ascending=False).index])


def worst(scores: pd.DataFrame) -> pd.DataFrame:
    """For each peer the default's mean lead, and the settings (means over seeds) it loses most."""
    means = scores.groupby([*SETTING, "arm"]).AP.mean().unstack("arm")
    peers = [p for p in PEERS if p in means]
    rows = []
    for peer in [*peers, "best peer of each setting"]:
        other = means[peers].max(axis=1) if peer not in means else means[peer]
        lead = means[DEFAULT] - other
        where = ", ".join(str(part) for part in lead.idxmin())
        rows.append((peer, lead.mean(), (lead > 0).mean(), lead.min(), where))
    columns = ["peer", "mean lead", "share won", "worst", "where"]
    return tidy(pd.DataFrame(rows, columns=columns).set_index("peer"), "peer")


def actions(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Clean test accuracy of nets retrained after each action."""
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
    means["gain"] = gain.groupby("arm").mean()
    means["±"] = gain.groupby("arm").apply(interval)
    kinds = found.pivot_table(index="arm", columns="kind", values="accuracy")
    return tidy(means.join(kinds).sort_values("accuracy %", ascending=False), "action", 2)


def shares(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """The estimated share of wrong labels against the truth."""
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return found.round(digits).rename_axis(name).reset_index()
