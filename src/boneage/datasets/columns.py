"""What the columns of a table mean, named this way or that, and what its rows say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex, parse_sex
from boneage.datasets.table import Dropped, Split
from boneage.datasets.tabular import Sheet
from boneage.errors import UsageError

TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".xlsx"})
IMAGE_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".jp2", ".j2k"}
    | {".dcm", ".dicom", ".dic"}
)
Column = str | int
"""A column by its name (case, spaces and punctuation do not matter) or by its number, counted from 1."""

_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "imageid", "caseid"),
    "file": ("file", "filename", "image", "imagename", "imagefile", "path", "filepath"),
    "folder": ("dir", "folder", "directory"),
    "age": (
        *("boneage", "boneagemonths", "boneageinmonths", "bonemonths", "agemonths"),
        *("groundtruthboneage", "groundtruthboneagemonths"),
    ),
    "male": ("male", "ismale"),
    "sex": ("sex", "gender"),
    "split": ("split", "fold"),
    "chronological_age": ("chronological", "chronologicalage", "chronologicalagemonths"),
}
_NOTHING: Final = frozenset({"", "nan", "none", "na", "n/a", "null", "?", "-"})
_MALE_COLUMN: Final[Mapping[str, str]] = {"true": "male", "1": "male", "1.0": "male", "yes": "male"} | {
    "false": "female",
    "0": "female",
    "0.0": "female",
    "no": "female",
}
SPLIT_WORDS: Final[Mapping[str, Split]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "select"), "validation"),
    **dict.fromkeys(("test", "testing", "report"), "test"),
}


@dataclass(frozen=True)
class Columns:
    """Which column says what, for tables that are not understood by themselves. None: found by its usual name.

    Attributes:
        id: the case; may carry an image extension.
        file: name or path of the radiograph, where it is not the id.
        folder: the folder that it lies in, where the same name occurs in several.
        age: the bone age; several columns (two readings) are averaged.
        sex: words (male, F, girl, ...); 0/1 in such a column is refused, since it may mean either.
        male: True/False, 1/0, yes/no.
        split: words; `SPLIT_WORDS` says which.
        chronological_age: months.
        age_unit: of `age` and `chronological_age`.

    When every named column is a number, the table has no line of names (Digital Hand Atlas).
    """

    id: Column | None = None
    file: Column | None = None
    folder: Column | None = None
    age: Column | tuple[Column, ...] | None = None
    sex: Column | None = None
    male: Column | None = None
    split: Column | None = None
    chronological_age: Column | None = None
    age_unit: Literal["months", "years"] = "months"

    def __post_init__(self) -> None:
        if self.age_unit not in ("months", "years"):
            raise UsageError(f"'{self.age_unit}' is no unit of age. Write months or years.")

    def named(self) -> dict[str, tuple[Column, ...]]:
        """What the user named, always as a tuple."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "age_unit"}
        return {
            key: value if isinstance(value, tuple) else (value,) for key, value in values.items() if value is not None
        }

    @property
    def headerless(self) -> bool:
        every = [column for columns in self.named().values() for column in columns]
        return bool(every) and all(isinstance(column, int) or column.isdecimal() for column in every)


@dataclass(frozen=True)
class Row:
    """One understood row; `name` and `folder` say where the radiograph may be, `split` is an official word or None."""

    where: str
    id: str
    name: str
    folder: str
    sex: Sex | None
    age_months: float | None
    chronological_age_months: float | None
    split: Split | None


def plain(name: str) -> str:
    """A column's name without case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name.casefold())


def stem_of(name: str) -> str:
    """A file's name without its image extension; dots elsewhere (DICOM identifiers) stay."""
    base = re.split(r"[\\/]", name.strip())[-1]
    suffix = Path(base).suffix
    return base[: -len(suffix)] if suffix.lower() in IMAGE_SUFFIXES else base


def case_id(text: str) -> str:
    """An id as written, leading zeros kept; without folder, image extension, or the ".0" of a spreadsheet."""
    stem = stem_of(text)
    whole = re.fullmatch(r"(\d+)\.0+", stem)
    return whole[1] if whole else stem


def find_columns(sheet: Sheet, columns: Columns) -> dict[str, tuple[int, ...]]:
    """Which cells of a row say what.

    Raises:
        UsageError: a column that the user named is not there.
    """
    names = [plain(name) for name in sheet.header]
    places: dict[str, tuple[int, ...]] = {}
    for kind, known in _KNOWN.items():
        at = next((names.index(name) for name in known if name in names), None)
        if at is not None and not columns.headerless:
            places[kind] = (at,)
    for kind, asked in columns.named().items():
        places[kind] = tuple(_place(sheet, names, column) for column in asked)
    return places


def _place(sheet: Sheet, names: list[str], column: Column) -> int:
    if isinstance(column, str) and plain(column) in names:
        return names.index(plain(column))
    if (isinstance(column, int) or column.isdecimal()) and 1 <= int(column) <= len(names):
        return int(column) - 1
    raise UsageError(
        f"{sheet.file}: there is no column '{column}'. The columns are: {', '.join(sheet.header) or '(none)'}."
    )


def read_rows(
    sheet: Sheet, places: Mapping[str, tuple[int, ...]], columns: Columns
) -> tuple[list[Row], list[Dropped], list[str]]:
    """Read every row. What is missing becomes None; what is wrong is dropped.

    Returns:
        (rows, dropped, notes).
    """
    rows: list[Row] = []
    dropped: list[Dropped] = []
    notes: list[str] = []
    said = {_cell(cells, at).casefold() for _, cells in sheet.rows for at in places.get("split", ())}
    splits_said = bool(said & SPLIT_WORDS.keys())
    if "split" in places and not splits_said:
        name = sheet.header[places["split"][0]]
        notes.append(f"{sheet.file.name}: the column '{name}' says neither train, validation nor test: not used")
    for line, cells in sheet.rows:
        where = f"{sheet.file}, line {line}"
        identity = _identity(cells, places)
        try:
            if any(cells[len(sheet.header) :]):
                raise _Wrong("unreadable row", f"{len(cells)} cells under {len(sheet.header)} columns")
            if not identity:
                raise _Wrong("unreadable row", "no id")
            rows.append(_row(where, identity, cells, places, columns, splits_said))
        except _Wrong as wrong:
            dropped.append(Dropped(identity, where, wrong.reason, wrong.detail))
    return rows, dropped, notes


class _Wrong(Exception):
    """Why a row is dropped."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def _cell(cells: tuple[str, ...], at: int) -> str:
    return cells[at] if at < len(cells) else ""


def _first(cells: tuple[str, ...], places: Mapping[str, tuple[int, ...]], kind: str) -> str:
    return _cell(cells, places[kind][0]) if kind in places else ""


def _identity(cells: tuple[str, ...], places: Mapping[str, tuple[int, ...]]) -> str:
    return case_id(_first(cells, places, "id") or _first(cells, places, "file"))


def _row(
    where: str,
    identity: str,
    cells: tuple[str, ...],
    places: Mapping[str, tuple[int, ...]],
    columns: Columns,
    splits_said: bool,
) -> Row:
    factor = 12.0 if columns.age_unit == "years" else 1.0
    age = _months((_cell(cells, at) for at in places.get("age", ())), factor)
    if age is not None and not FIRST_MONTH <= age <= LAST_MONTH:
        raise _Wrong(f"age outside {FIRST_MONTH}..{LAST_MONTH}", f"{age:g} months")
    chronological = _months((_cell(cells, at) for at in places.get("chronological_age", ())), factor)
    split: Split | None = None
    if splits_said:
        word = _first(cells, places, "split")
        split = SPLIT_WORDS.get(word.casefold())
        if split is None:
            raise _Wrong("unknown split", f"'{word}' (write train, validation or test)")
    name = _first(cells, places, "file") or case_id(_first(cells, places, "id"))
    if "id" in places and Path(_first(cells, places, "id")).suffix.lower() in IMAGE_SUFFIXES and "file" not in places:
        name = _first(cells, places, "id")
    folder = _first(cells, places, "folder")
    return Row(where, identity, name, folder, _sex(cells, places), age, chronological, split)


def _months(texts: Iterable[str], factor: float) -> float | None:
    """The mean of what is given, in months."""
    values: list[float] = []
    for text in texts:
        if text.casefold() in _NOTHING:
            continue
        try:
            value = float(text if "." in text else text.replace(",", "."))
        except ValueError:
            raise _Wrong("unreadable age", f"'{text}' (write a number)") from None
        if not math.isfinite(value):
            raise _Wrong("unreadable age", f"'{text}' (write a number)")
        values.append(value * factor)
    return sum(values) / len(values) if values else None


def _sex(cells: tuple[str, ...], places: Mapping[str, tuple[int, ...]]) -> Sex | None:
    word = _first(cells, places, "male")
    if word:
        word = _MALE_COLUMN.get(word.casefold(), word)
    else:
        word = _first(cells, places, "sex")
        if word.casefold() in _MALE_COLUMN:
            # 1 is male in one project and female in the next.
            raise _Wrong("unknown sex", f"'{word}' may mean either (if it means 'is male', name the column as male)")
    if word.casefold() in _NOTHING:
        return None
    try:
        return parse_sex(word)
    except UsageError:
        raise _Wrong("unknown sex", f"'{word}' (write male or female)") from None
