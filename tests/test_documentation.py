"""The Python code in the documentation runs without a warning.

All blocks of a page run in order, as one program.
"""

import importlib.util
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

ROOT = Path(__file__).parents[1]
MARKDOWN_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RST_BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:(?: {3}.*)?\n)+)", re.MULTILINE)

BUILT = {"_build", "auto_examples", "generated"}  # directories that a build of the pages writes


def pages_with_code(docs):
    """Return the pages under `docs` that have a Python block and were not written by a build."""
    front = docs / "index.rst"  # left out: it uses an X and y that it does not define
    pages = (p for p in sorted(docs.rglob("*.rst")) if not BUILT & {*p.relative_to(docs).parts})
    return [p for p in pages if p != front and RST_BLOCK.search(p.read_text("utf-8"))]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


PAGES = [ROOT / "README.md", *pages_with_code(ROOT / "docs")]


def python_blocks(page):
    text = page.read_text(encoding="utf-8")
    pattern = MARKDOWN_BLOCK if page.suffix == ".md" else RST_BLOCK
    return [textwrap.dedent(block) for block in pattern.findall(text)]


def my_table(n=200):
    """Make a stand-in for the reader's my.csv: numbers with gaps, text, and a text label."""
    rng = np.random.default_rng(0)
    age, job = rng.uniform(18, 80, n).round(), rng.choice(["clerk", "cook", "smith"], n)
    income = np.where((age > 45) ^ (job == "cook"), "high", "low")
    age[::17] = np.nan
    return pd.DataFrame({"age": age, "job": job, "income": income})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_on_the_page_runs(page, tmp_path, monkeypatch):
    pytest.importorskip("imblearn")
    # Imported from a file, because pickle needs to find classes that a page defines.
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(python_blocks(page)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("page", program)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "page", module)
    monkeypatch.chdir(tmp_path)
    my_table().to_csv("my.csv", index=False)

    spec.loader.exec_module(module)


def test_every_page_with_code_is_listed():
    guide = ["active", "cleaning_cv", "curvature", "detector", "diffusion", "ensembles",
             "images", "methods", "nets", "pairwise", "pipelines", "retraining", "scale", "scorer",
             "selector", "targets", "text"]  # fmt: skip
    others = ["README.md", "docs/coming_from.rst", "docs/defence.rst", "docs/quickstart.rst"]
    expected = {*others, *(f"docs/guide/{name}.rst" for name in guide)}
    assert expected <= {name_of(page) for page in PAGES}


def test_built_pages_are_not_listed(tmp_path):
    for folder in ("guide", "_build/html", "generated", "auto_examples"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "page.rst").write_text(".. code-block:: python\n\n   1 + 1\n")
    assert pages_with_code(tmp_path) == [tmp_path / "guide" / "page.rst"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_of_a_page_is_found(page):
    """An indented block, in a tab or a list, would be skipped silently."""
    opening = r"```python" if page.suffix == ".md" else r"\.\. code-block:: python"
    n_blocks = len(re.findall(rf"^\s*{opening}", page.read_text("utf-8"), re.MULTILINE))
    assert len(python_blocks(page)) == n_blocks
