"""What the columns of a table mean, by whatever name, and the values in its rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex, is_missing, parse_sex
from boneage.datasets.table import Dropped, Split
from boneage.datasets.tabular import Sheet
from boneage.errors import UsageError

TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv", ".xlsx"})
IMAGE_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".jp2", ".j2k"}
    | {".dcm", ".dicom", ".dic"}
)
_MOST_YEARS: Final = 21
_TWELFTH_ERROR: Final = 0.0601
_FEWEST_TWELFTHS: Final = 4
Column = str | int
"""A column by its name (case, spaces and punctuation do not matter) or by its number, counted from 1."""

_KNOWN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "imageid", "caseid"),
    "file": ("file", "filename", "image", "imagename", "imagefile", "path", "filepath"),
    "folder": ("dir", "folder", "directory"),
    "age": (
        *("boneage", "boneagemonths", "boneageinmonths", "bonemonths", "agemonths"),
        *("groundtruthboneage", "groundtruthboneagemonths"),
        *("boneageyears", "boneageinyears"),
    ),
    "male": ("male", "ismale"),
    "sex": ("sex", "gender"),
    "split": ("split", "fold"),
    "chronological_age": ("chronological", "chronologicalage", "chronologicalagemonths"),
}
_IS_MALE_WORDS: Final[Mapping[str, str]] = {"true": "male", "1": "male", "1.0": "male", "yes": "male"} | {
    "false": "female",
    "0": "female",
    "0.0": "female",
    "no": "female",
}
_OLD_SPLIT_WORDS: Final[Mapping[str, Split]] = {"select": "validation", "report": "test"}
"""From tables that this project wrote before December 2026."""
SPLIT_WORDS: Final[Mapping[str, Split]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    **_OLD_SPLIT_WORDS,
}
"""Words of a split column, in lower case."""


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what. None: the column is found by its usual name.

    When every named column is a number, the table has no line of names (Digital Hand Atlas).

    Attributes:
        id: the case; may carry an image extension.
        file: name or path of the radiograph, where it differs from the id.
        folder: the folder of the radiograph, where several folders hold files of the same name.
        age: the bone age; several columns (two readings) are averaged.
        sex: words (male, F, girl, ...). 0 and 1 are refused here, because they may mean either sex.
        male: True/False, 1/0, yes/no.
        split: one of `SPLIT_WORDS`.
        chronological_age: months.
        age_unit: of `age` and `chronological_age`. None: months, unless the name of the age column ends in "years", or
            its values can only be years (`are_years`).

    Raises:
        UsageError: `age_unit` is neither months nor years (code `unknown_age_unit`).
    """

    id: Column | None = None
    file: Column | None = None
    folder: Column | None = None
    age: Column | tuple[Column, ...] | None = None
    sex: Column | None = None
    male: Column | None = None
    split: Column | None = None
    chronological_age: Column | None = None
    age_unit: Literal["months", "years"] | None = None

    def __post_init__(self) -> None:
        if self.age_unit not in ("months", "years", None):
            raise UsageError(
                f"'{self.age_unit}' is not a valid unit of age. Write months or years.", code="unknown_age_unit"
            )

    def named(self) -> dict[str, tuple[Column, ...]]:
        """The columns that the user named, by meaning; always as a tuple."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "age_unit"}
        return {
            key: value if isinstance(value, tuple) else (value,) for key, value in values.items() if value is not None
        }

    @property
    def is_headerless(self) -> bool:
        """Whether the table has no line of names."""
        every = [column for columns in self.named().values() for column in columns]
        return bool(every) and all(isinstance(column, int) or column.isdecimal() for column in every)


ColumnIndices = Mapping[str, tuple[int, ...]]
"""Meaning ("id", "age", ...) -> the columns that hold it, counted from 0."""


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        where: table and line, for messages.
        id: the case.
        name: name or path of the radiograph.
        folder: the folder that the row names, or "".
        sex, age_months, chronological_age_months: None where missing.
        split: the split that the row names, or None.
    """

    where: str
    id: str
    name: str
    folder: str
    sex: Sex | None
    age_months: float | None
    chronological_age_months: float | None
    split: Split | None


def normalize_name(name: str) -> str:
    """A column's name in lower case, without spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name.casefold())


def stem_of(name: str) -> str:
    """A file's name without folder and image extension; other dots (DICOM identifiers) stay."""
    base = re.split(r"[\\/]", name.strip())[-1]
    suffix = Path(base).suffix
    return base[: -len(suffix)] if suffix.lower() in IMAGE_SUFFIXES else base


def case_id(text: str) -> str:
    """An id as written, leading zeros kept; without folder, image extension, or the ".0" of a spreadsheet."""
    stem = stem_of(text)
    whole = re.fullmatch(r"(\d+)\.0+", stem)
    return whole[1] if whole else stem


def find_columns(sheet: Sheet, columns: Columns) -> dict[str, tuple[int, ...]]:
    """Find the column of each meaning: the one that the user named, else one with a usual name.

    Raises:
        UsageError: a column that the user named does not exist (code `unknown_column`).
    """
    names = [normalize_name(name) for name in sheet.header]
    indices: dict[str, tuple[int, ...]] = {}
    for meaning, known in _KNOWN_NAMES.items():
        index = next((names.index(name) for name in known if name in names), None)
        if index is not None and not columns.is_headerless:
            indices[meaning] = (index,)
    for meaning, named in columns.named().items():
        indices[meaning] = tuple(_index_of(sheet, names, column) for column in named)
    return indices


def _index_of(sheet: Sheet, names: list[str], column: Column) -> int:
    if isinstance(column, str) and normalize_name(column) in names:
        return names.index(normalize_name(column))
    if (isinstance(column, int) or column.isdecimal()) and 1 <= int(column) <= len(names):
        return int(column) - 1
    raise UsageError(
        f"{sheet.file}: the table has no column '{column}'. Its columns are: {', '.join(sheet.header) or '(none)'}.",
        code="unknown_column",
    )


def are_years(ages: Iterable[float]) -> bool:
    """Whether ages can only be years: none above 21, and at least four are twelfths that are no halves, as 4.58 is.

    Two decimals are needed: twelfths that are rounded to one cannot be told from readings of months.
    """
    values = list(ages)
    if not values or max(values) > _MOST_YEARS:
        return False
    twelfths = [value * 12 for value in values]
    # Rounded to two decimals, a twelfth is wrong by at most .005, which is .06 of a month.
    if any(abs(value - round(value)) > _TWELFTH_ERROR for value in twelfths):
        return False
    return sum(round(value) % 6 != 0 for value in twelfths) >= min(_FEWEST_TWELFTHS, len(values))


def _unit_of_ages(sheet: Sheet, indices: ColumnIndices, columns: Columns) -> tuple[float, list[str]]:
    """Months of the unit of the table's ages, and a note where the unit is not stated."""
    if columns.age_unit is not None or "age" not in indices:
        return (12.0 if columns.age_unit == "years" else 1.0), []
    name = sheet.header[indices["age"][0]]
    ages: list[float] = []
    for _, cells in sheet.rows:
        # A cell that is not a number is the row's problem, later.
        with suppress(_InvalidRow):
            age = _mean_months((_cell(cells, index) for index in indices["age"]), 1.0)
            ages += [] if age is None else [age]
    remedy = "--column age_unit=months or age_unit=years says otherwise"
    if normalize_name(name).endswith("years") or are_years(ages):
        return 12.0, [f"{sheet.file.name}: the column '{name}' was read as years; {remedy}"]
    if len(ages) >= _FEWEST_TWELFTHS and max(ages) <= _MOST_YEARS:
        return 1.0, [f"{sheet.file.name}: no age in the column '{name}' is above {_MOST_YEARS} months; {remedy}"]
    return 1.0, []


def read_rows(sheet: Sheet, indices: ColumnIndices, columns: Columns) -> tuple[list[Row], list[Dropped], list[str]]:
    """Read every row of a table. A missing value becomes None; a row with a wrong value is dropped.

    Returns:
        (rows, dropped, notes).
    """
    rows: list[Row] = []
    dropped: list[Dropped] = []
    notes: list[str] = []
    words = {_cell(cells, index).casefold() for _, cells in sheet.rows for index in indices.get("split", ())}
    has_splits = bool(words & SPLIT_WORDS.keys())
    if "split" in indices and not has_splits:
        name = sheet.header[indices["split"][0]]
        notes.append(f"{sheet.file.name}: the column '{name}' holds no train, validation or test: not used")
    factor, unit_notes = _unit_of_ages(sheet, indices, columns)
    notes += unit_notes
    for line, cells in sheet.rows:
        where = f"{sheet.file}, line {line}"
        identity = _identity(cells, indices)
        try:
            if any(cells[len(sheet.header) :]):
                raise _InvalidRow("unreadable row", f"{len(cells)} cells under {len(sheet.header)} columns")
            if not identity:
                raise _InvalidRow("unreadable row", "no id")
            rows.append(_read_row(where, identity, cells=cells, indices=indices, factor=factor, has_splits=has_splits))
        except _InvalidRow as error:
            dropped.append(Dropped(id=identity, file=where, reason=error.reason, detail=error.detail))
    return rows, dropped, notes


class _InvalidRow(Exception):
    """Why a row is dropped."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def _cell(cells: tuple[str, ...], index: int) -> str:
    return cells[index] if index < len(cells) else ""


def _first_cell(cells: tuple[str, ...], indices: ColumnIndices, meaning: str) -> str:
    return _cell(cells, indices[meaning][0]) if meaning in indices else ""


def _identity(cells: tuple[str, ...], indices: ColumnIndices) -> str:
    return case_id(_first_cell(cells, indices, "id") or _first_cell(cells, indices, "file"))


def _read_row(
    where: str,
    identity: str,
    cells: tuple[str, ...],
    indices: ColumnIndices,
    factor: float,
    *,
    has_splits: bool,
) -> Row:
    age = _mean_months((_cell(cells, index) for index in indices.get("age", ())), factor)
    if age is not None and not FIRST_MONTH <= age <= LAST_MONTH:
        raise _InvalidRow(f"age outside {FIRST_MONTH}..{LAST_MONTH}", f"{age:g} months")
    chronological = _mean_months((_cell(cells, index) for index in indices.get("chronological_age", ())), factor)
    split: Split | None = None
    if has_splits:
        word = _first_cell(cells, indices, "split")
        split = SPLIT_WORDS.get(word.casefold())
        if split is None:
            raise _InvalidRow("unknown split", f"'{word}' (write train, validation or test)")
    written_id = _first_cell(cells, indices, "id")
    name = _first_cell(cells, indices, "file") or case_id(written_id)
    if "file" not in indices and Path(written_id).suffix.lower() in IMAGE_SUFFIXES:
        name = written_id
    folder = _first_cell(cells, indices, "folder")
    return Row(
        where=where,
        id=identity,
        name=name,
        folder=folder,
        sex=_read_sex(cells, indices),
        age_months=age,
        chronological_age_months=chronological,
        split=split,
    )


def _mean_months(texts: Iterable[str], factor: float) -> float | None:
    """The mean of the ages, in months; None where there are none."""
    values: list[float] = []
    for text in texts:
        if is_missing(text):
            continue
        try:
            value = float(text if "." in text else text.replace(",", "."))
        except ValueError:
            raise _InvalidRow("unreadable age", f"'{text}' (write a number)") from None
        if not math.isfinite(value):
            raise _InvalidRow("unreadable age", f"'{text}' (write a number)")
        months = value * factor
        # 4.58 years are 55 months.
        values.append(round(months) if factor != 1 and abs(months - round(months)) <= _TWELFTH_ERROR else months)
    return sum(values) / len(values) if values else None


def _read_sex(cells: tuple[str, ...], indices: ColumnIndices) -> Sex | None:
    word = _first_cell(cells, indices, "male")
    if word:
        word = _IS_MALE_WORDS.get(word.casefold(), word)
    else:
        word = _first_cell(cells, indices, "sex")
        if word.casefold() in _IS_MALE_WORDS:
            # 1 is male in one project and female in the next.
            raise _InvalidRow(
                "unknown sex", f"'{word}' may mean either sex (if it means 'is male', name the column as male)"
            )
    if is_missing(word):
        return None
    try:
        return parse_sex(word)
    except UsageError:
        raise _InvalidRow("unknown sex", f"'{word}' (write male or female)") from None
