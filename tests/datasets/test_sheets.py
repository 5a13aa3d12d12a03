from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.datasets.sheets import Columns, Sheet, case_id, find_columns, plain, read_sheet, stem_of
from boneage.errors import DatasetError

COLUMNS = {
    "id": "id",
    "Image ID": "id",
    "Case ID": "id",
    "Bone Age (months)": "age",
    "Ground truth bone age (months)": "age",
    "boneage": "age",
    "male": "male",
    "Sex": "sex",
    "Chronological": "chronological_age",
    "dir": "folder",
    "split": "split",
}


def spelled(name: str, seed: int) -> str:
    """The name with any case, and spaces or underscores wherever people put them."""
    chance = random.Random(seed)
    letters = [chance.choice((letter.lower(), letter.upper())) + chance.choice(("", "", " ", "_")) for letter in name]
    return chance.choice(("", " ", "_")) + "".join(letters)


@given(st.sampled_from(sorted(COLUMNS)), st.integers(0, 2**32))
@settings(deadline=None)
def test_columns_are_found_however_they_are_spelled(name: str, seed: int) -> None:
    header = ("other", spelled(name, seed))
    assert find_columns(Sheet(Path("t.csv"), header, ()), Columns()) == {COLUMNS[name]: (1,)}
    assert plain(header[1]) == plain(name)


@given(st.integers(0, 2**32), st.integers(0, 2**32))
@settings(deadline=None)
def test_named_columns_too(written: int, asked: int) -> None:
    header = ("id", spelled("Knochenalter", written))
    places = find_columns(Sheet(Path("t.csv"), header, ()), Columns(age=spelled("Knochenalter", asked)))
    assert places["age"] == (1,)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("1377", "1377"),
        ("1377.png", "1377"),
        (" a/b/1377.PNG ", "1377"),
        ("c:\\x\\00001.jpg", "00001"),
        ("1377.0", "1377"),
        ("00001", "00001"),
        ("1.2.840.10008.5", "1.2.840.10008.5"),
        ("scan.final", "scan.final"),
    ],
)
def test_ids_keep_their_zeros_and_lose_extensions(written: str, name: str) -> None:
    assert case_id(written) == name


def test_stems_keep_dots_that_are_no_extension() -> None:
    assert stem_of("x/1.2.840.dcm") == "1.2.840"


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
    "rotten.xlsx": _with_member("xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row><c>"),
    "rotten book.xlsx": _with_member("xl/workbook.xml", b"no XML"),
    "old.csv": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "picture.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_tables_say_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name])
    with pytest.raises(DatasetError, match=r"cannot be read as a table.*Save it again as CSV") as caught:
        read_sheet(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nobody\.csv: cannot be read \(No such file or directory\)"):
        read_sheet(tmp_path / "nobody.csv")
