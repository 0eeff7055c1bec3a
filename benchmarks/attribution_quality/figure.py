"""Agreement with retraining against time: one panel per net, and a label at each point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from report import OURS

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SIZE, DPI, FONT = (8, 4.6), 150, 8.5  # inches of one panel; the page shows 800 pixels
MARKER = 11.0  # pixels from the center of a marker that nothing else may enter
FAR = 26.0  # pixels from a label to its point beyond which a line joins them
ON_BAR = 14.0  # pixels farther that a label rather goes than onto an interval
# Okabe and Ito's palette, which readers with color blindness can tell apart.
FAMILIES = {
    "inner products": ("#0072B2", ("IP", "Grad", "LayerAware", "TracInCP, final")),
    "ensembles": ("#E69F00", ("Checkpoints", "Seeds", "TracInCP", "IP Ensemble")),
    "layer by layer": ("#009E73", ("EK", "KFAC", "DataInf")),
    "whole matrix": ("#D55E00", ("CG", "Exact", "LiSSA", "IF", "TRAK")),
}

Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels


def draw(found: pd.DataFrame, ceilings: dict[str, float], path: Path) -> None:
    """LDS against seconds."""
    nets = list(dict.fromkeys(found.net))
    size = SIZE[0], SIZE[1] * len(nets)
    fig, axes = plt.subplots(
        len(nets), 1, figsize=size, dpi=DPI, layout="constrained", squeeze=False
    )
    panels = [found[(found.net == net) & found.lds.notna()] for net in nets]
    for ax, net, rows in zip(axes[:, 0], nets, panels, strict=True):
        panel(ax, rows, ceilings.get(net))
        ax.set_title(net, loc="left", fontweight="bold")
    axes[-1, 0].set_xlabel("seconds for all pairs, without training")
    legend(fig)
    # Labels are placed by the pixel, so nothing may move after this.
    fig.canvas.draw()
    fig.set_layout_engine("none")
    for ax, rows in zip(axes[:, 0], panels, strict=True):
        Labels(ax, rows).place()
    fig.savefig(path, dpi=DPI)
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
    fig.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)


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
            ms=6,
            zorder=3,
        )
    ax.set_xlim(rows.seconds.min() / 5, rows.seconds.max() * 8)
    bottom, top = rows.low.min(), max(rows.high.max(), ceiling or 0)
    ax.set_ylim(bottom - 0.15 * (top - bottom), top + 0.1 * (top - bottom))
    if ceiling:
        ax.axhline(ceiling, color="0.4", ls="--", lw=1)
        where = ax.get_xlim()[0] * 1.05
        ax.text(where, ceiling, "ceiling", va="bottom", color="0.4", fontsize=FONT)


def family(method: str) -> str:
    """The color of a method: of the last family that has a beginning of its name."""
    if "EKFAC" in method:
        return FAMILIES["layer by layer"][0]
    for color, starts in reversed(FAMILIES.values()):
        if method.startswith(starts) and not (color == "#E69F00" and "final" in method):
            return color
    return FAMILIES["inner products"][0]


class Labels:
    """Names of the points of one panel, placed so that they cover neither points nor each other.

    The most crowded points come first. Each label takes the nearest place that is free, where a
    place on the bar of an interval counts as somewhat farther away.
    """

    def __init__(self, ax: Any, rows: pd.DataFrame) -> None:
        self.ax, self.rows = ax, rows
        to_pixels = ax.transData.transform
        self.points = to_pixels(rows[["seconds", "lds"]].to_numpy())
        ends = [to_pixels(rows[["seconds", end]].to_numpy()) for end in ("low", "high")]
        self.bars = [(x, y0, x, y1) for (x, y0), (_, y1) in zip(*ends, strict=True)]
        self.frame = ax.get_window_extent()
        self.boxes: list[Box] = []
        self.lines: list[Box] = []

    def place(self) -> None:
        gaps = np.linalg.norm(self.points[:, None] - self.points[None], axis=2)
        for k in np.argsort(np.sort(gaps, axis=1)[:, 1:5].sum(axis=1)):
            self.place_one(int(k))

    def place_one(self, k: int) -> None:
        row, color = self.rows.iloc[k], family(self.rows.iloc[k].method)
        name = row.method if row.library == OURS else f"{row.library}: {row.method}"
        dark = 0.75 * np.array(to_rgb(color))  # letters need more contrast than dots
        look = {"va": "center", "ha": "center", "fontsize": FONT, "color": dark, "zorder": 4}
        text = self.ax.text(0, 0, name, transform=None, **look)
        size = text.get_window_extent()
        box, line = self.best(k, self.places(k, size.width + 4, size.height))
        text.set_position(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        self.boxes.append(box)
        if line:
            self.lines.append(line)
            x0, y0, x1, y1 = line
            self.ax.add_line(
                plt.Line2D([x0, x1], [y0, y1], transform=None, lw=0.6, color=color, zorder=2)
            )

    def best(self, k: int, places: list[tuple[float, Box, Box | None]]) -> tuple[Box, Box | None]:
        found, least = None, np.inf
        for away, box, line in places:
            if away >= least:  # the rest is farther away
                break
            cost = self.cost(k, box, line, away)
            if cost < least:
                found, least = (box, line), cost
        if found is None:
            raise ValueError(f"no room for the label of {self.rows.iloc[k].method!r}")
        return found

    def places(self, k: int, width: float, height: float) -> list[tuple[float, Box, Box | None]]:
        """Candidates, the nearest first: distance, box, and the line to the point or None."""
        (x, y), found = self.points[k], []
        for dy in np.arange(-270, 271, 9.0):
            for dx in np.arange(-300, 301, 15.0):
                left = x + dx + (MARKER + 2 if dx >= 0 else -MARKER - 2 - width)
                box = left, y + dy - height / 2, left + width, y + dy + height / 2
                end = np.clip(x, box[0], box[2]), np.clip(y, box[1], box[3])
                away = float(np.hypot(end[0] - x, end[1] - y))
                line = (*end, x, y) if away > FAR else None
                found.append((away, box, line))
        return sorted(found, key=lambda place: place[0])

    def cost(self, k: int, box: Box, line: Box | None, away: float) -> float:
        frame, others = self.frame, np.delete(self.points, k, axis=0)
        inside = frame.x0 < box[0] and box[2] < frame.x1
        inside = inside and frame.y0 + 4 < box[1] and box[3] < frame.y1
        marks = [around(point) for point in others]
        taken = [*self.boxes, *marks]
        if not inside or any(overlap(box, other) for other in taken):
            return np.inf
        if overlap(box, around(self.points[k])) or any(crosses(old, box) for old in self.lines):
            return np.inf
        if line and any(crosses(line, other) for other in self.boxes):
            return np.inf
        touched = sum(crosses(bar, box) for bar in self.bars)
        through = sum(crosses(line, mark) for mark in marks) if line else 0
        return away + ON_BAR * touched + 3 * ON_BAR * through


def around(point: np.ndarray) -> Box:
    x, y = point
    return x - MARKER, y - MARKER, x + MARKER, y + MARKER


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def crosses(line: Box, box: Box) -> bool:
    """Whether a line, given by its ends, enters a box: twenty points of it are checked."""
    shares = np.linspace(0, 1, 20)
    x = line[0] + shares * (line[2] - line[0])
    y = line[1] + shares * (line[3] - line[1])
    return bool(((box[0] < x) & (x < box[2]) & (box[1] < y) & (y < box[3])).any())
