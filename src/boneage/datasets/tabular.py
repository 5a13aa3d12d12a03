"""CSV and XLSX as people and spreadsheets write them -> rows of text."""

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
    """A table as text: `rows` holds (line or row number, cells)."""

    file: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_sheet(path: Path, *, header: bool = True) -> Sheet:
    """Read a CSV (comma, semicolon or tab; UTF-8, UTF-16 or Windows-1252) or the first filled sheet of an XLSX.

    Raises:
        DatasetError: the file cannot be read as a table; the message names it, the reason and the remedy.
    """
    try:
        raw = path.read_bytes()
        workbook = raw.startswith(_ZIP) or path.suffix.lower() == ".xlsx"
        numbered = _excel(raw) if workbook else _text(raw)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}). Check the path and your rights to it."
        ) from error
    except (ValueError, csv.Error) as error:
        raise DatasetError(
            f"{path}: cannot be read as a table ({error}). Save it again as CSV (UTF-8) or XLSX."
        ) from error
    filled = [(line, cells) for line, cells in numbered if any(cells)]
    if not header:
        width = max((len(cells) for _, cells in filled), default=0)
        return Sheet(path, tuple(str(number + 1) for number in range(width)), tuple(filled))
    return Sheet(path, filled[0][1] if filled else (), tuple(filled[1:]))


def _text(raw: bytes) -> list[tuple[int, tuple[str, ...]]]:
    text = _decoded(raw)
    first = text.partition("\n")[0].strip()
    # Spreadsheets may say their separator in a line of its own.
    said = re.fullmatch(r"sep=(.)", first, re.IGNORECASE)
    separator = said[1] if said else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [(reader.line_num, tuple(cell.strip() for cell in cells)) for cells in reader]
    return rows[1:] if said else rows


def _decoded(raw: bytes) -> str:
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
    # A picture, an old workbook (.xls), a lost block of a disk.
    raise ValueError("it is no text")


def _excel(raw: bytes) -> list[tuple[int, tuple[str, ...]]]:
    from openpyxl import load_workbook  # takes a while to import

    try:
        return _first_filled(load_workbook(io.BytesIO(raw), read_only=True, data_only=True))
    except Exception as error:
        # A damaged workbook may raise anything that zip files, XML and openpyxl know.
        why = " ".join(str(error).split())[:120]
        raise ValueError(f"it is no Excel workbook, or a damaged one: {why or type(error).__name__}") from error


def _first_filled(book: Workbook) -> list[tuple[int, tuple[str, ...]]]:
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
