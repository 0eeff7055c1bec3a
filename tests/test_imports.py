"""Imports run one way, and what is heavy is imported late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skinfluence

PACKAGE = Path(skinfluence.__file__).parent

# A room (a module or a package) imports only from rooms above it, never from its own line or below.
ORDER = [
    {"_extras", "_version", "targets"},
    {"_base", "_core"},
    {"_data"},
    {"nets"},
    {"text"},
    {"images"},
    {"columns"},
    {"_fitting", "curvature", "datasets", "diffusion", "metrics", "rules"},
    {"attacks", "ensembles", "methods", "plotting", "retraining", "stream"},
    {"_label_noise"},
    {"_detector", "_scorer"},
    {"_selector", "active", "pairwise", "subsets"},
    {"_filtered"},
    {"__init__"},
    {"_audit"},
    {"__main__"},
]
LINE = {room: line for line, rooms in enumerate(ORDER) for room in rooms}

# The same inside each private package, file by file.
INSIDE = {
    "_core": [
        {"forward_mode", "random_state", "sparse_rows", "states", "switches"},
        {"tensors"},
        {"checked_rows", "factors", "gates", "memory", "shell"},
        {"layer_rules", "row_loss"},
        {"functional_module"},
        {"batches"},
        {"net"},
        {"kernels"},
        {"gradients", "label_gradients"},
        {"ghost", "selfcheck"},
        {"recheck"},
        {"directions", "influence"},
        {"pairs"},
        {"projection"},
        {"row_scores"},
        {"members"},
        {"aggregation"},
    ],
    "_data": [
        {"arrays", "embedding_cache", "items", "params", "times"},
        {"frames"},
        {"rows"},
        {"labels"},
        {"reference"},
    ],
    "_fitting": [
        {"checkpoints", "isolation", "parallel"},
        {"cross_scoring", "fit"},
        {"training_data"},
    ],
    "_label_noise": [{"noise_model"}, {"fold_net"}, {"label_scores"}],
    "_audit": [
        {"one_column", "spelling_key", "stored_text"},
        {"streams", "table"},
        {"options", "output_folder"},
        {"config"},
        {"formats"},
        {"demo", "features", "media"},
        {"evidence", "labels"},
        {"sampling"},
        {"findings"},
        {"issues", "summary"},
        {"files", "terminal"},
        {"review"},
        {"report"},
        {"result"},
        {"job"},
        {"__init__"},
    ],
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    """Name of the top-level module or sub-package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Dotted names that a file imports anywhere; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path):
    for name in imported(path):
        head, _, rest = name.partition(".")
        if head == "skinfluence":
            room = rest.partition(".")[0]
            # any other name is one that the package itself offers
            yield room if room in LINE or (PACKAGE / f"{room}.py").exists() else "__init__"


def arrows_up(path):
    own = room_of(path)
    # `from skinfluence import _x` names the package too, only to get at the room
    found = set(rooms_imported(path)) - {own}
    named = {n for n in imported(path) if n.startswith("skinfluence.")}
    if all(n.split(".")[1] in LINE for n in named):
        found.discard("__init__")
    return {room for room in found if LINE[room] >= LINE[own]}


@pytest.mark.parametrize("room", sorted({room_of(path) for path in FILES}))
def test_every_room_has_its_place_in_the_order(room):
    assert room in LINE, f"say in ORDER which rooms {room} may import from"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_points_up(path):
    assert not arrows_up(path)


INNER = [path for path in FILES if room_of(path) in INSIDE]


@pytest.mark.parametrize("path", INNER, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_inside_a_private_package_points_up(path):
    package = room_of(path)
    own = path.relative_to(PACKAGE / package).parts[0].removesuffix(".py")
    line = {file: number for number, files in enumerate(INSIDE[package]) for file in files}
    if path.stem == "__init__" and not path.read_text(encoding="utf-8"):
        return
    head = f"skinfluence.{package}."
    names = {n.removeprefix(head).split(".")[0] for n in imported(path) if n.startswith(head)}
    files = {name for name in names - {own} if name in line}  # other names are not files
    assert own in line, f"say in INSIDE which files {own} may import from"
    assert not {file for file in files if line[file] >= line[own]}


@pytest.mark.parametrize(
    "text",
    [
        "from skinfluence._scorer import InfluenceScorer",
        "from skinfluence import _scorer",
        "import skinfluence._scorer",
        "def f():\n    from skinfluence import InfluenceScorer",
        "from skinfluence import _filtered as fitted",
    ],
)
def test_an_arrow_that_points_up_is_found(text, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    path = tmp_path / "_core.py"
    path.write_text(text)
    assert arrows_up(path)


@pytest.mark.parametrize("room", ["rules", "metrics", "datasets", "plotting"])
@pytest.mark.parametrize("heavy", ["torch", "skorch"])
def test_rooms_for_arrays_need_no_torch(room, heavy):
    files = [path for path in FILES if room_of(path) == room]
    assert heavy not in {name.partition(".")[0] for f in files for name in imported(f)}


def test_only_the_net_knows_skorch_in_the_core():
    files = [p for p in FILES if room_of(p) in ("_core", "targets")]
    assert len(files) > 10
    knowing = {p.stem for p in files if "skorch" in {n.split(".")[0] for n in imported(p)}}
    assert knowing == {"batches", "net"}


OPTIONAL = [
    "PIL", "charset_normalizer", "datasets", "duckdb", "efficientnet_lite_pytorch", "imblearn",
    "jinja2", "matplotlib", "openpyxl", "pandas", "peft", "polars", "pyarrow", "python_calamine",
    "reasoning_gym", "timm", "torchvision", "transformers", "zstandard",
]  # fmt: skip


CORE = sorted(p.stem for p in FILES if room_of(p) == "_core" and p.stem != "__init__")


@pytest.mark.parametrize("name", CORE)
def test_every_file_of_the_core_has_its_tests(name):
    assert (Path(__file__).parent / "core" / f"test_{name}.py").exists()


@pytest.mark.parametrize("name", CORE)
def test_the_readme_of_the_core_says_what_is_in_every_file(name):
    assert f"| `{name}.py` |" in (PACKAGE / "_core" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OPTIONAL)
def test_only_the_audit_and_columns_import_an_optional_package_at_once(name):
    def at_once(path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tops = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
        return {
            (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
            for node in tops
            for alias in node.names
        }

    eager = {room_of(p) for p in FILES if any(m.split(".")[0] == name for m in at_once(p))}
    assert eager <= {"_audit", "columns"}


@pytest.fixture(scope="module")
def added():
    """What a fresh interpreter loads for the package beyond what its dependencies load."""
    code = (
        "import sys, torch, skorch, sklearn.base; before = set(sys.modules); "
        "import skinfluence; print(*set(sys.modules) - before)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent, timeout=120
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", OPTIONAL)
def test_importing_the_package_loads_no_optional_package(name, added):
    assert name not in added


def test_importing_the_package_does_not_load_the_audit(added):
    assert "skinfluence._filtered" in added
    assert "skinfluence._audit" not in added
