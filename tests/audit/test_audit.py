"""The main job, with a quick detector in place of the nets except where the claim is about them."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from skinfluence.__main__ import main  # noqa: E402
from skinfluence._audit import csv_table, features, job  # noqa: E402


class QuickDetector:
    """The detector's interface over out-of-fold predictions of a linear model."""

    def __init__(self, contamination):
        self.contamination = contamination

    def fit_predict(self, X, y):
        assert X.dtype == np.float64
        assert np.isfinite(X).all()
        if y.dtype.kind == "f":
            self.suggested_labels_ = cross_val_predict(Ridge(), X, y)
            self.scores_ = -np.abs(self.suggested_labels_ - y)
        else:
            model = LogisticRegression(max_iter=1000)
            chance = cross_val_predict(model, X, y, cv=2, method="predict_proba")
            classes, codes = np.unique(y, return_inverse=True)
            self.suggested_labels_ = classes[chance.argmax(axis=1)]
            self.scores_ = chance[np.arange(len(y)), codes]
        self.offset_ = np.quantile(self.scores_, self.contamination)
        self.inlier_mask_ = self.scores_ >= self.offset_
        return np.where(self.inlier_mask_, 1, -1)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(
        job, "make_detector", lambda options, _: QuickDetector(options.contamination)
    )


def mixed_csv(n=80, wrong=(3, 40), sep=",", newline="\n"):
    """Labels that `size` tells, two of them wrong, and every nasty kind of column."""
    lines = [sep.join(["id", "zip", "size", "colour", "note", "half", "empty", "same", "kind"])]
    for i in range(n):
        is_big = (i % 2 == 0) != (i in wrong)
        size = f"{2 if i % 2 == 0 else 1}.{i % 7}0"
        colour = ["red", "", "NA", '"blue, dark"' if sep == "," else "blue"][i % 4]
        half = "1" if i % 3 else ""
        cells = [f"row-{i}", f"{i % 5:03d}", size, colour, f" x{i % 3} ", half, "", "c"]
        lines.append(sep.join([*cells, "big" if is_big else "small"]))
    return newline.join(lines) + newline


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "my table.csv"
    path.write_text(mixed_csv(), encoding="utf-8", newline="")
    return path


def run(*arguments):
    return main(["audit", *map(str, arguments)])


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


# ------------------------------------------------------------------------------ what is written


def test_a_dropped_table_is_the_input_without_the_suspects_lines(quick, table, tmp_path):
    assert run(table, "--output", tmp_path / "out", "--contamination", 0.025) == 0
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    expected = [line for i, line in enumerate(lines) if i not in (4, 41)]
    assert (tmp_path / "out" / "cleaned.csv").read_bytes().decode() == "".join(expected)


@pytest.mark.parametrize(("given", "wanted"), [("auto", "auto"), ("0.2", 0.2)])
def test_the_share_to_flag_is_a_number_or_estimated(monkeypatch, table, tmp_path, given, wanted):
    asked = []

    def detector(options, _):
        asked.append(options.contamination)
        return QuickDetector(0.1)

    monkeypatch.setattr(job, "make_detector", detector)
    assert run(table, "--output", tmp_path / "out", "--contamination", given) == 0
    assert asked == [wanted]


def test_suspects_come_first_to_last_with_every_column(quick, table, tmp_path):
    run(table, "--output", tmp_path / "out", "--contamination", 0.1)
    header, *rows = read(tmp_path / "out" / "suspects.csv")
    given = read(table)
    assert header[:4] == [
        f"skinfluence_{name}" for name in ("row", "given_label", "suggested_label", "score")
    ]
    assert header[4:] == given[0]
    assert {rows[0][0], rows[1][0]} == {"4", "41"}
    scores = [float(row[3]) for row in rows]
    assert scores == sorted(scores)
    for row in rows:
        assert row[4:] == given[int(row[0])]
        assert row[1] == row[-1]


def test_relabel_changes_the_labels_of_suspects_and_nothing_else(quick, table, tmp_path):
    run(table, "--output", tmp_path / "out", "--contamination", 0.025, "--action", "relabel")
    before, after = read(table), read(tmp_path / "out" / "cleaned.csv")
    assert [row[:-1] for row in before] == [row[:-1] for row in after]
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed == [4, 41]
    assert [after[i][-1] for i in changed] == ["small", "big"]
    untouched = (tmp_path / "out" / "cleaned.csv").read_text(encoding="utf-8").splitlines()
    assert untouched[:4] == table.read_text(encoding="utf-8").splitlines()[:4]


@pytest.mark.parametrize("sep", [";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_separator_and_line_ends_are_found_and_kept(quick, tmp_path, sep, newline):
    path = tmp_path / "t.csv"
    path.write_text(mixed_csv(sep=sep, newline=newline), encoding="utf-8", newline="")
    assert run(path, "--output", tmp_path / "out", "--contamination", 0.025) == 0
    cleaned = (tmp_path / "out" / "cleaned.csv").read_bytes().decode()
    assert cleaned == "".join(
        line
        for i, line in enumerate(mixed_csv(sep=sep, newline=newline).splitlines(keepends=True))
        if i not in (4, 41)
    )


def test_encoding_and_byte_order_mark_are_kept(quick, tmp_path):
    text = mixed_csv().replace("red", "grün")
    for encoding, option in [("utf-8-sig", "utf-8"), ("latin-1", "latin-1")]:
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(text.encode(encoding))
        assert run(path, "--encoding", option, "--output", tmp_path / encoding, "--quiet") == 0
        cleaned = (tmp_path / encoding / "cleaned.csv").read_bytes()
        assert cleaned.startswith("id,zip".encode(encoding))
        assert "grün" in cleaned.decode(encoding)


def test_rows_without_a_label_are_kept_and_counted(quick, table, tmp_path, capsys):
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[10:10] = ["new-1,001,1.10,red,x,1,,c,\n", "new-2,001,1.10,red,x,1,,c,NA\n"]
    table.write_text("".join(lines), encoding="utf-8")
    assert run(table, "--output", tmp_path / "out", "--contamination", 0.5) == 0
    assert "2 rows without a label" in capsys.readouterr().out
    cleaned = read(tmp_path / "out" / "cleaned.csv")
    assert [row[0] for row in cleaned if row[0].startswith("new")] == ["new-1", "new-2"]
    suspects = read(tmp_path / "out" / "suspects.csv")[1:]
    given = read(table)
    assert all(given[int(row[0])] == row[4:] for row in suspects)


def test_added_columns_never_collide_with_those_of_the_table(quick, table, tmp_path):
    run(table, "--output", tmp_path / "one", "--contamination", 0.5)
    assert (
        run(tmp_path / "one" / "suspects.csv", "--cv", 2, "--output", tmp_path / "two", "--quiet")
        == 0
    )
    header = read(tmp_path / "two" / "suspects.csv")[0]
    assert len(set(header)) == len(header)
    assert header[0] == "_skinfluence_row"
    assert "skinfluence_row" in header


def test_same_seed_writes_the_same_files(quick, table, tmp_path):
    for name in ("one", "two"):
        run(table, "--output", tmp_path / name, "--quiet")
    for file in ("suspects.csv", "cleaned.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_label_of_many_numbers_is_a_regression(quick, tmp_path, capsys):
    x = np.arange(60)
    y = 2.0 * (x * 7 % 60) + 1
    y[20] += 500
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": x * 7 % 60, "price": y}).to_csv(path, index=False)
    out = tmp_path / "out"
    assert run(path, "--output", out, "--contamination", 0.01, "--action", "relabel") == 0
    assert "task      regression" in capsys.readouterr().out
    [suspect] = read(out / "suspects.csv")[1:]
    assert suspect[0] == "21"
    assert read(out / "cleaned.csv")[21][1] == suspect[2]
    assert abs(float(suspect[2]) - (y[20] - 500)) < 60


def test_parquet_is_read(quick, table, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(table)
    frame["when"] = pd.Timestamp("2024-02-29")
    frame["number"] = pd.array([None, *range(1, len(frame))], dtype="Int64")
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    out = tmp_path / "out"
    assert run(path, "--label", "kind", "--output", out, "--contamination", 0.025) == 0
    header, *rows = read(out / "cleaned.csv")
    assert header == list(frame.columns)
    assert len(rows) == 78
    assert rows[1][-1] == "1"  # not 1.0, though the column has a missing value


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch, capsys):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert run(path) == 2
    assert "pip install 'skinfluence[parquet]'" in capsys.readouterr().err


# --------------------------------------------------------------------------- what is printed


def test_terminal_names_the_label_the_columns_left_out_and_the_files(
    quick, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    run(table, "--output", tmp_path / "out", "--top", 2, "--contamination", 0.025)
    out = capsys.readouterr().out
    assert "label     kind (the last column; --label chooses another)" in out
    assert "left out  id (a different text in every row)" in out
    assert "left out  empty (empty)" in out
    assert "left out  same (the same value in every row)" in out
    assert "2 suspects in 80 rows" in out
    for name in ("report.html", "suspects.csv", "cleaned.csv"):
        assert str(tmp_path / "out" / name) in out
    head = next(i for i, line in enumerate(out.splitlines()) if line.startswith("row"))
    printed = out.splitlines()[head : head + 3]
    assert {line.split()[0] for line in printed[1:]} == {"4", "41"}
    assert max(map(len, printed)) <= 80


def test_quiet_prints_nothing(quick, table, tmp_path, capsys):
    assert run(table, "--output", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_control_characters_of_a_cell_do_not_reach_the_terminal(quick, table, tmp_path, capsys):
    table.write_text(mixed_csv().replace("red", "\x1b[31mred"), encoding="utf-8")
    run(table, "--output", tmp_path / "out", "--contamination", 0.5, "--top", 40)
    assert "\x1b" not in capsys.readouterr().out


# ------------------------------------------------------------------------------- the report


def test_report_holds_everything_and_loads_nothing(quick, table, tmp_path):
    run(table, "--output", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/svg+xml;base64,') == 2
    for outside in ("http://", "https://", "<script", "<link", "url("):
        assert outside not in page
    assert "not a proven mistake" in page
    assert f"python -m skinfluence audit &#39;{table}&#39; --output {tmp_path / 'out'}" in page


def test_report_escapes_what_stands_in_the_table(quick, tmp_path):
    evil = '<img src=x onerror="alert(1)">'
    text = mixed_csv().replace("colour", "<b>colour</b>").replace("big", "<i>big</i>")
    rows = list(csv.reader(io.StringIO(text)))
    rows = [[evil if cell == "red" else cell for cell in row] for row in rows]
    path = tmp_path / "<u>t.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    assert run(path, "--output", tmp_path / "out", "--contamination", 0.5) == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for raw in ("<img src=x", "<b>colour", "<i>big", "<u>t.csv"):
        assert raw not in page
    assert "&lt;img src=x" in page


# -------------------------------------------------------------------------------- bad input


def bad_files():
    few = mixed_csv().replace("row-0,", "odd,").replace(",big\n", ",rare\n", 1)
    return {
        "empty": (b"", "the file is empty"),
        "header only": (b"a,b\n", "a header but no rows"),
        "ragged": (b"a,b\n1,2\n1,2,3\n", "row 2 has 3 cells, but the header has 2"),
        "one class": (b"a,b\n" + b"1,x\n2,x\n" * 20, "has only one class, 'x'"),
        "no labels": (b"a,b\n" + b"1,\n2,\n" * 20, "no row has a label"),
        "rare class": (few.encode(), "fewer than 10 rows (twice --cv): 'rare' (1)"),
        "no features": (b"a,b\n" + b"1,x\n1,y\n" * 20, "no column can be used to predict the label: a"),
        "encoding": ("a,b\nü,x\n".encode("latin-1"), "is not utf-8 text (byte 0xfc"),
        "spreadsheet": (b"PK\x03\x04" + b"\x00" * 40, "save the table as CSV"),
    }


@pytest.mark.parametrize("name", list(bad_files()))
def test_a_bad_file_gets_one_line_and_exit_code_two(quick, name, tmp_path, capsys):
    content, message = bad_files()[name]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert run(path, "--output", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert err.startswith("skinfluence audit: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "knid"], "no column is called 'knid'; the columns are: id, zip, size"),
        (["--contamination", "0"], "--contamination 0 must be above 0 and at most 0.5"),
        (["--contamination", "0.51"], "--contamination 0.51 must be above 0"),
        (["--contamination", "nan"], "--contamination nan must be above 0"),
        (["--cv", "1"], "--cv 1 must be at least 2"),
        (["--seed", "-1"], "--seed -1 must be between 0 and"),
        (["--encoding", "klingon"], "--encoding 'klingon' is unknown"),
        (["--sep", "::"], "--sep '::' must be one character"),
        (["--task", "regression"], "label 'kind' contains 'big', but regression needs finite numbers"),
        (["--label", "id"], "Is this the right column for --label?"),
    ],
)
def test_a_bad_option_gets_one_line_and_exit_code_two(
    quick, table, tmp_path, capsys, options, message
):
    assert run(table, "--output", tmp_path / "out", *options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_file_and_a_folder_are_refused(tmp_path, capsys):
    assert run(tmp_path / "nothing.csv") == 2
    assert "there is no file" in capsys.readouterr().err
    assert run(tmp_path) == 2
    assert "is a folder" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(quick, table, capsys):
    assert run(table, "--output", table) == 2
    assert "is a file; give a folder" in capsys.readouterr().err


def test_an_audit_never_overwrites_its_own_input(quick, table, tmp_path, capsys):
    path = tmp_path / "cleaned.csv"
    path.write_bytes(table.read_bytes())
    assert run(path, "--output", tmp_path) == 2
    assert "would overwrite its own input" in capsys.readouterr().err
    assert path.read_bytes() == table.read_bytes()


def test_a_missing_extra_says_what_to_install(table, monkeypatch, capsys):
    monkeypatch.setattr(job.importlib.util, "find_spec", lambda name: None)
    assert run(table) == 2
    assert capsys.readouterr().err == (
        "skinfluence audit: error: the audit needs packages that are not installed (pandas, "
        "matplotlib, jinja2): pip install 'skinfluence[audit]'.\n"
    )


def test_an_unknown_option_gets_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--lable", "x")
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("skinfluence")
    assert err.count("\n") == 1


# ----------------------------------------------------------------------- columns and cells


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", " 2.5", "?", ""], [1, 2.5, np.nan, np.nan]),
        (["007", "1e3", "NA"], [7, 1000, np.nan]),
        (["1,5", "2,0", "3"], [1.5, 2, 3]),
        (["1970-01-02", "1970-01-03T12:00", "null"], [1, 2.5, np.nan]),
        (["1", "inf"], [1, np.nan]),
        (["True", "False", ""], ["True", "False", None]),
        (["1", "two"], ["1", "two"]),
        (["", "NA"], [None, None]),
    ],
)
def test_columns_are_typed_as_people_read_them(cells, expected):
    values = features.typed_column(cells)
    if isinstance(expected[0], (int, float)):
        np.testing.assert_array_equal(values, expected)
    else:
        assert [None if pd.isna(value) else value for value in values] == expected


def test_a_row_number_is_left_out():
    assert features.reason_to_drop(pd.Series([5.0, 6.0, 7.0])) == "a row number"
    assert features.reason_to_drop(pd.Series([5.0, 6.0, 8.0])) is None


def test_many_categories_share_one_input():
    frame = pd.DataFrame({"0": pd.Series([f"c{i % 500}" for i in range(2000)], dtype=object)})
    assert features.make_preprocessor(frame).fit_transform(frame).shape == (2000, 32)


def test_missing_numbers_get_an_indicator_and_missing_categories_their_own():
    frame = pd.DataFrame(
        {
            "0": [1.0, np.nan, 3.0, 5.0, 5.0, 4.0],
            "1": pd.Series(["a", "b", None, "a", "b", None], dtype=object),
        }
    )
    X = features.make_preprocessor(frame).fit_transform(frame)
    np.testing.assert_array_equal(X[:, 1], [0, 1, 0, 0, 0, 0])
    assert X.shape == (6, 2 + 3)
    assert np.isfinite(X).all()


def test_quoted_cells_of_several_lines_are_one_record():
    text = 'a,b\n"one\n""two""",x\n3,y'
    table = csv_table.parse_table(text)
    assert table.cells == [['one\n"two"', "x"], ["3", "y"]]
    assert table.header_text + "".join(table.row_texts) == text + "\n"


def test_a_name_that_stands_twice_is_refused_as_label(tmp_path, quick, capsys):
    path = tmp_path / "t.csv"
    path.write_text("a,y,y\n" + "1,b,b\n2,c,c\n" * 10, encoding="utf-8")
    assert run(path, "--label", "y") == 2
    assert "2 columns are called 'y'" in capsys.readouterr().err


def test_blanks_around_labels_make_no_new_class_and_are_written_back(quick, tmp_path):
    lines = [f"{i % 2}.{i % 7}, {'big' if i % 2 != (i == 4) else 'small'}\n" for i in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("size, kind\n" + "".join(lines), encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["--label", "kind", "--contamination", "0.025", "--action", "relabel"]
    assert run(path, *arguments, "--output", out) == 0
    lines[4] = lines[4].replace("big", "small")
    assert (out / "cleaned.csv").read_text(encoding="utf-8") == "size, kind\n" + "".join(lines)


# ------------------------------------------------------------------------- with the real nets


@pytest.mark.slow
def test_the_bare_command_finds_most_of_what_was_planted(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "skinfluence", "audit", "--output", "out"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("found"))
    assert "of 57 planted wrong labels (chance would find 6)" in line
    assert int(line.split()[1]) >= 43  # three quarters
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/svg+xml;base64,') == 3
    assert len(read(tmp_path / "out" / "cleaned.csv")) == 1 + 569 - 57


def test_the_default_nets_judge_a_small_mixed_table(tmp_path, capfd):
    path = tmp_path / "t.csv"
    path.write_text(mixed_csv(n=120), encoding="utf-8")
    assert run(path, "--cv", 3, "--output", tmp_path / "out") == 0
    rows = {row[0] for row in read(tmp_path / "out" / "suspects.csv")[1:]}
    assert {"4", "41"} <= rows
    assert "100%" in capfd.readouterr().err  # the progress bar


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["794", "3,281", "1,843"], [794, 3281, 1843]),  # grouped thousands
        (["1,234,567", "2,000.5"], [1234567, 2000.5]),
        (["1,843.50", "2,000.25"], [1843.5, 2000.25]),
        (["0,715", "3,281", "2"], [0.715, 3.281, 2]),  # decimal commas
        (["1,250", "2,125"], [1.25, 2.125]),  # may be either
    ],
)
def test_commas_are_decimal_or_group_thousands(cells, values):
    assert features.parse_numbers(pd.Series(cells, dtype=object)).tolist() == values
