"""The parts of the review page: data, styles and program, to be put into the report."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

SCRIPTS = ("estimate.js", "logic.js", "card.js", "controls.js", "queue.js", "tabs.js", "review.js")

LESS = {ord("<"): "\\u003c"}


def script() -> str:
    """The program of the page, all files in one."""
    return "\n".join(map(_read, SCRIPTS))


def style() -> str:
    """The styles of the review."""
    return _read("review.css")


def template() -> str:
    """The template of the review, which is included by that of the report."""
    return _read("review.html.j2")


def as_json(payload: dict[str, Any]) -> str:
    """The payload as JSON that can be put into a script element.

    Characters that cannot be printed are escaped: they might change the order of what is read in
    an editor, and surrogates could not be written.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # "</script>" or "<!--" in a cell would end the element or change how it is read.
    escaped = {ord(char): json.dumps(char)[1:-1] for char in set(text) if not char.isprintable()}
    return text.translate(escaped | LESS)


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
