"""The commands as a user sees them before any work is done."""

import ast
import dataclasses
from pathlib import Path

import pytest

import skinfluence
from skinfluence.__main__ import COMMANDS, main
from skinfluence._audit import ApplyOptions, Options

PACKAGE = Path(skinfluence.__file__).parent


def imported_at_once(path):
    """Modules that a file imports when it is imported."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_with(path):
    """All modules that are imported with a file, followed inside the audit."""
    found, rest = set(), [path]
    while rest:
        for name in set(imported_at_once(rest.pop())) - found:
            found.add(name)
            if name.startswith("skinfluence._audit"):
                place = PACKAGE.joinpath(*name.split(".")[1:])
                files = (place.with_suffix(".py"), place / "__init__.py")
                rest += [file for file in files if file.exists()]
    return found


def test_the_help_is_shown_before_heavy_packages_are_loaded():
    found = loaded_with(PACKAGE / "__main__.py")
    assert "skinfluence._audit.review.decisions" in found
    assert not {"numpy", "pandas", "matplotlib", "jinja2", "sklearn"} & found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"usage: skinfluence {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "suffix", "command"),
    [
        ({"table": "my.csv"}, ".csv", "apply my.csv decisions.csv --output reviewed.csv"),
        (
            {"table": "a b.tsv", "label": "x y", "sep": ";", "no_header": True, "seed": 3},
            ".tsv",
            "apply 'a b.tsv' decisions.csv --label 'x y' --sep ';' --no-header "
            "--output reviewed.tsv",
        ),
        ({"table": "db.sqlite::t"}, ".sqlite", "apply db.sqlite::t decisions.csv --output "
         "reviewed.sqlite"),
        ({"table": "-"}, ".csv", None),
        ({}, ".csv", None),
    ],
)  # fmt: skip
def test_the_command_that_applies_the_decisions(options, suffix, command):
    found = Options(**options).apply_command(suffix)
    assert found == (command and f"python -m skinfluence {command}")


def test_apply_reads_the_table_as_the_audit_does():
    wanted = {field.name for field in dataclasses.fields(Options) if field.metadata["reads"]}
    assert wanted <= {field.name for field in dataclasses.fields(ApplyOptions)}
    assert ApplyOptions("t.csv", "d.csv", sep=";", skip_rows=2).reading() == Options(
        table="t.csv", sep=";", skip_rows=2
    )
