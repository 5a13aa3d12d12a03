"""Folders as people have them -> `Dataset`: RSNA, Kaggle and what was derived from them, RHPE, Digital Hand Atlas.

**The radiograph of a row.** A row names its radiograph by its id or in a file column. Folders, case and image extension
do not matter. Leading zeros do not matter where a spreadsheet lost them: "1" finds `00001.png`, and the case is then
"00001". Where the name occurs in several folders, the folder column decides, then the folder that names the same split
(train, validation, test) as the table, then the exact spelling.

**The split of a case.** In this order:

1. A column `split` or `fold` with words (train, validation, test and their short forms) is taken as it is.
2. A table is official for a split when its file name, else its folder inside the root, contains train.., val, valid..
   or test.., or when it has the test set's column `Case ID`. With tables for several splits, each table's cases belong
   to its split. A split without a table, or whose table has no ages (Kaggle's test set), is filled by `split_of` from
   the training cases.
3. A single training table, or one that names no split: `split_of` each id.
4. A single validation or test table: all cases are *test*.

A case that occurs in two splits is kept in *test* before *validation* before *train*, so that no case is both trained
on and measured. The other row is dropped as a duplicate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from boneage.ages import Sex
from boneage.datasets.columns import TABLE_SUFFIXES, Columns, Row, find_columns, normalize_name, read_rows, stem_of
from boneage.datasets.image_matching import ImageFinder, find_archives, find_files, split_in_folders, split_in_name
from boneage.datasets.table import Case, Dataset, Dropped, Split, split_of
from boneage.datasets.tabular import read_sheet
from boneage.errors import DatasetError, UsageError
from boneage.formats.folder_search import ARCHIVE_SUFFIXES

_ATLAS_FOLDER: Final = re.compile(r"(ASI|BLK|CAU|HIS)([FM])(\d\d)", re.IGNORECASE)
_EXPECTED: Final = (
    "A data set is a table (CSV or XLSX) with a column for the id and one for the bone age or the sex, such as "
    "id,boneage,male, with the radiographs in the same folder or below, named <id>.png or similar; or a Digital Hand "
    "Atlas tree <RACE><SEX>/<RACE><SEX><AGE>/<id>.jpg. For other tables name the columns."
)
_NAMED: Final = 3
_PRECEDENCE: Final[dict[Split | None, int]] = {"test": 0, "validation": 1, "train": 2, None: 2}


@dataclass(frozen=True)
class _Table:
    """A table of cases; `split` is what it is official for."""

    file: Path
    split: Split | None
    rows: tuple[Row, ...]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]

    @property
    def has_ages(self) -> bool:
        return any(row.age_months is not None for row in self.rows)

    @property
    def names_splits(self) -> bool:
        return any(row.split is not None for row in self.rows)


def read_dataset(
    root: str | Path,
    *,
    table: str | Path | None = None,
    columns: Columns | None = None,
    images: str | Path | None = None,
) -> Dataset:
    """Read a folder with a table (or several) and radiographs. The module's text describes rows, files and splits.

    A missing value (age, sex) is None: see `Dataset.labelled`. A wrong row (an age of "12y" or of 300 months, an
    unknown sex word, a second row with the same id, a missing file) is in `Dataset.dropped`. No radiograph is opened.

    Args:
        root: the folder; or the table itself, whose folder is then the root.
        table: read only this one (relative to the working directory, or to `root`).
        columns: for tables whose columns have other names.
        images: the folder of the radiographs, where it is not below `root`.

    Raises:
        UsageError: no such folder or table (codes `no_such_folder`, `no_such_file`, `unknown_format`), or the table
            lacks a column that is needed or named (codes `missing_column`, `unknown_column`).
        DatasetError: no table of cases (code `no_table`), a table that cannot be read (codes `cannot_read`,
            `damaged_table`), two tables with different facts about the same cases (code `conflicting_tables`), or no
            radiograph but packed files, such as a zip (code `packed_files`).
    """
    place = Path(root)
    if place.is_file() and place.suffix.lower() in ARCHIVE_SUFFIXES:
        raise _packed(place, [place])
    if table is None and place.is_file() and place.suffix.lower() in TABLE_SUFFIXES:
        table, place = place, place.parent
    if not place.is_dir():
        raise UsageError(f"{place}: there is no such folder. Check the path of the data set.", code="no_such_folder")
    found_tables, found_images = find_files(place)
    if images is not None:
        if not Path(images).is_dir():
            raise UsageError(
                f"{images}: there is no such folder. Check the path of the radiographs.", code="no_such_folder"
            )
        found_images = find_files(Path(images))[1]
    finder = ImageFinder({path: split_in_folders(path, Path(images or place)) for path in found_images})
    if table is not None:
        tables, notes = [_read_named_table(Path(table), place, columns or Columns())], list[str]()
    else:
        tables, notes = _read_found_tables(found_tables, place, columns)
    archives = find_archives(place)
    if archives and not found_images:
        raise _packed(place, archives)
    if tables:
        dataset = _assemble(place, tables, finder=finder, notes=notes)
        if archives and any(item.reason == "missing file" for item in dataset.dropped):
            packed = f"packed files were not searched for the missing ones: {_names(archives)}; unpack them"
            dataset = replace(dataset, notes=(*dataset.notes, packed))
        return dataset
    atlas = [path for path in found_images if _atlas_facts(path)]
    if atlas:
        return _read_atlas(place, atlas, others=len(found_images) - len(atlas), notes=notes)
    details = "".join(f"\n  {note}" for note in notes)
    raise DatasetError(
        f"{place}: {len(found_images):,} images, but no table of cases. {_EXPECTED}{details}", code="no_table"
    )


def _packed(place: Path, archives: Sequence[Path]) -> DatasetError:
    return DatasetError(
        f"{place}: holds no radiographs but packed files ({_names(archives)}). Unpack them, and give the folder.",
        code="packed_files",
    )


def _names(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NAMED])
    return f"{names} and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else names


def _read_table(path: Path, root: Path, columns: Columns, *, named: bool) -> _Table | None:
    """Read a table; None where it is not a table of cases."""
    sheet = read_sheet(path, header=not columns.is_headerless)
    indices = find_columns(sheet, columns)
    # `boneage evaluate` may have written its predictions beside the set: they are not labels.
    if not named and "predicted_months" in sheet.header:
        return None
    has_id = "id" in indices or "file" in indices
    if not has_id or not (named or indices.keys() & {"age", "sex", "male"}):
        return None
    rows, dropped, notes = read_rows(sheet, indices, columns)
    if "age" not in indices:
        header = ", ".join(sheet.header)
        notes = [*notes, f"{path}: no column for the bone age (columns: {header}); --column age=NAME names one"]
    split = split_in_name(path.stem)
    if split is None and path.is_relative_to(root):
        split = split_in_folders(path, root)
    if split is None and "id" in indices and normalize_name(sheet.header[indices["id"][0]]) == "caseid":
        split = "test"
    return _Table(path, split, rows=tuple(rows), dropped=tuple(dropped), notes=tuple(notes))


def _read_named_table(path: Path, root: Path, columns: Columns) -> _Table:
    path = path if path.exists() else root / path
    if not path.is_file():
        raise UsageError(f"{path}: there is no such table. Check the path.", code="no_such_file")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UsageError(f"{path}: tables are read from CSV and XLSX. Save it as one of these.", code="unknown_format")
    table = _read_table(path, root, columns, named=True)
    if table is None:
        header = ", ".join(read_sheet(path).header)
        raise UsageError(
            f"{path}: no column for the id among: {header or '(none)'}. Name the column that holds it.",
            code="missing_column",
        )
    return table


def _read_found_tables(paths: Iterable[Path], root: Path, columns: Columns | None) -> tuple[list[_Table], list[str]]:
    tables: list[_Table] = []
    notes: list[str] = []
    lacking: UsageError | None = None
    for path in paths:
        try:
            table = _read_table(path, root, columns or Columns(), named=columns is not None)
        except DatasetError as error:
            notes.append(f"not used: {error}")
        except UsageError as error:
            lacking = lacking or error
            notes.append(f"not used: {error}")
        else:
            if table is None:
                notes.append(f"{path} was not used: it has no column for the id, or none for the bone age or the sex")
            else:
                tables.append(table)
    if lacking is not None and not tables:
        raise lacking
    return _without_copies(tables, notes), notes


def _without_copies(tables: Sequence[_Table], notes: list[str]) -> list[_Table]:
    """Keep one table where several hold the same cases of the same split.

    Raises:
        DatasetError: two of them differ, and only a person can decide which is right.
    """
    kept: list[_Table] = []
    for table in sorted(tables, key=lambda table: not table.has_ages):
        ids = {row.id for row in table.rows}
        for other in kept:
            if _PRECEDENCE[other.split] != _PRECEDENCE[table.split] or ids.isdisjoint(row.id for row in other.rows):
                continue
            if table.has_ages and not _hold_same_facts(table, other):
                raise DatasetError(
                    f"{other.file} and {table.file} hold different facts about the same cases. Name the table to use, "
                    "or give the folder of one of them as the data set.",
                    code="conflicting_tables",
                )
            why = "repeats" if table.has_ages else "has no ages for the cases of"
            notes.append(f"{table.file} was not used: it {why} {other.file}")
            break
        else:
            kept.append(table)
    return kept


def _hold_same_facts(one: _Table, other: _Table) -> bool:
    facts = [{(row.id, row.sex, row.age_months, row.split) for row in table.rows} for table in (one, other)]
    return facts[0] == facts[1]


def _assemble(root: Path, tables: Sequence[_Table], finder: ImageFinder, notes: Sequence[str]) -> Dataset:
    ordered = sorted(tables, key=lambda table: _PRECEDENCE[table.split])
    ranks = {_PRECEDENCE[table.split] for table in tables}
    official = {table.split for table in tables if table.has_ages or table.names_splits}
    is_single = len(ranks) == 1
    rows = [(table, row) for table in ordered for row in table.rows]
    dropped = [item for table in ordered for item in table.dropped]
    cases: dict[str, Case] = {}
    unlabelled: set[str] = set()
    owners: dict[Path, str] = {}
    matches = finder.match((row, table.split) for table, row in rows)
    for (table, row), match in zip(rows, matches, strict=True):
        image = match.path
        if image is None:
            reason = "several files" if match.conflict else "missing file"
            dropped.append(
                Dropped(
                    id=row.id, file=row.where, reason=reason, detail=match.conflict or f"no image is named {row.name}"
                )
            )
            continue
        case = _case_of(row, image, _split_by(table.split, official, is_single=is_single))
        if case.id in cases:
            dropped.append(
                Dropped(id=case.id, file=row.where, reason="duplicate id", detail=f"kept is {cases[case.id].image}")
            )
            continue
        if image in owners:
            dropped.append(
                Dropped(id=case.id, file=row.where, reason="duplicate file", detail=f"{image} is case {owners[image]}")
            )
            continue
        owners[image] = case.id
        cases[case.id] = case
        if not table.has_ages:
            unlabelled.add(case.id)
    return Dataset(
        name=root.resolve().name,
        root=root,
        cases=tuple(cases.values()),
        dropped=tuple(dropped),
        without_labels=frozenset(unlabelled),
        images_without_row=len(finder.unused),
        notes=tuple(notes) + tuple(note for table in ordered for note in table.notes),
    )


def _split_by(table_split: Split | None, official: set[Split | None], *, is_single: bool) -> Callable[[str], Split]:
    """How the cases of a table get their splits, as a function id -> split."""

    def split(identity: str) -> Split:
        if table_split in ("validation", "test"):
            return "test" if is_single else table_split
        by_hash = split_of(identity)
        # A split that has a table of its own takes no training cases.
        return "train" if by_hash in official and not is_single else by_hash

    return split


def _case_of(row: Row, image: Path, split_by: Callable[[str], Split]) -> Case:
    stem = stem_of(image.name)
    # Spreadsheets drop leading zeros; file names keep them.
    identity = stem if row.id != stem and row.id.isdecimal() and row.id.lstrip("0") == stem.lstrip("0") else row.id
    atlas_sex, atlas_months = _atlas_facts(image) or (None, None)
    chronological = row.chronological_age_months
    return Case(
        id=identity,
        image=image,
        sex=atlas_sex if row.sex is None else row.sex,
        age_months=row.age_months,
        split=row.split or split_by(identity),
        chronological_age_months=atlas_months if chronological is None else chronological,
    )


def _atlas_facts(path: Path) -> tuple[Sex, float] | None:
    """Sex, and the middle of the year of age in months, from `.../<RACE><SEX><AGE>/<id>.jpg` of the atlas."""
    match = _ATLAS_FOLDER.fullmatch(path.parent.name)
    if match is None:
        return None
    return Sex.MALE if match[2].upper() == "M" else Sex.FEMALE, 12.0 * int(match[3]) + 6.0


def _read_atlas(root: Path, files: Sequence[Path], others: int, notes: Sequence[str]) -> Dataset:
    """A Digital Hand Atlas without a table: sex and chronological age from the paths, no bone ages."""
    cases: dict[str, Case] = {}
    dropped: list[Dropped] = []
    for path in files:
        facts = _atlas_facts(path)
        identity = stem_of(path.name)
        if identity in cases:
            dropped.append(
                Dropped(id=identity, file=str(path), reason="duplicate id", detail=f"kept is {cases[identity].image}")
            )
        elif facts is not None:
            cases[identity] = Case(
                id=identity,
                image=path,
                sex=facts[0],
                age_months=None,
                split=split_of(identity),
                chronological_age_months=facts[1],
            )
    note = "Digital Hand Atlas without bone ages: name the table and its columns to read them"
    return Dataset(
        name=root.resolve().name,
        root=root,
        cases=tuple(cases.values()),
        dropped=tuple(dropped),
        without_labels=frozenset(cases),
        images_without_row=others,
        notes=(*notes, note),
    )
