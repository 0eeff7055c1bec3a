"""Training on a sample of the rows, and scores for all of them."""

import numpy as np
import pytest
from small_audit import read, run

from skinfluence._audit import sampling


def test_each_class_keeps_its_share_and_small_ones_enough_rows():
    codes = np.repeat([0, 1, 2], [6000, 3000, 30])[np.random.RandomState(0).permutation(9030)]
    chosen = sampling.choose_rows(codes, 903, least=10, seed=0)
    assert np.bincount(codes[chosen]).tolist() == [600, 300, 10]
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, sampling.choose_rows(codes, 903, least=10, seed=0))
    assert not np.array_equal(chosen, sampling.choose_rows(codes, 903, least=10, seed=1))


def test_more_inputs_classes_and_folds_leave_fewer_rows():
    few = sampling.most_rows(20, 2, 5)
    assert few > 300_000
    assert few > sampling.most_rows(200, 2, 5) > sampling.most_rows(2000, 2, 5) > 20_000
    assert few > sampling.most_rows(20, 26, 5) > 100_000
    assert few > sampling.most_rows(20, 2, 10)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_outside_of_the_sample_are_scored_as_well(
    quick_audit, tmp_path, capsys, monkeypatch, task
):
    monkeypatch.setattr(sampling, "CHUNK", 70)
    rng = np.random.RandomState(0)
    x = rng.rand(400)
    y = (x > 0.5).astype(int) if task == "classification" else (1000 * x + rng.randn(400)).round(1)
    if task == "classification":
        y[::40] = 1 - y[::40]
    else:
        y[::40] += 100
    path, out = tmp_path / "t.csv", tmp_path / "out"
    lines = [f"{a:.4f},{b}" for a, b in zip(x, y, strict=True)]
    path.write_text("x,y\n" + "\n".join(lines), encoding="utf-8")
    assert run(path, "--output", out, "--train-rows", 100, "--cv", 2) == 0
    captured = capsys.readouterr()
    assert "sample    the nets were trained on 100 of the 400 rows" in captured.out
    assert "other rows: 100%" in captured.err
    scores = read(out / "scores.csv")[1:]
    assert len(scores) == 400
    assert all(np.isfinite(float(row[3])) and row[4] for row in scores)
    planted = {str(i + 1) for i in range(0, 400, 40)}
    found = {row[0] for row in read(out / "suspects.csv")[1:]}
    assert len(found & planted) >= 8
    assert len(found - planted) <= 2


def test_the_default_detector_finds_wrong_labels_outside_of_its_sample(tmp_path):
    rng = np.random.RandomState(0)
    y = np.arange(200) % 2
    x = 3 * y + 0.4 * rng.randn(200)
    y[:20] = 1 - y[:20]
    path, out = tmp_path / "t.csv", tmp_path / "out"
    lines = [f"{a:.4f},{'yes' if b else 'no'}" for a, b in zip(x, y, strict=True)]
    path.write_text("x,y\n" + "\n".join(lines), encoding="utf-8")
    assert run(path, "--output", out, "--train-rows", 120, "--cv", 2, "--quiet") == 0
    found = {int(row[0]) for row in read(out / "suspects.csv")[1:]}
    assert len(found & set(range(1, 21))) >= 15
    assert len(found - set(range(1, 21))) <= 1
