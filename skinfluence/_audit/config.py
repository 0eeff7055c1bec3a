"""Options in a TOML file, for audits that are repeated."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, listed

NOT_SAVED = ("config", "save_config", "json", "quiet")


def read_options(options: Any, given: dict[str, Any]) -> Any:
    """Make an object of a class of options from those that the user gave, and from --config.

    What the user gave comes first, also if it is the default.
    """
    if given.get("config") is not None:
        given = {**read_config(given["config"]), **given}
    return options(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def read_config(path: str) -> dict[str, Any]:
    """The options in a TOML file, by the names of the command line, with "-" or "_".

    Raises
    ------
    AuditError
        If the file cannot be read, or if an option is unknown or of another type.
    """
    try:
        read = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise AuditError(f"--config {path!r} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AuditError(f"--config {path!r} is not a TOML file: {error}.") from error
    fields = {f.name: f for f in dataclasses.fields(Options) if f.name not in NOT_SAVED}
    found: dict[str, Any] = {}
    for given, value in read.items():
        name = given.replace("-", "_")
        if name not in fields:
            known = listed(sorted(fields), len(fields))
            raise AuditError(f"{given!r} in --config is not an option; the options are: {known}.")
        found[name] = _checked(given, value, fields[name])
    return found


def save_config(path: str, options: Options) -> None:
    """Write the options that are not at their default."""
    lines = [
        f"{field.name} = {json.dumps(value)}\n"
        for field in dataclasses.fields(Options)
        if field.name not in NOT_SAVED and (value := getattr(options, field.name)) != field.default
    ]
    try:
        Path(path).write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise AuditError(f"--save-config {path!r} cannot be written: {error.strerror}.") from error


def _checked(name: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    """The value in the type of the field."""
    expected, choices = _expected(field), field.metadata["parser"]["choices"]
    if expected is tuple:
        value = [value] if isinstance(value, str) else value
        is_right = isinstance(value, list) and all(isinstance(item, str) for item in value)
        value = tuple(value) if is_right else value
    elif expected is float:
        is_right = isinstance(value, int | float) and not isinstance(value, bool)
        is_right |= isinstance(value, str) and field.name == "contamination"
    else:
        is_right = type(value) is expected
    if not is_right or (choices and value not in choices):
        what = (
            " or ".join(map(repr, choices)) if choices else f"a value of type {expected.__name__}"
        )
        what = "a string or a list of strings" if expected is tuple else what
        raise AuditError(f"{name} = {value!r} in --config: expected {what}.")
    return value


def _expected(field: dataclasses.Field[Any]) -> type:
    """The type of the values of an option."""
    if field.name == "contamination":
        return float
    if isinstance(field.default, bool | tuple):
        return type(field.default)
    return field.metadata["parser"]["type"] or str
