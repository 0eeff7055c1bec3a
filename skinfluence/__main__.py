"""``python -m skinfluence``: the command line. This file reads options, `_audit` does the work."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from skinfluence._audit import ApplyOptions, AuditError, Options, apply, audit
from skinfluence._audit.config import read_options
from skinfluence._audit.options import add_options
from skinfluence._audit.streams import is_lost, printable, standard_streams
from skinfluence._version import __version__

USER_ERROR, INTERRUPTED = 2, 130


@dataclass(frozen=True)
class Command:
    """A command: its help, the class of its options, and the function that runs it."""

    help: str
    description: str
    options: Any
    run: Callable[[Any], int | None]


AUDIT = """\
Find the rows of a table whose label looks wrong. Small neural nets are trained on parts of the
table. Every label is compared with the label that the nets predict from the other columns. The
results are written to report.html, suspects.csv and scores.csv. If no table is given, the command
runs an example: it plants wrong labels in a data set from scikit-learn and reports how many of the
planted labels it finds."""

APPLY = """\
Write a copy of a table in which the decisions of a review are made. The review is in report.html,
which the command audit writes; it saves decisions.csv. Rows are relabeled, dropped or kept. Rows
that do not change are written as they are, and the table itself is never changed."""

COMMANDS = {
    "audit": Command("find the rows of a table whose label looks wrong", AUDIT, Options, audit),
    "apply": Command("apply the decisions of a review to a table", APPLY, ApplyOptions, apply),
}


class _OneLineParser(argparse.ArgumentParser):
    """An argument parser whose error messages take one line."""

    def error(self, message: str) -> NoReturn:
        text = printable(message)
        self.exit(USER_ERROR, f"{self.prog}: error: {text} (--help lists the options)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    with standard_streams() as out:
        options = vars(_parser().parse_args(argv))
        code = _run(options.pop("command"), options)
    return USER_ERROR if code == 0 and is_lost(out) else code


def _run(name: str, options: dict[str, Any]) -> int:
    command, prog = COMMANDS[name], f"skinfluence {name}"
    try:
        code = command.run(read_options(command.options, options))
    except AuditError as error:
        print(f"{prog}: error: {printable(str(error))}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"{prog}: interrupted.", file=sys.stderr)
        return INTERRUPTED
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="skinfluence", description="Training-data influence for skorch nets."
    )
    parser.add_argument("--version", action="version", version=f"skinfluence {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help, description=command.description)
        add_options(added, command.options)
    return parser


if __name__ == "__main__":
    sys.exit(main())
