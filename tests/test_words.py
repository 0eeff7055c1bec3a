"""Words that this project does not use, each with the word to use instead.

The standard term of the field beats a metaphor, and a short word beats a riddle. Spelling is
checked by codespell, whose settings are in pyproject.toml.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ["skinfluence", "tests", "docs", "examples", "benchmarks", ".github"]
MADE = {"_build", "generated", "auto_examples", "mathjax", "__pycache__"}
SUFFIXES = {".py", ".rst", ".md", ".j2", ".toml", ".txt", ".yml"}

MORE = "longer|more|less|larger|better|worse|clearer|defense"
INSTEAD = {
    r"foretell\w*|foretold": "predict",
    r"culprits?": "mislabeled row, noisy label",
    r"verdicts?": "label score",
    r"beliefs?": "predicted probability",
    r"(?-i:snapshot)": "checkpoint",
    r"by lot": "at random",
    r"by heart": "memorized",
    r"for the while": "(leave it out)",
    r"as it comes": "with default settings",
    r"best of the floors": "strongest baseline",
    rf"are no (?!{MORE})\w+": "are not",
    rf"(?<!there )is no (?!{MORE})\w+": "is not a",
    r"one \w+ a (row|class|unit|batch|label|fold|epoch|layer|member|column)": "one ... per ...",
}
FILES = sorted(
    path
    for folder in [ROOT, *(ROOT / name for name in FOLDERS)]
    for path in (folder.glob("*") if folder == ROOT else folder.rglob("*"))
    if path.suffix in SUFFIXES and not MADE & {*path.parts} and path != Path(__file__)
)


@pytest.mark.parametrize("word", INSTEAD)
def test_the_project_does_not_use_this_word(word):
    pattern = re.compile(rf"\b({word})\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, f"write {INSTEAD[word]!r} instead:\n" + "\n".join(found)


def test_every_folder_is_searched():
    searched = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert {"skinfluence", "tests"} <= searched
