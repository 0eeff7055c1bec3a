"""``python -m skinfluence``: the options of the command line, and nothing that computes."""

import argparse
import sys

from skinfluence import __version__
from skinfluence._audit import AuditError, Options, audit

USER_ERROR, INTERRUPTED = 2, 130

DESCRIPTION = """\
Find the rows of a table whose label looks wrong. Trains small nets behind the usual preprocessing
on parts of the table, judges every label by how it goes with the rest, and writes report.html,
suspects.csv and cleaned.csv. Without a table: a data set that scikit-learn ships, with wrong labels
planted in it, and how many of them were found."""


class _OneLineParser(argparse.ArgumentParser):
    """argparse, with an error of one line."""

    def error(self, message):
        self.exit(USER_ERROR, f"{self.prog}: error: {message} (--help shows the options)\n")


def share(text):
    """Return a number, or "auto"."""
    return text if text == "auto" else float(text)


def main(argv=None):
    """Run the command line; returns the exit code."""
    options = vars(_parser().parse_args(argv))
    prog = f"skinfluence {options.pop('command')}"
    try:
        audit(Options(**options))
    except AuditError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"\n{prog}: interrupted.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser():
    parser = _OneLineParser(
        prog="skinfluence", description="Training-data influence for skorch nets."
    )
    parser.add_argument("--version", action="version", version=f"skinfluence {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    sub = commands.add_parser(
        "audit",
        help="find the rows of a table whose label looks wrong",
        description=DESCRIPTION,
    )
    default = Options()
    add = sub.add_argument
    add("table", nargs="?", help="CSV or Parquet file; none: the built-in example")
    add("--label", help="column that holds the labels (default: the last)")
    add(
        "--output",
        default=default.output,
        metavar="DIR",
        help="folder for the files (default: %(default)s)",
    )
    add(
        "--contamination",
        type=share,
        default=default.contamination,
        metavar="SHARE",
        help="share of rows to flag, up to 0.5, or auto: an estimate (default: %(default)s)",
    )
    add(
        "--action",
        choices=["drop", "relabel"],
        default=default.action,
        help="what cleaned.csv does with the suspects (default: %(default)s)",
    )
    add(
        "--task",
        choices=["auto", "classification", "regression"],
        default=default.task,
        help="auto: more than 20 distinct numbers are a regression (default: %(default)s)",
    )
    add("--cv", type=int, default=default.cv, metavar="FOLDS", help="folds (default: %(default)s)")
    add(
        "--seed",
        type=int,
        default=default.seed,
        help="same seed, same result (default: %(default)s)",
    )
    add(
        "--top",
        type=int,
        default=default.top,
        metavar="ROWS",
        help="rows to print (default: %(default)s)",
    )
    add("--sep", help="separator of the CSV (default: found out)")
    add("--encoding", default=default.encoding, help="encoding of the CSV (default: %(default)s)")
    add("--quiet", action="store_true", help="print errors only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
