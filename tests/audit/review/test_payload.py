"""What the page is told: suspects, their rows, what is near them, and what is left out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from review_case import findings_of, small_table

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.review import neighbors, page, payload
from skinfluence._audit.review.media import Media, find_media
from skinfluence._audit.review.neighbors import MAX_PRODUCTS, find_neighbors, n_searched, nearest
from skinfluence._audit.review.payload import build, evidence


def test_nearest_rows_with_each_label_without_the_row_itself():
    X = np.array([[0.0], [0.1], [0.3], [1.0], [1.1], [5.0], [0.0]])
    labels = np.array(["a", "a", "b", "b", "a", "b", "a"], dtype=object)
    (found,) = find_neighbors(X, labels, [0], [("a", "b")])
    own, other = found.groups
    assert [row for row, _ in own] == [6, 1, 4]
    assert [row for row, _ in other] == [2, 3, 5]
    assert [distance for _, distance in other] == pytest.approx([0.3, 1.0, 5.0])
    assert found.votes == [("a", 3), ("b", 3)]


def test_a_label_that_no_other_row_has_has_no_nearest_row():
    labels = np.array(["a", "b", "b"], dtype=object)
    (found,) = find_neighbors(np.eye(3), labels, [0], [("a", "b")])
    assert found.groups[0] == []
    assert len(found.groups[1]) == 2


def test_many_equal_rows_do_not_hide_the_row_itself():
    found = nearest(np.zeros((50, 2)), np.arange(50), [7, 30], 3)
    assert all(len(near) == 3 for near in found)
    assert 7 not in [row for row, _ in found[0]]
    assert 30 not in [row for row, _ in found[1]]


def test_of_very_many_rows_evenly_spaced_ones_are_searched(monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_CANDIDATES", 1000)
    X = np.arange(1010, dtype=float)[:, None]
    (near,) = nearest(X, np.arange(1010), [1009], 3)
    assert [1000 < row < 1009 for row, _ in near] == [True, True, True]
    monkeypatch.undo()
    assert n_searched(np.zeros((10, 500)), 5000) == MAX_PRODUCTS / 2_500_000


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_suspects_with_their_rows_and_neighbors(task):
    table = small_table(60)
    if task == "regression":
        names = ["size", "shape", "price"]
        columns = [[f"{i % 7}.{i % 3}" for i in range(60)] for _ in names]
        columns[2] = [f"{i}.5" for i in range(60)]
        table = table_from_columns(names, columns)
    findings = findings_of(table, 5)
    data = build(table, findings, name="t.csv")
    json.loads(page.as_json(data))
    first = data["suspects"][0]
    assert [first["row"], data["labels"][first["given"]]] == [1, table.cells[0][-1]]
    assert data["labels"][first["suggested"]] == findings.suggested[0]
    assert data["n_suspects"] == len(data["suspects"]) == 5
    near = [row for group in first["near"] for row, _ in group]
    assert len(near) == 6
    assert 1 not in near
    for row in [1, *near]:
        assert data["rows"][row] == table.cells[row - 1][:-1]
        assert data["labels"][data["row_labels"][row]] == table.cells[row - 1][-1]
    assert sum(n for _, n in first["votes"]) == (10 if task == "classification" else 0)
    assert sum(n for _, n in data["rest"]) == 55


def test_signals_are_those_of_the_given_and_of_the_suggested_label():
    table = small_table(30)
    findings = findings_of(table, 2)
    findings.signals["influence"][1] = np.nan  # of a row that no net was trained with
    second = build(table, findings)["suspects"][1]
    assert second["signals"] == [
        {"name": "in-sample probability", "value": [0.2, 0.7]},
        {"name": "out-of-sample probability", "value": [0.1, 0.8]},
    ]


def test_the_most_probable_labels_are_named():
    table = small_table(120, n_classes=12)
    data = build(table, findings_of(table, 1))
    likely = [(data["labels"][i], p) for i, p in data["suspects"][0]["likely"]]
    assert likely[0] == ("class 9", 1.0)  # the last in the order of the alphabet
    assert [label for label, _ in likely[1:]] == ["class 8", "class 7", "class 6", "class 5"]


def test_a_label_of_few_rows_can_be_chosen_too():
    table = small_table(30)
    labels = [*(["a", "b"] * 14), "rare", ""]
    table = table_from_columns(table.names, [*table.columns[:-1], labels])
    data = build(table, findings_of(table, 3))
    assert data["labels"][: data["n_classes"]] == ["a", "b", "rare"]


def test_unclear_rows_follow_the_suspects():
    table = small_table(30)
    findings = findings_of(table, 3)
    findings.state[[7, 20]] = "unclear"
    found = build(table, findings)
    assert [s["row"] for s in found["suspects"]] == [1, 2, 3, 8, 21]
    assert [s["unclear"] for s in found["suspects"]] == [False, False, False, True, True]
    blind = replace(findings, trust=replace(findings.trust, has_learned=False))
    assert len(build(table, blind)["suspects"]) == 3


def test_a_table_without_suspects_has_a_page():
    table = small_table(30)
    data = build(table, findings_of(table, 0))
    assert data["suspects"] == []
    assert data["rows"] == {}
    assert sum(n for _, n in data["rest"]) == 30


def test_labels_keep_their_spelling():
    table = small_table(30, columns={"x": ["1"] * 30})
    labels = ["Yes", "No", "yes "] * 10
    table = table_from_columns(table.names, [*table.columns[:-1], labels])
    data = build(table, findings_of(table, 3))
    given = [data["labels"][suspect["given"]] for suspect in data["suspects"]]
    assert given == ["Yes", "No", "yes "]
    assert data["labels"][: data["n_classes"]] == ["Yes", "No", "yes "]


def test_evidence_is_minus_the_log_odds_and_a_rank_for_numbers():
    findings = findings_of(small_table(60), 5)
    assert evidence(findings)[:2] == pytest.approx([4.0, 4.0 - 1 / 60])
    columns = [["1.5", "2.5"] * 30, ["2", "3"] * 30, [f"{i}.5" for i in range(60)]]
    z = evidence(findings_of(table_from_columns(["a", "b", "y"], columns), 6))
    assert np.all(np.diff(z) < 0)
    assert z[5] > 0 > z[6]


def test_a_page_holds_a_stated_number_of_suspects(monkeypatch):
    table = small_table(60)
    findings = findings_of(table, 20)
    monkeypatch.setattr(payload, "MAX_ROWS", 7)
    data = build(table, findings)
    assert len(data["suspects"]) == 7
    assert data["n_suspects"] == 20
    assert sum(n for _, n in data["rest"]) == 53
    monkeypatch.setattr(payload, "MAX_CHARACTERS", 300)
    assert 1 <= len(build(table, findings)["suspects"]) < 7


def test_long_cells_and_many_columns_are_cut_and_counted(monkeypatch):
    columns = {f"c{i}": ["x" * 50] * 30 for i in range(6)}
    table = small_table(30, columns=columns)
    monkeypatch.setattr(payload, "MAX_COLUMNS", 4)
    monkeypatch.setattr(payload, "MAX_CELL", 10)
    data = build(table, findings_of(table, 3))
    assert len(data["columns"]) == 4
    assert data["n_hidden"] == 5
    assert max(len(cell) for cells in data["rows"].values() for cell in cells) == 10


def test_the_key_of_the_decisions_is_that_of_the_table_and_its_label():
    table, other = small_table(60), small_table(60)
    first = build(table, findings_of(table, 3))["key"]
    assert first == build(other, findings_of(other, 20))["key"]
    changed = table_from_columns(table.names, [*table.columns[:-1], ["class 0", "b", "c"] * 20])
    assert first != build(changed, findings_of(changed, 3))["key"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["a.png", "b/c.JPG"], "image"),
        (["data:image/png;base64,AAAA"] * 2, "image"),
        (["long " * 30, "longer " * 30], "text"),
        (["http://x.org/a.png"] * 2, None),  # the page loads nothing from a network
        (["short", "a.png"], None),
    ],
)
def test_images_and_long_texts_are_found(tmp_path, cells, kind):
    table = small_table(20, n_classes=2, columns={"note": cells * 10})
    found = find_media(table, findings_of(table), str(tmp_path / "t.csv"))
    assert (found and found.kind) == kind
    if kind == "image" and cells[1].startswith("b"):
        assert found.source(1) == (tmp_path / "b" / "c.JPG").as_uri()
        page_folder = tmp_path / "audit of it"
        moved = find_media(table, findings_of(table), str(tmp_path / "t.csv"), page_folder)
        assert moved.source(1) == "../b/c.JPG"


def test_characters_of_a_path_do_not_end_an_address(tmp_path):
    cells = ["a b#1?.png", "%41\0.png"] * 10
    table = small_table(20, n_classes=2, columns={"note": cells})
    found = find_media(table, findings_of(table), str(tmp_path / "t.csv"), tmp_path)
    assert found.source(0) == "a%20b%231%3F.png"
    assert found.source(1) in (None, "%2541%00.png")


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_column_is_shown_as_the_audit_used_it(kind):
    table = small_table(20, n_classes=2, columns={"file": ["about as long as a message"] * 20})
    findings = findings_of(table)
    assert find_media(table, findings, None) is None
    findings.prepared.kinds["3"] = kind
    found = find_media(table, findings, None)
    assert (found.column, found.kind) == (3, kind)


def test_images_can_be_given_from_outside():
    table = small_table(30)
    media = Media(1, "image", lambda row: None if row == 1 else f"data:image/png;base64,{row}")
    data = build(table, findings_of(table, 2), media=media)
    assert data["media"] == {"kind": "image", "column": 0}
    assert data["columns"] == ["shape", "size", "color"]
    assert data["rows"][1][0] == "data:image/png;base64,0"
    assert data["rows"][2][0] == ""


def test_json_can_stand_in_a_script_element():
    data = {"a": "</script><!--", "b": "\ud800 \u2028 \u202e \x9b \U000e0001 \n ä 中"}
    text = page.as_json(data)
    assert "<" not in text
    assert "ä 中" in text
    assert text.isprintable()
    assert json.loads(text) == data
