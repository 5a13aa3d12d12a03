"""CSV and XLSX files, as people and spreadsheets write them -> rows of text."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boneage.errors import DatasetError

if TYPE_CHECKING:
    from openpyxl import Workbook

_ZIP: Final = b"PK\x03\x04"


@dataclass(frozen=True)
class Sheet:
    """A table as text.

    Attributes:
        file: the table.
        header: names of the columns; their numbers where the table has no line of names.
        rows: (line number in the file, cells), without the empty ones.
    """

    file: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_sheet(path: Path, *, header: bool = True) -> Sheet:
    """Read a CSV (comma, semicolon or tab; UTF-8, UTF-16 or Windows-1252) or the first filled sheet of an XLSX.

    Args:
        path: the table.
        header: whether its first filled line holds the names of the columns.

    Raises:
        DatasetError: the file cannot be opened (code `cannot_read`), or is not a table (code `damaged_table`).
    """
    try:
        raw = path.read_bytes()
        is_workbook = raw.startswith(_ZIP) or path.suffix.lower() == ".xlsx"
        numbered = _read_workbook(raw) if is_workbook else _read_text(raw)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.", code="cannot_read"
        ) from error
    except (ValueError, csv.Error) as error:
        raise DatasetError(
            f"{path}: cannot be read as a table ({error}). Save it again as CSV (UTF-8) or XLSX.",
            code="damaged_table",
        ) from error
    filled = [(line, cells) for line, cells in numbered if any(cells)]
    if not header:
        width = max((len(cells) for _, cells in filled), default=0)
        return Sheet(path, tuple(str(number + 1) for number in range(width)), tuple(filled))
    return Sheet(path, filled[0][1] if filled else (), tuple(filled[1:]))


def _read_text(raw: bytes) -> list[tuple[int, tuple[str, ...]]]:
    text = _decode(raw)
    first = text.partition("\n")[0].strip()
    # Some spreadsheets name their separator in the first line.
    named = re.fullmatch(r"sep=(.)", first, re.IGNORECASE)
    separator = named[1] if named else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [(reader.line_num, tuple(cell.strip() for cell in cells)) for cells in reader]
    return rows[1:] if named else rows


def _decode(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in raw[:2]:
        encodings = ["utf-16-be" if raw[0] == 0 else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    # An image, an old workbook (.xls), or a damaged disk.
    raise ValueError("it is not text")


def _read_workbook(raw: bytes) -> list[tuple[int, tuple[str, ...]]]:
    from openpyxl import load_workbook  # takes a while to import

    try:
        return _first_filled_sheet(load_workbook(io.BytesIO(raw), read_only=True, data_only=True))
    except Exception as error:
        # openpyxl, XML and zip files raise errors of many kinds about a damaged workbook.
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"it is not an Excel workbook, or it is damaged: {reason or type(error).__name__}") from error


def _first_filled_sheet(book: Workbook) -> list[tuple[int, tuple[str, ...]]]:
    try:
        for sheet in book.worksheets:
            rows = [
                (number, tuple("" if value is None else str(value).strip() for value in values))
                for number, values in enumerate(sheet.iter_rows(values_only=True), start=1)
            ]
            if any(any(cells) for _, cells in rows):
                return rows
    finally:
        book.close()
    return []
