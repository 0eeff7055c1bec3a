"""Workbooks."""

import datetime
import io
import sys
import zipfile

import pytest
from written import expect_changes, given, rewritten

from skinfluence._audit.formats import read_table
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError

openpyxl = pytest.importorskip("openpyxl")


@pytest.fixture
def book(tmp_path):
    """A workbook with a title, a table that starts at B4, formats, formulas, and a second sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Data"
    sheet["B2"] = "Report of all sales"
    rows = [["day", "n", "double", "kind"]]
    for i in range(6):
        day = datetime.datetime(2024, 1, 1 + i)
        rows.append([day, i * 1.5, f"=C{5 + i}*2", "uv"[i % 2]])
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            sheet.cell(4 + i, 2 + j, value)
    sheet["J9"] = openpyxl.worksheet.formula.ArrayFormula("J9", "=SUM(C9*C9)")
    sheet["J9"].hyperlink = "https://example.org"
    sheet["E9"].font = openpyxl.styles.Font(bold=True)
    sheet.row_dimensions[9].height = 44
    sheet.merge_cells("G8:H9")
    sheet.auto_filter.ref = "B4:E10"
    other = book.create_sheet("Other")
    for row in (["a", "y"], [1, "u"], [True, "v"]):
        other.append(row)
    book.create_sheet("Empty")
    book.save(tmp_path / "t.xlsx")
    return tmp_path / "t.xlsx"


def test_the_first_sheet_is_read_with_its_title(book):
    table = read_table(book)
    assert table.names == ["day", "n", "double", "kind"]
    assert list(table.columns[0])[:2] == ["2024-01-01", "2024-01-02"]
    assert list(table.columns[1]) == ["0", "1.5", "3", "4.5", "6", "7.5"]
    assert table.notes[0] == "sheet 'Data' is read; --sheet chooses another of Other"
    assert "the header is read from row 4" in table.notes[1]
    assert table.cleaned_name == "cleaned.xlsx"


def test_formats_formulas_and_other_sheets_are_kept(book, tmp_path):
    table = read_table(book)
    first = [*table.cells[0][:3], "v"]
    path = rewritten(table, tmp_path, {0: first, 2: None, 3: None})
    sheet = openpyxl.load_workbook(path)["Data"]
    assert sheet["B2"].value == "Report of all sales"
    assert [cell.value for cell in sheet["E"][4:]] == ["v", "v", "u", "v"]
    assert [cell.value for cell in sheet["D"][4:]] == ["=C5*2", "=C6*2", "=C7*2", "=C8*2"]
    assert (sheet["J7"].value.ref, sheet["J7"].value.text) == ("J7", "=SUM(C7*C7)")
    assert sheet["J7"].hyperlink.ref == "J7"
    assert sheet["B7"].value == datetime.datetime(2024, 1, 5)
    assert sheet["E7"].font.bold
    assert sheet.row_dimensions[7].height == 44
    assert [str(merged) for merged in sheet.merged_cells.ranges] == ["G7:H7"]
    assert sheet.auto_filter.ref == "B4:E8"
    assert openpyxl.load_workbook(path).sheetnames == ["Data", "Other", "Empty"]


@pytest.mark.parametrize("sheet", ["Other", "2"])
def test_a_sheet_is_chosen_by_name_or_number(book, tmp_path, sheet):
    options = Options(sheet=sheet)
    table = read_table(book, options)
    assert (table.names, table.notes) == (["a", "y"], [])
    assert table.cells == [["1", "u"], ["TRUE", "v"]]
    expect_changes(table, tmp_path, {1: ["FALSE", "u"]}, options)
    path = rewritten(table, tmp_path, {0: ["7", "v"], 1: ["FALSE", "u"]})
    values = [[cell.value for cell in row] for row in openpyxl.load_workbook(path)["Other"]]
    assert values == [["a", "y"], [7, "v"], [False, "u"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(sheet="Dat"), "has no sheet 'Dat'; its sheets are: Data, Other, Empty"),
        (Options(sheet="Empty"), "sheet 'Empty' of .* has no cells"),
        (Options(skip_rows=99), "--skip-rows 99 leaves no row"),
        (Options(skip_rows=9), "has a header but no rows"),
    ],
)
def test_what_cannot_be_read_of_a_workbook_is_said(book, options, message):
    with pytest.raises(AuditError, match=message):
        read_table(book, options)


def test_options_for_the_header(book):
    assert read_table(book, Options(skip_rows=4)).names == ["2024-01-01", "0", "(column)", "u"][
        :2
    ] + ["", "u"]
    table = read_table(book, Options(sheet="Other", no_header=True))
    assert (table.names, table.cells[0]) == (["column_1", "column_2"], ["a", "y"])


def test_a_table_of_excel_ends_where_its_rows_end(tmp_path):
    book = openpyxl.Workbook()
    for row in (["a", "y"], *([i, "uv"[i % 2]] for i in range(5))):
        book.active.append(row)
    from openpyxl.worksheet.table import Table

    book.active.add_table(Table(displayName="T", ref="A1:B6"))
    book.save(tmp_path / "t.xlsx")
    path = rewritten(read_table(tmp_path / "t.xlsx"), tmp_path, {1: None, 4: None})
    assert openpyxl.load_workbook(path).active.tables["T"].ref == "A1:B4"


def test_what_openpyxl_cannot_keep_is_said(book, monkeypatch):
    import warnings

    load = openpyxl.load_workbook

    def loaded(*args, **options):
        warnings.warn("Data Validation extension is not supported", UserWarning, stacklevel=2)
        return load(*args, **options)

    monkeypatch.setattr(openpyxl, "load_workbook", loaded)
    assert "openpyxl: Data Validation extension is not supported" in read_table(book).notes


def test_hidden_sheets_come_last_and_pieces_of_text_keep_their_fonts(tmp_path):
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont

    book = openpyxl.Workbook()
    book.active.append(["secret", "y"])
    book.active.sheet_state = "hidden"
    sheet = book.create_sheet("Shown")
    rich = CellRichText("a ", TextBlock(InlineFont(b=True), "bold"))
    for row in (["text", "y"], [rich, "u"], [rich, "v"]):
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx")
    assert table.cells == [["a bold", "u"], ["a bold", "v"]]
    path = rewritten(table, tmp_path, {0: ["7", "v"]})
    sheet = openpyxl.load_workbook(path, rich_text=True)["Shown"]
    assert [cell.value for cell in sheet[2]] == ["7", "v"]
    assert sheet["A3"].value == rich


def ods(rows):
    """An OpenDocument spreadsheet."""
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    lines = "".join(
        f"<table:table-row>{''.join(map(cell.format, row))}</table:table-row>" for row in rows
    )
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    content = (
        f"<office:document-content {spaces}><office:body><office:spreadsheet>"
        f'<table:table table:name="One">{lines}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        manifest = "<manifest:manifest xmlns:manifest='urn:oasis:names:tc:opendocument:xmlns:"
        archive.writestr("META-INF/manifest.xml", manifest + "manifest:1.0'/>")
    return buffer.getvalue()


def test_other_workbooks_are_written_as_xlsx(tmp_path):
    pytest.importorskip("python_calamine")
    content = ods([["a", "y"], ["x", "u"], ["007", "v"], ["z", "u"]])
    table = read_table(given(tmp_path, content, "t.ods"))
    assert table.cells == [["x", "u"], ["007", "v"], ["z", "u"]]
    assert table.cleaned_name == "cleaned.xlsx"
    assert table.notes == [
        "the cleaned table is written as xlsx, with the values of this sheet only"
    ]
    expect_changes(table, tmp_path, {0: ["x", "v"], 2: None})


def test_a_missing_package_says_what_to_install(book, tmp_path, monkeypatch):
    path = given(tmp_path, ods([["a"], ["b"]]), "t.ods")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(
        AuditError, match=r'Excel needs openpyxl: pip install "skinfluence\[audit\]'
    ):
        read_table(book)
    with pytest.raises(AuditError, match=r"reading .ods needs python-calamine"):
        read_table(path)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("EncryptedPackage", "protected by a password"),
        ("WordDocument", "an Office document without a workbook"),
    ],
)
def test_office_files_of_the_old_kind_are_named(tmp_path, stream, message):
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + stream.encode("utf-16-le")
    with pytest.raises(AuditError, match=message):
        read_table(given(tmp_path, content, "t.xlsx"))


def test_a_damaged_workbook_gets_one_line(book):
    content = book.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(book, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"<x" if name.endswith("sheet1.xml") else old.read(name))
    with pytest.raises(AuditError, match="cannot be read as Excel"):
        read_table(book)
