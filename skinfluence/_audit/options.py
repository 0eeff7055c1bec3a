"""The options of the audit: one field each, from which the command line is built."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from skinfluence._audit.table import AuditError

PROGRAM = ("python", "-m", "skinfluence")


def option(
    default: Any,
    help: str,
    *,
    type: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] | None = None,
    repeats: bool = True,
    reads: bool = False,
    short: str | None = None,
    is_positional: bool = False,
) -> Any:
    """A field with what the command line needs to know about it.

    `repeats` says whether the command that repeats an audit contains this option, and `reads`
    whether it says how the table is read, so that `apply` needs it as well. `short` is a second
    name of the option, such as "-o".
    """
    parser = {"help": help, "type": type, "metavar": metavar, "choices": choices}
    names = {"short": short, "is_positional": is_positional}
    metadata = {"parser": parser, "repeats": repeats, "reads": reads, **names}
    return dataclasses.field(default=default, metadata=metadata)


def _share(text: str) -> float | str:
    """Convert the text to a number; return "auto" and "evidence" unchanged."""
    if text in ("auto", "evidence"):
        return text
    try:
        return float(text)
    except ValueError:
        message = f"expected a number above 0 and at most 0.5, evidence or auto, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None


@dataclass(frozen=True)
class Options:
    """The options of the command, one field per option.

    A new option is a new field here: its help is the command line's, and `check` refuses its
    wrong values.
    """

    table: str | None = option(
        None,
        "file that holds the table: CSV, also compressed, JSON, Excel, Parquet, Arrow, SQLite or "
        "DuckDB (db.sqlite::table); - is standard input; if none is given, the example runs",
        repeats=False,
        is_positional=True,
    )
    label: str | None = option(
        None,
        "column that holds the labels (default: the last column)",
        metavar="COLUMN",
        reads=True,
    )
    sep: str | None = option(None, "separator of the CSV file (default: detected)", reads=True)
    encoding: str = option(
        "auto", "encoding of the text file; auto finds it out (default: %(default)s)", reads=True
    )
    no_header: bool = option(
        False,
        "the first line is a row; the columns are called column_1, column_2, ...",
        reads=True,
    )
    skip_rows: int | None = option(
        None,
        "number of lines above the header, which stay as they are (default: detected)",
        type=int,
        metavar="LINES",
        reads=True,
    )
    sheet: str | None = option(
        None,
        "name or number of the sheet of a workbook (default: the first that holds cells)",
        reads=True,
    )
    numeric: tuple[str, ...] = option(
        (), "column of numbers; may be given several times, like the next six", metavar="COLUMN"
    )
    category: tuple[str, ...] = option((), "column of categories", metavar="COLUMN")
    date: tuple[str, ...] = option((), "column of dates", metavar="COLUMN")
    text: tuple[str, ...] = option((), "column of free text", metavar="COLUMN")
    image: tuple[str, ...] = option(
        (), "column of paths of images, which start at the folder of the table", metavar="COLUMN"
    )
    ignore: tuple[str, ...] = option((), "column to leave out", metavar="COLUMN")
    id: tuple[str, ...] = option(
        (), "column that names the rows: left out, and first in scores.csv", metavar="COLUMN"
    )
    embed: str = option(
        "auto",
        "encoder of texts: minilm, a directory or a name on the Hugging Face hub; none uses the "
        "frequent sequences of characters; auto is minilm if it is installed, otherwise none "
        "(default: %(default)s)",
        metavar="MODEL",
    )
    task: str = option(
        "auto",
        "whether labels are classes or numbers; auto: regression if the label has more than 20 "
        "distinct numbers, otherwise classification (default: %(default)s)",
        choices=("auto", "classification", "regression"),
    )
    contamination: float | str = option(
        "evidence",
        "which rows are suspects; evidence: those with clear evidence against their label and for "
        "another one; a number above 0 and at most 0.5: this share of the rows; auto: an estimated "
        "share (default: %(default)s)",
        type=_share,
        metavar="SHARE",
    )
    action: str = option(
        "none",
        "what to do with the suspects in a cleaned copy of the table; none writes no copy "
        "(default: %(default)s)",
        choices=("none", "drop", "relabel"),
    )
    output: str = option("audit", "folder for the files (default: %(default)s)", metavar="DIR")
    cv: int = option(
        5,
        "number of cross-validation folds; one net is trained per fold (default: %(default)s)",
        type=int,
        metavar="FOLDS",
    )
    seed: int = option(
        0,
        "random seed; the same seed gives the same result (default: %(default)s)",
        type=int,
    )
    train_rows: int | None = option(
        None,
        "train the nets on a sample of this number of rows; all rows are scored (default: all "
        "rows, or a sample if training would take more than about ten minutes)",
        type=int,
        metavar="ROWS",
    )
    top: int = option(
        10,
        "number of suspects to print (default: %(default)s)",
        type=int,
        metavar="ROWS",
        repeats=False,
    )
    label_studio: bool = option(
        False, "also write the suspects as tasks for Label Studio (tasks.json, label_config.xml)"
    )
    only: tuple[str, ...] = option(
        (),
        "kind of issue to look for, apart from wrong labels; several with commas, or the option "
        "several times (default: all)",
        metavar="KIND",
    )
    skip: tuple[str, ...] = option(
        (), "kind of issue not to look for, given like --only", metavar="KIND"
    )
    against: str | None = option(
        None,
        "second table, such as test data, whose rows should not be in the first",
        metavar="FILE",
    )
    json: bool = option(False, "print a summary in JSON, and nothing else", repeats=False)
    fail_above: float | None = option(
        None,
        "exit with code 1 if more than this share of the judged rows are suspects",
        type=float,
        metavar="SHARE",
        repeats=False,
    )
    config: str | None = option(
        None,
        "TOML file with options; those of the command line come first",
        metavar="FILE",
        repeats=False,
    )
    save_config: str | None = option(
        None, "write the options to a TOML file for --config", metavar="FILE", repeats=False
    )
    quiet: bool = option(False, "print nothing but errors", repeats=False)

    def check(self, *, is_command: bool = True) -> None:
        """Raise AuditError if a value cannot be used."""
        contamination = self.contamination
        if not isinstance(contamination, str) and not 0 < contamination <= 0.5:
            raise AuditError(
                f"--contamination {contamination:g} must be above 0 and at most 0.5 (the share of "
                "the rows to flag), evidence or auto."
            )
        if self.cv < 2:
            raise AuditError(f"--cv {self.cv} must be at least 2.")
        if self.train_rows is not None and self.train_rows < 1:
            raise AuditError(f"--train-rows {self.train_rows} must be at least 1.")
        if self.top < 0:
            raise AuditError(f"--top {self.top} must be 0 or more.")
        if not 0 <= self.seed < 2**32:
            raise AuditError(f"--seed {self.seed} must be between 0 and {2**32 - 1}.")
        has_table = self.table is not None or not is_command
        if not has_table and (self.label is not None or self.task != "auto"):
            raise AuditError(
                "--label and --task need a table; give the path of a file that holds one."
            )
        if self.fail_above is not None and not 0 <= self.fail_above < 1:
            raise AuditError(f"--fail-above {self.fail_above:g} must be at least 0 and below 1.")
        if self.skip_rows is not None and self.skip_rows < 0:
            raise AuditError(f"--skip-rows {self.skip_rows} must be 0 or more.")

    def command(self) -> str:
        """The command that repeats this audit."""
        table = [] if self.table is None else [self.table]
        return shlex.join([*PROGRAM, "audit", *table, *self._changed(dataclasses.fields(self))])

    def apply_command(self, suffix: str) -> str | None:
        """The command that applies the decisions of a review; None if the table is not a file.

        `suffix` is that of files in the format of the table.
        """
        if self.table is None or self.table == "-":
            return None
        reading = self._changed(f for f in dataclasses.fields(self) if f.metadata["reads"])
        files = [self.table, "decisions.csv"]
        return shlex.join([*PROGRAM, "apply", *files, *reading, "--output", f"reviewed{suffix}"])

    def _changed(self, fields: Iterable[dataclasses.Field[Any]]) -> list[str]:
        """Words of the command line for the fields that are not at their default."""
        words = []
        for field in fields:
            value = getattr(self, field.name)
            if field.metadata["repeats"] and value != field.default:
                for one in value if isinstance(value, tuple) else [value]:
                    words += [_flag(field.name), *([] if one is True else [str(one)])]
        return words


def add_options(parser: argparse.ArgumentParser, options: Any = Options) -> None:
    """Add an argument to the parser for each field of a class of options."""
    for field in dataclasses.fields(options):
        asked = {key: value for key, value in field.metadata["parser"].items() if value is not None}
        asked["help"] = asked["help"].replace("%(default)s", str(field.default))
        names = [name for name in (field.metadata["short"], _flag(field.name)) if name]
        if field.metadata["is_positional"]:
            names = [field.name]
            if field.default is None:
                asked["nargs"] = "?"
        elif field.default is False:
            asked["action"] = "store_true"
        elif field.default == ():
            asked["action"] = "append"
        # Without defaults, the parsed options are those that the user gave.
        parser.add_argument(*names, default=argparse.SUPPRESS, **asked)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
