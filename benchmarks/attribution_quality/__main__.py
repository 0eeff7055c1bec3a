"""How well does each method agree with retraining, and what does it cost?

    python benchmarks/attribution_quality --cache truth --output docs/_static
    python benchmarks/attribution_quality --cache truth --output docs/_static --peers

The data are 500 training rows and 45 reference rows of digits. For each of three nets, the
benchmark measures the linear datamodeling score over random halves of the rows, the correlation
with leaving single rows out, how well wrong labels are found, and seconds.

The second command measures other libraries on the same nets. Run it in an environment that has
them (see CONTRIBUTING.md); a library that is not installed is named and left out. The command
reuses the retrained nets that the first one left in --cache, and adds its rows to the same tables.

--nets MLP --batch-size 50 trains on random batches, which shows how noisy retraining then is.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import arms
import figure
import numpy as np
import pandas as pd
import peers
import report
import torch
from problem import KINDS, Problem, kept_truth, reliability, seconds_a_pass
from tqdm.auto import tqdm

from skinfluence.metrics import (
    detection_report,
    leave_one_out_correlation,
    linear_datamodeling_score,
)


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "CG stopped after", RuntimeWarning)
    lacking = [name for name in peers.LIBRARIES if name not in peers.installed()]
    if options.peers and lacking:
        print(f"not installed, left out: {', '.join(lacking)}")
    rows, truths, sweep = [], [], []
    for name in options.nets:
        kind = KINDS[name]
        problem = Problem(name, kind, kind.net(options.batch_size))
        told = kept_truth(problem, options.subsets, options.cache, tqdm.write)
        truths.append(reliable(problem, told))
        comparison = Comparison(problem, told)
        rows += comparison.peers() if options.peers else comparison.ours()
        if name == "MLP" and not options.peers:
            sweep = comparison.sweep()
    finish(options, rows, pd.DataFrame(truths), pd.DataFrame(sweep))


def finish(options: Any, rows: Any, truths: pd.DataFrame, sweep: pd.DataFrame) -> None:
    folder = options.output
    found = report.merged(folder / "attribution_quality.csv" if folder else Path("none"), rows)
    for table in (truths, sweep, found):
        print(f"\n{table.to_string(index=False)}")
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not options.peers:
        for name, table in {"truth": truths, "damping": sweep}.items():
            table.to_csv(folder / f"attribution_{name}.csv", index=False, float_format="%.3f")
    report.write(found, folder)
    ceilings = dict(zip(truths.net, truths["LDS ceiling"], strict=True))
    figure.draw(found, ceilings, folder / "attribution_quality.png")


def reliable(problem: Problem, told: dict[str, Any]) -> dict[str, Any]:
    """Size and accuracy of the net, and how well its retrainings agree with each other."""
    scorer = arms.fitted(problem, problem.y, {})
    net = scorer.estimator_
    found = {
        "net": problem.name,
        "parameters": sum(p.numel() for p in net.module_.parameters()),
        "test accuracy": round(float((net.predict(problem.X_test) == problem.y_test).mean()), 3),
        "seeds": problem.kind.n_seeds,
    }
    for name, outcomes in {"LDS": told["half"], "LOO": told["change"]}.items():
        one, mean = reliability(outcomes)
        found[f"{name} between seeds"] = round(one, 3)
        found[f"{name} reliability"] = round(mean, 3)
        found[f"{name} ceiling"] = round(max(mean, 0) ** 0.5, 3)
    return found


class Comparison:
    """All measurements of each method, on one net."""

    def __init__(self, problem: Problem, told: dict[str, Any]) -> None:
        self.problem, self.told = problem, told
        self.a_pass = seconds_a_pass(problem, arms.fitted(problem, problem.y, {}).estimator_)

    def ours(self) -> list[dict[str, Any]]:
        problem, rows = self.problem, []
        compare, of_rows = arms.with_pairs(problem.kind), partial(arms.of_rows, problem)
        for name, options in self._bar(compare):
            found, seconds, trainings = arms.timed(partial(arms.pairs, problem, options))
            noisy, of_row, _ = arms.timed(partial(of_rows, options))
            rows.append(
                self._row(name)
                | self._agreement(found)
                | self._cost(seconds, trainings)
                | self._noise(noisy, of_row)
            )
        makes = {name: partial(of_rows, options) for name, options in arms.OF_ROWS.items()}
        detector = partial(arms.detector, problem)
        makes["NoisyLabelDetector"] = detector
        makes["NoisyLabelDetector, clean reference"] = partial(detector, **problem.reference)
        if arms.get_label_quality_scores:
            makes["out-of-fold self-confidence"] = partial(arms.cleanlab, problem)
        for name, make in self._bar(makes):
            noisy, of_row, trainings = arms.timed(make)
            library = "cleanlab" if name.startswith("out-of-fold") else report.OURS
            rows.append(
                self._row(name, library) | {"trainings": trainings} | self._noise(noisy, of_row)
            )
        return rows

    def peers(self) -> list[dict[str, Any]]:
        problem, rows = self.problem, []
        with peers.silent():
            clean, noisy = (peers.Case.of(problem, y) for y in (problem.y, problem.y_noisy))
        for (library, name), pairs in self._bar(peers.PEERS):
            if library not in peers.installed():
                continue
            try:
                with peers.silent(), peers.limited(peers.LIMIT):
                    found, seconds, _ = arms.timed(partial(pairs, clean))
                    scores = pairs(noisy).mean(1)
            except Exception as error:  # each library raises its own kind for what it cannot do
                tqdm.write(f"{problem.name}: {library}, {name}: {str(error)[:100]}")
                continue
            rows.append(
                self._row(name, library)
                | self._agreement(found)
                | self._cost(seconds, 1)
                | self._noise(scores)
            )
        return rows

    def sweep(self) -> list[dict[str, Any]]:
        """LDS by damping. The best damping is known only after retraining, so nothing uses it."""
        rows = []
        for name, curvature in arms.SWEEP.items():
            line = {"curvature": name}
            for damping in arms.DAMPINGS:
                pairs = arms.pairs(self.problem, {"curvature": curvature(damping)})
                line[f"{damping:g}"] = round(self._agreement(pairs)["lds"], 3)
            rows.append(line)
        return rows

    def _bar(self, items: dict[str, Any]) -> Any:
        for name, value in (bar := tqdm(items.items(), self.problem.name)):
            bar.set_postfix_str(str(name))
            yield name, value

    def _row(self, name: str, library: str = report.OURS) -> dict[str, Any]:
        return {"net": self.problem.name, "method": name, "library": library}

    def _agreement(self, pairs: np.ndarray) -> dict[str, Any]:
        told = self.told
        found = linear_datamodeling_score(
            pairs, told["halves"], told["half"].mean(0), random_state=0
        )
        change = told["change"].mean(0)
        left_out = leave_one_out_correlation(pairs[told["rows"]], change, random_state=0)
        return {
            "lds": found["lds"],
            "low": found["low"],
            "high": found["high"],
            "spread": np.nanstd(found["per_reference"]),
            "loo": left_out["correlation"],
        }

    def _cost(self, seconds: float, trainings: int) -> dict[str, Any]:
        return {"seconds": seconds, "passes": seconds / self.a_pass, "trainings": trainings}

    def _noise(self, scores: np.ndarray, seconds: float = np.nan) -> dict[str, Any]:
        found = detection_report(self.problem.is_noisy, scores)
        return {
            "ap": found["average_precision"],
            "auc": found["roc_auc"],
            "row seconds": seconds,
        }


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--subsets", type=int, default=55)
    parser.add_argument("--batch-size", type=int, help="rows per training step (default: all)")
    parser.add_argument("--cache", type=Path, help="directory in which retrainings are kept")
    parser.add_argument("--peers", action="store_true", help="measure the other libraries instead")
    parser.add_argument("--output", type=Path, help="directory for tables and figure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
