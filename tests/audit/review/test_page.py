"""The page in a real browser, by clicks and keys. Without Chromium these tests are skipped."""

import pytest
from browser import CHROMIUM, Browser
from review_case import findings_of, program, small_table

from skinfluence.__main__ import main
from skinfluence._audit import report
from skinfluence._audit.formats.delimited import table_from_columns

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: the page is not tested in a browser"
)

COMMAND = "python -m skinfluence apply my.csv decisions.csv --output reviewed.csv"


def page_of(table, findings, **options):
    given = {"action": "drop", "command": "x", "n_changed": 0, "apply_command": COMMAND, **options}
    return report.render("my.csv", table, findings, **given)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def run(browser, tmp_path_factory):
    """A function that runs a program in a page."""
    folder = tmp_path_factory.mktemp("pages")

    def run(html, code, **options):
        path = folder / "report.html"
        path.write_text(html, encoding="utf-8")
        browser.open(path, **options)
        return browser.run(program("helpers") + code)

    return run


@pytest.fixture(scope="module")
def reviewed(run):
    """What a person does by keyboard in a page of 30 suspects, what they see, and their file."""
    table = small_table(90)
    html = page_of(table, findings_of(table, 30))
    seen = run(html, program("keyboard"))
    again = run(html, 'return [text("#counts"), text("#row-name")]')
    return table, seen, again


def test_thirty_suspects_are_reviewed_by_keyboard(reviewed):
    _, seen, _ = reviewed
    assert seen["start"] == "Row 1"
    assert seen["hint"].startswith("Of the next 10, about")
    assert seen["after"] == [
        "4 of 30 suspects decided: 2 relabeled, 1 kept, 1 dropped, 1 skipped",
        "Row 6",
        "Row 5 relabeled as class 2. Next: row 6.",
    ]
    assert seen["undone"] == [
        "3 of 30 suspects decided: 1 relabeled, 1 kept, 1 dropped, 1 skipped",
        "Row 5",
        "no decision yet",
    ]
    assert seen["earlier"] == ["Row 4", "skipped"]
    assert seen["last"] == ["Row 30", "This is the last suspect of the list."]
    assert seen["end"][0].startswith("30 of 30 suspects decided: ")
    assert seen["end"][1] == "Every row of the list has a decision."
    assert "from your 30 decisions and the scores: about 0 (0 to 0) among" in seen["end"][2]
    assert seen["isApplyShown"] == COMMAND


def test_decisions_are_kept_in_the_browser(reviewed):
    _, seen, again = reviewed
    assert again == [seen["end"][0], "Row 1"]


def test_the_saved_decisions_are_applied_to_the_file(reviewed, tmp_path, capsys):
    table, seen, _ = reviewed
    table.source.write(tmp_path / "my.csv", {})
    (tmp_path / "decisions.csv").write_text(seen["csv"], encoding="utf-8", newline="")
    names = [str(tmp_path / name) for name in ("my.csv", "decisions.csv", "reviewed.csv")]
    assert main(["apply", *names[:2], "-o", names[2]]) == 0
    out = capsys.readouterr().out
    assert "rows      90 = 89 kept + 1 dropped" in out
    before = (tmp_path / "my.csv").read_text(encoding="utf-8").splitlines()
    after = (tmp_path / "reviewed.csv").read_text(encoding="utf-8").splitlines()
    assert after[1] == before[1].replace("class 0", "class 1")  # accepted
    assert after[2] == before[2]  # kept
    assert before[3] not in after  # dropped
    assert after[30:] == before[31:]  # no suspects


@pytest.fixture(scope="module")
def clicked(run):
    """What clicks on buttons, filters and the fields do, in a page of many classes."""
    table = small_table(120, n_classes=12)
    findings = findings_of(table, 24)
    findings.state[[50, 60]] = "unclear"
    return run(page_of(table, findings), program("clicks"))


def test_buttons_decide_and_the_list_shows_it(clicked):
    assert clicked["counts"] == "3 of 24 suspects decided: 1 relabeled, 1 kept, 1 dropped"
    assert clicked["states"] == ["relabel", "keep", "drop", "open"]


def test_filters_sorting_and_search(clicked):
    assert clicked["label"] == ["2 of 26 rows", "Row 4"]
    assert clicked["state"] == ["1 of 26 rows", "Row 1"]
    assert clicked["search"] == ["1 of 26 rows", "Row 24"]
    assert clicked["none"].startswith("No row fits the filter.")
    assert clicked["sorted"] == [f"class {a} → class {b}" for a, b in [(11, 0), (11, 0), (0, 1)]]


def test_another_label_is_chosen_from_the_list_of_many_classes(clicked):
    assert clicked["focus"] == "other"
    assert clicked["inField"] == clicked["counts"]
    assert clicked["other"].startswith("Row 12 relabeled as class 7. Next: row ")


def test_keys_do_nothing_under_the_help_and_in_another_tab(clicked):
    assert clicked["help"][0] is True
    assert clicked["help"][1] == clicked["afterTab"]
    assert clicked["tabs"] == [True, False, True]


def test_the_open_suspect_shows_why_and_its_neighbors(clicked):
    assert clicked["why"] == "in-sample probability"
    assert clicked["opened"] == ["Row 9", 3]


def test_unclear_rows_come_when_they_are_asked_for(clicked):
    assert clicked["unclear"] == ["2 of 26 rows", "Row 51"]


def test_saved_decisions_are_loaded_again(clicked):
    assert clicked["loaded"] == ["1 decisions were loaded from d.csv.", "keep"]


EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


@pytest.mark.parametrize("width", [1400, 400])
def test_long_and_evil_cells_neither_widen_the_page_nor_run(run, width):
    long = {"note": ["x" * 500 if i % 2 else "word " * 60 for i in range(60)], "n" * 90: ["y"] * 60}
    table = small_table(60, columns={**long, EVIL: [EVIL] * 60})
    found = run(page_of(table, findings_of(table)), program("width"), width=width)
    assert found["inner"] <= width
    assert found["wide"] == []
    assert found["scrolls"] <= found["inner"]
    assert found["hacked"] is None
    assert EVIL in found["shown"]


def test_images_and_the_storage_that_is_missing(run, tmp_path):
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    table = small_table(60, columns={"photo": [pixel] * 30 + ["no such.png"] * 30})
    html = page_of(table, findings_of(table, 40), source=str(tmp_path / "my.csv"))
    no_storage = "Object.defineProperty(window, 'localStorage', { get() { throw Error() } });"
    html = html.replace("<script>", "<script>" + no_storage, 1)
    found = run(html, program("images"))
    assert found[:3] == [1, "1 of 40 suspects decided: 1 relabeled", True]
    assert found[3].startswith("image not found: file://")


def test_real_keys_at_400_pixels(run, browser):
    table = small_table(66)
    run(page_of(table, findings_of(table, 9)), "", width=400)
    seen = "return [document.activeElement.id, byId('help').open, byId('counts').textContent]"
    browser.press("a", "?")
    assert browser.run(seen)[1] is True
    browser.press("Escape", "/", "r", "o", "w", " ", "5")
    assert browser.run(seen)[0] == "f-search"
    assert browser.run("return page.rows") == [5]
    browser.press("Escape", "Enter")
    assert browser.run(seen)[1:] == [False, "2 of 9 suspects decided: 2 relabeled"]
    assert browser.run("return [page.review.state(1), page.review.state(5)]") == ["relabel"] * 2
    browser.press("Tab")
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.run(outline) == "solid"


def test_another_number_is_typed(run, browser):
    columns = [["1.5", "2.5"] * 30, ["2", "3"] * 30, [f"{i}.5" for i in range(60)]]
    table = table_from_columns(["a", "b", "price"], columns)
    run(page_of(table, findings_of(table, 4)), "")
    browser.press("l", "7", ",", "2", "Enter")
    assert browser.run("return page.review.toCsv()") == (
        'row,given_label,decision,new_label\r\n1,0.5,relabel,"7,2"\r\n'
    )
    assert "predict 1.5. Nets trained with it predict 0." in browser.run("""
        page.open(1);
        return byId('card').textContent;
    """)


def test_two_tabs_of_one_report_agree(run):
    table = small_table(72)
    found = run(
        page_of(table, findings_of(table, 4)),
        """
        const other = { 2: { given: "class 1", decision: "drop", newLabel: "" }, 3: "nonsense" };
        localStorage.setItem(page.storage.key, JSON.stringify(other));
        dispatchEvent(new StorageEvent("storage", { key: page.storage.key }));
        return [text("#counts"), page.review.state(2)];
        """,
    )
    assert found == ["1 of 4 suspects decided: 1 dropped", "drop"]
