"""Folders as people have them -> `Dataset`: RSNA, Kaggle and what was derived from them, RHPE, Digital Hand Atlas.

**Which rows belong to which radiographs.** A row names its radiograph by its id or by a file column; folders, case and
image extension do not matter, and neither do leading zeros where a spreadsheet lost them ("1" finds `00001.png`, and
then is the case "00001"). Where the name occurs in several folders, the folder column decides, then the folder whose
name speaks of the same part (training, validation, test) as the table, then the exact spelling.

**Splits.** In this order:

1. A column `split` or `fold` with words (train; val, valid, validation, select; test, testing, report) is taken as it
   is.
2. A table is official for a part when its file name, else its folder inside the root, says train.., val, valid.. or
   test.., or when it has the test set's `Case ID`. With tables of more than one part, each is
   the split that it is named for. A part that is not there, or whose table has no ages (Kaggle's test
   set), cannot serve: the training cases that `split_of` puts there then stay there.
3. A lone training table, or one that says nothing: `split_of` each id.
4. A lone validation or test table: all *test*.

A case that comes in two parts is kept in *test* before *validation* before *train*, so that nothing that is measured
was ever trained on; the other row is dropped as a duplicate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from boneage.ages import Sex
from boneage.datasets.columns import TABLE_SUFFIXES, Columns, Row, find_columns, plain, read_rows, stem_of
from boneage.datasets.image_matching import Pictures, part_of_folder, part_of_words, walk
from boneage.datasets.table import Case, Dataset, Dropped, Split, split_of
from boneage.datasets.tabular import read_sheet
from boneage.errors import DatasetError, UsageError

_ATLAS_FOLDER: Final = re.compile(r"(ASI|BLK|CAU|HIS)([FM])(\d\d)", re.IGNORECASE)
_EXPECTED: Final = (
    "Expected is a table (CSV or XLSX) with a column for the id and one for the bone age or the sex, such as "
    "id,boneage,male, and the radiographs in the same folder or below, named <id>.png or the like; or a Digital Hand "
    "Atlas tree <RACE><SEX>/<RACE><SEX><AGE>/<id>.jpg. For other tables name the columns."
)
_PRECEDENCE: Final[dict[Split | None, int]] = {"test": 0, "validation": 1, "train": 2, None: 2}


@dataclass(frozen=True)
class _Table:
    """An understood table; `part` is what it is official for."""

    file: Path
    part: Split | None
    rows: tuple[Row, ...]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]

    @property
    def has_ages(self) -> bool:
        return any(row.age_months is not None for row in self.rows)

    @property
    def says_splits(self) -> bool:
        return any(row.split is not None for row in self.rows)


def read_dataset(
    root: str | Path,
    *,
    table: str | Path | None = None,
    columns: Columns | None = None,
    images: str | Path | None = None,
) -> Dataset:
    """Read a folder with a table (or several) and radiographs; the module says how rows, files and splits are found.

    What is missing from a row (age, sex) is None: see `Dataset.labelled`. What is wrong (an age of "12y" or of 300
    months, an unknown sex word, a second row with the same id, a missing file) is in `Dataset.dropped`. No
    radiograph is opened here.

    Args:
        root: the folder; or the table itself, with its folder as root.
        table: read this one only (relative to the working directory, or to `root`).
        columns: for tables with columns of other names.
        images: where the radiographs are, if not below `root`.

    Raises:
        UsageError: no such folder or table, or the table lacks a column that is needed or named.
        DatasetError: no table that is understood, a table that cannot be read, or two tables that
            speak of the same cases of the same part.
    """
    place = Path(root)
    if table is None and place.is_file() and place.suffix.lower() in TABLE_SUFFIXES:
        table, place = place, place.parent
    if not place.is_dir():
        raise UsageError(f"{place}: there is no such folder. Check the path of the data set.")
    found_tables, found_pictures = walk(place)
    if images is not None:
        if not Path(images).is_dir():
            raise UsageError(f"{images}: there is no such folder. Check where the radiographs are.")
        found_pictures = walk(Path(images))[1]
    pictures = Pictures(found_pictures, {path: part_of_folder(path, Path(images or place)) for path in found_pictures})
    if table is not None:
        tables, notes = [_named_table(Path(table), place, columns or Columns())], list[str]()
    else:
        tables, notes = _discover(found_tables, place, columns)
    if tables:
        return _assemble(place, tables, pictures, notes)
    atlas = [path for path in found_pictures if _atlas_facts(path)]
    if atlas:
        return _atlas(place, atlas, len(found_pictures) - len(atlas), notes)
    said = "".join(f"\n  {note}" for note in notes)
    raise DatasetError(
        f"{place}: {len(found_pictures):,} pictures, but no table that says anything about them. {_EXPECTED}{said}"
    )


def _table(path: Path, root: Path, columns: Columns, *, named: bool) -> _Table | None:
    """Read a table; None where it is not one that speaks of radiographs."""
    sheet = read_sheet(path, header=not columns.headerless)
    places = find_columns(sheet, columns)
    # What `boneage evaluate` wrote, perhaps beside the set itself, is no table of labels.
    if not named and "predicted_months" in sheet.header:
        return None
    has_id = "id" in places or "file" in places
    if not has_id or not (named or places.keys() & {"age", "sex", "male"}):
        return None
    rows, dropped, notes = read_rows(sheet, places, columns)
    if "age" not in places:
        header = ", ".join(sheet.header)
        notes = [*notes, f"{path}: no column for the bone age (columns: {header}); --column age=NAME names one"]
    part = part_of_words(path.stem)
    if part is None and path.is_relative_to(root):
        part = part_of_folder(path, root)
    if part is None and "id" in places and plain(sheet.header[places["id"][0]]) == "caseid":
        part = "test"
    return _Table(path, part, tuple(rows), tuple(dropped), tuple(notes))


def _named_table(path: Path, root: Path, columns: Columns) -> _Table:
    path = path if path.exists() else root / path
    if not path.is_file():
        raise UsageError(f"{path}: there is no such table. Check the path.")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UsageError(f"{path}: tables are read from CSV and XLSX. Save it as one of these.")
    table = _table(path, root, columns, named=True)
    if table is None:
        header = ", ".join(read_sheet(path).header)
        raise UsageError(f"{path}: no column for the id among: {header or '(none)'}. Name the column that holds it.")
    return table


def _discover(paths: Iterable[Path], root: Path, columns: Columns | None) -> tuple[list[_Table], list[str]]:
    tables: list[_Table] = []
    notes: list[str] = []
    lacking: UsageError | None = None
    for path in paths:
        try:
            table = _table(path, root, columns or Columns(), named=columns is not None)
        except DatasetError as error:
            notes.append(f"not used: {error}")
        except UsageError as error:
            lacking = lacking or error
            notes.append(f"not used: {error}")
        else:
            if table is None:
                notes.append(f"{path} was not used: no columns for the id and for the bone age or the sex")
            else:
                tables.append(table)
    if lacking is not None and not tables:
        raise lacking
    return _without_copies(tables, notes), notes


def _without_copies(tables: Sequence[_Table], notes: list[str]) -> list[_Table]:
    """One table for the same cases of the same part.

    Raises:
        DatasetError: two tables differ, and only a person can say which is right.
    """
    kept: list[_Table] = []
    for table in sorted(tables, key=lambda table: not table.has_ages):
        ids = {row.id for row in table.rows}
        for other in kept:
            if _PRECEDENCE[other.part] != _PRECEDENCE[table.part] or ids.isdisjoint(row.id for row in other.rows):
                continue
            if table.has_ages and not _same(table, other):
                raise DatasetError(
                    f"{other.file} and {table.file} speak of the same cases. Name the table to use, or give the folder "
                    "of one of them as the data set."
                )
            why = "repeats" if table.has_ages else "has no ages for the cases of"
            notes.append(f"{table.file} was not used: it {why} {other.file}")
            break
        else:
            kept.append(table)
    return kept


def _same(one: _Table, other: _Table) -> bool:
    facts = [{(row.id, row.sex, row.age_months, row.split) for row in table.rows} for table in (one, other)]
    return facts[0] == facts[1]


def _assemble(root: Path, tables: Sequence[_Table], pictures: Pictures, notes: Sequence[str]) -> Dataset:
    ordered = sorted(tables, key=lambda table: _PRECEDENCE[table.part])
    parts = {_PRECEDENCE[table.part] for table in tables}
    official = {table.part for table in tables if table.has_ages or table.says_splits}
    lone = len(parts) == 1
    rows = [(table, row) for table in ordered for row in table.rows]
    dropped = [item for table in ordered for item in table.dropped]
    cases: dict[str, Case] = {}
    unlabelled: set[str] = set()
    owners: dict[Path, str] = {}
    found = pictures.match((row, table.part) for table, row in rows)
    for (table, row), (picture, why) in zip(rows, found, strict=True):
        if picture is None:
            reason = "several files" if why else "missing file"
            dropped.append(Dropped(row.id, row.where, reason, why or f"no picture is named {row.name}"))
            continue
        case = _case(row, picture, table.part, lone, official)
        if case.id in cases:
            dropped.append(Dropped(case.id, row.where, "duplicate id", f"kept is {cases[case.id].image}"))
            continue
        if picture in owners:
            dropped.append(Dropped(case.id, row.where, "duplicate file", f"{picture} is case {owners[picture]}"))
            continue
        owners[picture] = case.id
        cases[case.id] = case
        if not table.has_ages:
            unlabelled.add(case.id)
    return Dataset(
        name=root.resolve().name,
        root=root,
        cases=tuple(cases.values()),
        dropped=tuple(dropped),
        without_labels=frozenset(unlabelled),
        pictures_without_row=len(pictures.unused),
        notes=tuple(notes) + tuple(note for table in ordered for note in table.notes),
    )


def _case(row: Row, picture: Path, part: Split | None, lone: bool, official: set[Split | None]) -> Case:
    stem = stem_of(picture.name)
    # A spreadsheet eats leading zeros, the file's name does not.
    identity = stem if row.id != stem and row.id.isdecimal() and row.id.lstrip("0") == stem.lstrip("0") else row.id
    split = split_of(identity)
    if part in ("validation", "test"):
        split = "test" if lone else part
    elif split in official and not lone:
        split = "train"
    atlas_sex, atlas_months = _atlas_facts(picture) or (None, None)
    chronological = row.chronological_age_months
    return Case(
        identity,
        picture,
        atlas_sex if row.sex is None else row.sex,
        row.age_months,
        row.split or split,
        atlas_months if chronological is None else chronological,
    )


def _atlas_facts(path: Path) -> tuple[Sex, float] | None:
    """Sex and the middle of the year of age from `.../<RACE><SEX><AGE>/<id>.jpg` of the Digital Hand Atlas."""
    match = _ATLAS_FOLDER.fullmatch(path.parent.name)
    if match is None:
        return None
    return Sex.MALE if match[2].upper() == "M" else Sex.FEMALE, 12.0 * int(match[3]) + 6.0


def _atlas(root: Path, files: Sequence[Path], others: int, notes: Sequence[str]) -> Dataset:
    """A Digital Hand Atlas without a table: sex and chronological age from the path, no readings."""
    cases: dict[str, Case] = {}
    dropped: list[Dropped] = []
    for path in files:
        facts = _atlas_facts(path)
        identity = stem_of(path.name)
        if identity in cases:
            dropped.append(Dropped(identity, str(path), "duplicate id", f"kept is {cases[identity].image}"))
        elif facts is not None:
            cases[identity] = Case(identity, path, facts[0], None, split_of(identity), facts[1])
    said = "Digital Hand Atlas without readings: name the table and its columns to get them"
    return Dataset(
        root.resolve().name, root, tuple(cases.values()), tuple(dropped), frozenset(cases), others, (*notes, said)
    )
