"""One table of everything, tables of it for the docs, and the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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
WIDTH, HEIGHT = 6.3, 14.0  # pixels of a letter
# Okabe and Ito's colours, which the colour-blind tell apart; by what a method does.
FAMILIES = {
    "inner products": ("#0072B2", ("IP", "Grad", "LayerAware", "TracInCP, final")),
    "ensembles": ("#E69F00", ("Checkpoints", "Seeds", "TracInCP", "IP Ensemble")),
    "layer by layer": ("#009E73", ("EK", "KFAC", "DataInf")),
    "whole matrix": ("#D55E00", ("CG", "Exact", "LiSSA", "IF", "TRAK")),
}


def merged(path: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table at `path`, with the rows of the nets and libraries that were run now replaced."""
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
    found.to_csv(folder / "attribution_quality.csv", index=False)
    of_pairs = found[found.lds.notna()].copy()
    intervals = zip(of_pairs.lds, of_pairs.low, of_pairs.high, strict=True)
    of_pairs["LDS"] = [f"{lds:.3f} ({low:.2f} to {high:.2f})" for lds, low, high in intervals]
    of_pairs["LOO"] = of_pairs.loo.map("{:.3f}".format)
    table(of_pairs, ["LDS", "LOO"], "lds").to_csv(folder / "attribution_lds.csv", index=False)
    found = found.copy()
    found["AP"], found["AUC"] = found.ap.map("{:.3f}".format), found.auc.map("{:.3f}".format)
    noise = table(found[found.ap.notna()], ["AP", "AUC"], "ap")
    noise.to_csv(folder / "attribution_noise.csv", index=False)
    of_pairs["s"] = of_pairs.seconds.map(short)
    of_pairs["passes"] = of_pairs.passes.map("{:.0f}".format)
    table(of_pairs, ["s", "passes"], "lds").to_csv(folder / "attribution_cost.csv", index=False)


def table(found: pd.DataFrame, columns: list[str], by: str) -> pd.DataFrame:
    """A row a method, columns a net; the best on average come first."""
    wide = found.pivot(index=["method", "library"], columns="net", values=columns)
    order = found.groupby(["method", "library"])[by].mean().sort_values(ascending=False).index
    nets = list(dict.fromkeys(found.net))
    wide = wide.reindex(order)[[(c, net) for net in nets for c in columns]]
    wide.columns = [f"{net}: {c}" for c, net in wide.columns]
    return wide.fillna("").reset_index()


def short(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


def figure(found: pd.DataFrame, ceilings: dict[str, float], path: Path) -> None:
    """LDS against seconds, a panel a net."""
    nets = list(dict.fromkeys(found.net))
    fig, axes = plt.subplots(
        len(nets), 1, figsize=(9.5, 5 * len(nets)), dpi=110, layout="constrained", squeeze=False
    )
    panels = [found[(found.net == net) & found.lds.notna()] for net in nets]
    for ax, net, rows in zip(axes[:, 0], nets, panels, strict=True):
        panel(ax, rows, ceilings.get(net))
        ax.set_title(net, loc="left", fontweight="bold")
    axes[-1, 0].set_xlabel("seconds for all pairs, trainings apart")
    legend(fig)
    # Labels are put down by the pixel, so nothing may move any more.
    fig.canvas.draw()
    fig.set_layout_engine("none")
    for ax, rows in zip(axes[:, 0], panels, strict=True):
        label(ax, rows)
    fig.savefig(path, dpi=fig.dpi)
    plt.close(fig)


def legend(fig: Any) -> None:
    handles = [
        plt.Line2D([], [], color=color, marker="o", ls="", label=name)
        for name, (color, _) in FAMILIES.items()
    ]
    marks = {"skinfluence": {}, "other libraries": {"marker": "D", "mfc": "white"}}
    for name, options in marks.items():
        options = {"color": "0.3", "marker": "o", "ls": ""} | options
        handles.append(plt.Line2D([], [], label=name, **options))
    fig.legend(handles=handles, loc="outside upper center", ncols=6, frameon=False, fontsize=9)


def panel(ax: Any, rows: pd.DataFrame, ceiling: float | None) -> None:
    ax.set_xscale("log")
    ax.grid(alpha=0.25)
    ax.set_ylabel("LDS")
    ax.spines[["top", "right"]].set_visible(False)
    for row in rows.itertuples():
        color, ours = family(row.method), row.library == OURS
        ax.vlines(row.seconds, row.low, row.high, color=color, lw=0.8, alpha=0.4)
        ax.plot(
            row.seconds,
            row.lds,
            color=color,
            marker="o" if ours else "D",
            mfc=color if ours else "white",
            ms=7,
            zorder=3,
        )
    ax.set_xlim(rows.seconds.min() / 2.5, rows.seconds.max() * 4)
    bottom, top = rows.low.min(), max(rows.high.max(), ceiling or 0)
    ax.set_ylim(bottom - 0.08 * (top - bottom), top + 0.12 * (top - bottom))
    if ceiling:
        ax.axhline(ceiling, color="0.4", ls="--", lw=1)
        where = ax.get_xlim()[0] * 1.05
        ax.text(where, ceiling, "what the truth allows", va="bottom", color="0.4", fontsize=8)


def family(method: str) -> str:
    """The colour of the first family, from the last, that the name fits."""
    if "EKFAC" in method:
        return FAMILIES["layer by layer"][0]
    for color, starts in reversed(FAMILIES.values()):
        if method.startswith(starts) and not (color == "#E69F00" and "final" in method):
            return color
    return FAMILIES["inner products"][0]


def label(ax: Any, rows: pd.DataFrame) -> None:
    """Each name as near to its point as there is room, with a line to it where it is not beside."""
    points = ax.transData.transform(rows[["seconds", "lds"]].to_numpy())
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    frame = ax.get_window_extent()
    for k in np.argsort(-points[:, 1]):
        row, (x, y) = rows.iloc[k], points[k]
        name = row.method if row.library == OURS else f"{row.library}: {row.method}"
        size = WIDTH * len(name)
        for dx, dy in offsets(size):
            box = (x + dx, y + dy - HEIGHT / 2, x + dx + size, y + dy + HEIGHT / 2)
            within = frame.x0 < box[0] and box[2] < frame.x1 and frame.y0 < box[1]
            if within and box[3] < frame.y1 and not any(overlap(box, other) for other in taken):
                break
        else:
            continue
        taken.append(box)
        color, far = family(row.method), abs(dy) > 16 or dx > 20 or dx < -size - 20
        ax.annotate(
            name,
            (x, y),
            ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
            xycoords="figure pixels",
            textcoords="figure pixels",
            ha="center",
            va="center",
            fontsize=8,
            color=0.75 * np.array(to_rgb(color)),  # letters need more contrast than dots
            arrowprops={"arrowstyle": "-", "lw": 0.6, "color": color} if far else None,
            zorder=4,
        )


def offsets(size: float) -> list[tuple[float, float]]:
    """Where a label may begin, from its point, in pixels: the nearest first."""
    found = []
    for dy in range(-150, 151, 5):
        for dx in (9, -size - 9, -size / 2, 30, -size - 30, 60, -size - 60, 110, -size - 110):
            if abs(dy) >= 14 or dx != -size / 2:
                found.append((dx, float(dy)))
    return sorted(found, key=lambda d: d[1] ** 2 + (min(abs(d[0]), abs(d[0] + size)) / 1.5) ** 2)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
