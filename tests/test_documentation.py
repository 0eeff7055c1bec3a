"""The Python code in the documentation runs without a warning.

The blocks of a page run in order, as one program.
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

# index.rst is left out: it uses an X and y that it does not define.
PAGES = sorted(p for p in (ROOT / "docs").rglob("*.rst") if RST_BLOCK.search(p.read_text("utf-8")))
PAGES = [ROOT / "README.md"] + [
    page
    for page in PAGES
    if page.name != "index.rst" and not {"_build", "auto_examples", "generated"} & {*page.parts}
]


def python_blocks(page):
    text = page.read_text(encoding="utf-8")
    pattern = MARKDOWN_BLOCK if page.suffix == ".md" else RST_BLOCK
    return [textwrap.dedent(block) for block in pattern.findall(text)]


def own_table(n=200):
    """A stand-in for a reader's my.csv: numbers with gaps, text, and a text label."""
    rng = np.random.default_rng(0)
    age, job = rng.uniform(18, 80, n).round(), rng.choice(["clerk", "cook", "smith"], n)
    income = np.where((age > 45) ^ (job == "cook"), "high", "low")
    age[::17] = np.nan
    return pd.DataFrame({"age": age, "job": job, "income": income})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_on_the_page_runs(page, tmp_path, monkeypatch):
    pytest.importorskip("imblearn")
    # Imported as a file, not run by exec: classes defined on the page can then be pickled.
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(python_blocks(page)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("page", program)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "page", module)
    monkeypatch.chdir(tmp_path)
    own_table().to_csv("my.csv", index=False)

    spec.loader.exec_module(module)


def test_every_page_with_code_is_found():
    assert {"README.md", "quickstart.rst", "scorer.rst", "detector.rst", "selector.rst",
            "pipelines.rst", "nets.rst"} <= {page.name for page in PAGES}  # fmt: skip
