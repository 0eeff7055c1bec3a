"""The error for a missing optional package names commands that work."""

import re
import tomllib
from pathlib import Path

import pytest

import skinfluence
from skinfluence._extras import need


def test_the_message_names_the_index_and_the_clone():
    error = need("audit", "drawing needs matplotlib")
    assert isinstance(error, ImportError)
    assert str(error) == (
        'drawing needs matplotlib: pip install "skinfluence[audit]", '
        'or in a clone pip install -e ".[audit]".'
    )


def test_every_extra_that_the_library_names_exists():
    package = Path(skinfluence.__file__).parent
    pyproject = package.parent / "pyproject.toml"
    if not pyproject.exists():
        pytest.skip("not a clone of the repository")
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    texts = (path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    named = {extra for text in texts for extra in re.findall(r'\bneed\("(\w+)"', text)}
    assert named <= set(project["optional-dependencies"])
