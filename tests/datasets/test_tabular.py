from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from boneage.datasets.tabular import read_sheet
from boneage.errors import DatasetError

TEXT = "id;boneage;name\r\n1;100,5;Jürgen\r\n2;90;Zoë\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, encoding: str, separator: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.replace(",", ".").replace(";", separator).encode(encoding))
    sheet = read_sheet(path)
    assert sheet.header == ("id", "boneage", "name")
    assert [cells for _, cells in sheet.rows] == [("1", "100.5", "Jürgen"), ("2", "90", "Zoë")]


def test_a_line_that_names_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\n" + TEXT)
    sheet = read_sheet(path)
    assert sheet.header == ("id", "boneage", "name")
    assert sheet.rows[0] == (3, ("1", "100,5", "Jürgen"))


def _workbook() -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["id", "boneage"])
    for number in range(300):
        book.active.append([number, 100])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _zip_of(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(name, content)
    return stream.getvalue()


def _with_member(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_workbook())) as whole, zipfile.ZipFile(stream, "w") as file:
        for item in whole.namelist():
            file.writestr(item, content if item == name else whole.read(item))
    return stream.getvalue()


def test_a_workbook_whatever_its_name(tmp_path: Path) -> None:
    for name in ("t.xlsx", "t.csv"):
        (tmp_path / name).write_bytes(_workbook())
        sheet = read_sheet(tmp_path / name)
        assert (sheet.header, len(sheet.rows)) == (("id", "boneage"), 300)


DAMAGED = {
    "text.xlsx": b"id,boneage\n1,100\n",
    "empty.xlsx": b"",
    "photos.xlsx": _zip_of("photo.txt", b"a holiday"),
    "truncated.xlsx": _workbook()[:-500],
    "half.xlsx": _workbook()[:1500],
    "damaged sheet.xlsx": _with_member("xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row><c>"),
    "damaged book.xlsx": _with_member("xl/workbook.xml", b"no XML"),
    "old.csv": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "picture.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_tables_say_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name])
    with pytest.raises(DatasetError, match=r"Save it again as CSV") as raised:
        read_sheet(tmp_path / name)
    assert raised.value.code == "damaged_table"
    assert str(raised.value).startswith(str(tmp_path / name))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nobody\.csv: cannot be read \(No such file or directory\)") as raised:
        read_sheet(tmp_path / "nobody.csv")
    assert raised.value.code == "cannot_read"
