"""Tasks for Label Studio, and its exports as decisions."""

import json

import numpy as np
import pytest
from review_case import findings_of, small_table

from skinfluence.__main__ import main
from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.review.decisions import Decision
from skinfluence._audit.review.label_studio import DROP, interface, read_export, tasks
from skinfluence._audit.review.media import Media


def export_of(folder, found):
    path = folder / "export.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def annotated(task, *choices, canceled=()):
    """A task as Label Studio exports it, with one annotation per choice."""
    annotations = [
        {
            "id": number,
            "was_cancelled": number in canceled,
            "result": []
            if choice is None
            else [{**task["predictions"][0]["result"][0], "value": {"choices": [choice]}}],
        }
        for number, choice in enumerate(choices)
    ]
    return {"id": 7, "data": task["data"], "annotations": annotations, "predictions": []}


@pytest.fixture
def case():
    table = small_table(30)
    return table, findings_of(table, 4)


def test_a_task_per_suspect_with_the_suggestion_as_its_prediction(case):
    first = tasks(*case)[0]
    assert first["data"]["skinfluence_row"] == 1
    assert first["data"]["given_label"] == "class 0"
    size, shape, color, _ = case[0].cells[0]
    assert first["data"]["text"] == f"size: {size}\nshape: {shape}\ncolor: {color}"
    (prediction,) = first["predictions"]
    (result,) = prediction["result"]
    assert result["value"] == {"choices": ["class 1"]}
    assert [result[key] for key in ("from_name", "to_name", "type")] == ["label", "text", "choices"]
    assert prediction["score"] == round(1 / (1 + np.exp(-0.8 * 4.0)), 4)
    assert json.loads(json.dumps(first)) == first


def test_images_and_numbers():
    columns = [["a.png"] * 60, [f"{i}" for i in range(60)], [f"{i}.5" for i in range(60)]]
    table = table_from_columns(["photo", "x", "y"], columns)
    findings = findings_of(table, 2, X=[[float(i)] for i in range(60)])
    media = Media(0, "image", lambda row: f"file:///a{row}.png")
    first = tasks(table, findings, media)[0]
    assert first["data"]["image"] == "file:///a0.png"
    assert first["data"]["text"] == "x: 0"
    result = first["predictions"][0]["result"][0]
    assert result["value"] == {"number": 1.5}
    assert (result["to_name"], result["type"]) == ("image", "number")
    assert '<Number name="label" toName="image"/>' in interface(findings, media)


def test_the_interface_offers_every_class_and_dropping(case):
    config = interface(case[1])
    for choice in ("class 0", "class 1", "class 2", DROP):
        assert f'<Choice value="{choice}"/>' in config


def test_annotations_become_decisions(case, tmp_path):
    found = tasks(*case)
    path = export_of(
        tmp_path,
        [
            annotated(found[0], "class 1"),
            annotated(found[1], "class 1"),
            annotated(found[2], "class 0", DROP, canceled={0}),
            annotated(found[3], None),
        ],
    )
    assert read_export(path) == [
        Decision(1, "class 0", "relabel", "class 1"),
        Decision(2, "class 1", "keep"),
        Decision(3, "class 2", "drop"),
        Decision(4, "class 0", "skip"),
    ]


@pytest.mark.parametrize("chosen", ["class 2", {"choices": ["class 2"]}])
def test_the_short_export_is_read_too(tmp_path, chosen):
    task = {"id": 1, "skinfluence_row": 2, "given_label": "class 1", "text": "x", "label": chosen}
    path = export_of(tmp_path, [task, {**task, "skinfluence_row": 3, "label": None}])
    assert read_export(path) == [
        Decision(2, "class 1", "relabel", "class 2"),
        Decision(3, "class 1", "skip"),
    ]


def test_numbers_are_read(tmp_path):
    region = {"from_name": "label", "type": "number", "value": {"number": 2.5}}
    data = {"skinfluence_row": 1, "given_label": "1.5"}
    path = export_of(tmp_path, [{"data": data, "annotations": [{"result": [region]}]}])
    assert read_export(path) == [Decision(1, "1.5", "relabel", "2.5")]


def test_an_export_is_applied(case, tmp_path, capsys):
    table, findings = case
    table.source.write(tmp_path / "t.csv", {})
    path = export_of(tmp_path, [annotated(tasks(table, findings)[0], "class 2")])
    out = tmp_path / "reviewed.csv"
    assert main(["apply", str(tmp_path / "t.csv"), str(path), "-o", str(out)]) == 0
    assert "1 of the kept rows relabeled" in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").splitlines()[1].endswith(",class 2")


def test_annotators_who_disagree_are_named(case, tmp_path, capsys):
    table, findings = case
    table.source.write(tmp_path / "t.csv", {})
    path = export_of(tmp_path, [annotated(tasks(table, findings)[0], "class 2", "class 1")])
    assert main(["apply", str(tmp_path / "t.csv"), str(path), "-o", str(tmp_path / "r.csv")]) == 2
    err = capsys.readouterr().err
    assert "row 1 has two decisions, relabel class 2 and relabel class 1" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "expected a list of tasks"),
        ('[{"data": {"text": "x"}}]', "task 1 of"),
    ],
)
def test_another_json_file_is_refused(tmp_path, capsys, text, message):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "d.json").write_text(text, encoding="utf-8")
    names = [str(tmp_path / name) for name in ("t.csv", "d.json", "r.csv")]
    assert main(["apply", *names[:2], "-o", names[2]]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.peer
def test_label_studio_accepts_the_tasks(case):
    sdk = pytest.importorskip("label_studio_sdk.label_interface")
    table, findings = case
    numbers = table_from_columns(["x", "y"], [["1", "2"] * 30, [f"{i}.5" for i in range(60)]])
    image = Media(0, "image", lambda row: f"file:///{row}.png")
    for given, found, media in [
        (table, findings, None),
        (table, findings, image),
        (numbers, findings_of(numbers, 3), None),
    ]:
        config = sdk.LabelInterface(interface(found, media))
        config.validate()
        for task in tasks(given, found, media):
            assert config.validate_task({"data": task["data"]})  # 2.1.2 fails on predictions
            assert config.validate_prediction(task["predictions"][0])
