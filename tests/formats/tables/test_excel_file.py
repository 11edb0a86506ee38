import datetime as dt
import sys
import zipfile

import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.tables.excel_file import ExcelFile

openpyxl = pytest.importorskip("openpyxl")


def workbook(path, *rows, change=lambda sheet: None):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    change(book.active)
    book.save(path)
    return path


def test_types_formats_and_other_sheets_are_kept(tmp_path):
    path = workbook(tmp_path / "t.xlsx", ["day", "n", "x"], [dt.date(2020, 1, 2), 3, 1.5], [None, None, "n.d."], [])
    book = openpyxl.load_workbook(path)
    book.active["B2"].number_format = "0.00"
    book.create_sheet("other")["A1"] = "kept"
    book.save(path)
    file = ExcelFile.read(path)
    assert (file.names, file.n_rows) == (["day", "n", "x"], 2)
    assert file.texts(1) == ["3", ""]
    assert file.texts(2) == ["1.5", "n.d."]
    assert "2 sheets" in file.notes[0]
    out = file.write(tmp_path / "completed", {1: np.array([np.nan, 4.0]), 2: np.array([np.nan, 0.25])})
    found = openpyxl.load_workbook(out)
    assert [[cell.value for cell in row] for row in found.worksheets[0]][1:3] == [
        [dt.datetime(2020, 1, 2), 3, 1.5],
        [None, 4, 0.25],
    ]
    assert found.worksheets[0]["B2"].number_format == "0.00"
    assert found["other"]["A1"].value == "kept"


def test_empty_rows_above_the_table_are_passed_over(tmp_path):
    file = ExcelFile.read(workbook(tmp_path / "t.xlsx", [None, None], ["a", "b"], [1, 2]))
    assert (file.names, file.place(0)) == (["a", "b"], "row 3")


@pytest.mark.parametrize(
    ("rows", "change", "part"),
    [
        ([], lambda sheet: None, "is empty"),
        ([["a"], [1]], lambda sheet: sheet.merge_cells("A2:B2"), "merged cells A2:B2"),
        ([["a", "b"], [1, 2]], lambda sheet: sheet.cell(2, 2, "=A2+1"), "B2 is a formula without a stored value"),
    ],
)
def test_sheets_that_cannot_be_completed_are_errors(tmp_path, rows, change, part):
    with pytest.raises(InputError, match=part):
        ExcelFile.read(workbook(tmp_path / "t.xlsx", *rows, change=change))


def test_other_files_are_errors(tmp_path, monkeypatch):
    path = tmp_path / "t.xlsx"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a whole Excel workbook"):
        ExcelFile.read(path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"pip install 'flatmin\[excel\]'"):
        ExcelFile.read(path)


def test_a_workbook_without_sheets_is_an_error(tmp_path, monkeypatch):
    path = workbook(tmp_path / "t.xlsx", ["a"], [1])
    monkeypatch.setattr("openpyxl.workbook.Workbook.worksheets", [])
    with pytest.raises(InputError, match="has no sheet, expected a table in its first one"):
        ExcelFile.read(path)


def test_stray_cells_far_away_are_refused_before_the_sheet_is_built(tmp_path):
    def stray(sheet):
        sheet["XFD1048576"] = 1

    with pytest.raises(InputError, match=r"has 5 values, but its last ones are in row 1048576 and column 16384"):
        ExcelFile.read(workbook(tmp_path / "t.xlsx", [1, 2], [3, 4], change=stray))


def test_cells_far_away_that_are_only_formatted_do_not_count(tmp_path):
    def formatted(sheet):
        sheet["XFD1048576"].number_format = "0.00"

    file = ExcelFile.read(workbook(tmp_path / "t.xlsx", ["a", "b"], [1, 2], [3, 4], change=formatted))
    assert (file.names, file.n_rows) == (["a", "b"], 2)


def test_a_workbook_that_unpacks_to_far_more_than_its_size_is_refused_by_its_header(tmp_path, monkeypatch):
    path = workbook(tmp_path / "t.xlsx", [1, 2], [3, 4])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content + b" " * (12 << 20) * name.endswith("sheet1.xml"))
    monkeypatch.setattr(openpyxl, "load_workbook", None)
    with pytest.raises(InputError, match="would unpack to 12 MiB, over 100 times its size"):
        ExcelFile.read(bomb)


def test_a_part_that_openpyxl_leaves_out_is_a_note_and_no_warning(tmp_path, recwarn):
    """The name of a print area that is none, which some programs write."""
    path = workbook(tmp_path / "t.xlsx", ["a", "b"], [1, 2])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    names = b'<definedNames><definedName name="_xlnm.Print_Area" localSheetId="0">#REF!,x</definedName></definedNames>'
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(b"<calcPr", names + b"<calcPr")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    (note,) = ExcelFile.read(path).notes
    assert note.startswith("a part of the workbook is neither read nor written: ")
    assert not recwarn.list
