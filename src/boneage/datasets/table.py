"""Cases of a data set, the split that each belongs to, and what was dropped and why."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

from boneage.ages import Sex
from boneage.errors import DatasetError

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
TEST_BELOW: Final = 10
"""Per cent of the cases that are *test*: nothing is ever chosen on them."""
VALIDATION_BELOW: Final = 15
"""Up to here they are *validation*: early stopping, tau, every choice."""
LARGEST_DROPPED_SHARE: Final = 0.05
_EXAMPLES: Final = 5


def split_of(case_id: str) -> Split:
    """The split of a case by its id alone, the same on every machine.

    h = int(sha256(id).hexdigest(), 16) % 100; h < 10 is "test", 10..14 "validation", the rest "train".
    The id is taken as written (UTF-8, leading zeros kept).
    """
    h = int(hashlib.sha256(str(case_id).encode("utf-8")).hexdigest(), 16) % 100
    return "test" if h < TEST_BELOW else "validation" if h < VALIDATION_BELOW else "train"


@dataclass(frozen=True)
class Case:
    """One radiograph and what is known about it.

    Attributes:
        id: the name of the radiograph in its data set, without extension, leading zeros kept.
        image: the file.
        sex: None where unknown.
        age_months: the bone age in [1, 240], or None where there is no label.
        split: what it may be used for.
        chronological_age_months: only carried along, never shown to a network.
    """

    id: str
    image: Path
    sex: Sex | None
    age_months: float | None
    split: Split
    chronological_age_months: float | None = None


@dataclass(frozen=True)
class Dropped:
    """One row that became no case.

    Attributes:
        id: as the table gives it; empty where the row has none.
        file: the table and the line, or the radiograph.
        reason: one of a few ("missing file", "duplicate id", "age outside 1..240", ...), to count by.
        detail: what was found there.
    """

    id: str
    file: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Dataset:
    """Cases with their radiographs on disk.

    Attributes:
        name: for people and for provenance.
        root: the folder.
        cases: every usable row; ids are unique.
        dropped: every row that is not usable.
        without_labels: ids of tables that have no ages at all (a challenge's test set): predictions only.
        pictures_without_row: files that no table speaks of; only counted.
        notes: what else a reader should know about how the folder was read.
    """

    name: str
    root: Path
    cases: tuple[Case, ...]
    dropped: tuple[Dropped, ...] = ()
    without_labels: frozenset[str] = frozenset()
    pictures_without_row: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cases)

    def of(self, *splits: Split) -> Dataset:
        """The cases of these splits; what was dropped stays in the report."""
        return replace(self, cases=tuple(case for case in self.cases if case.split in splits))

    @property
    def labelled(self) -> Dataset:
        """The cases whose age and sex are both known.

        A missing age or sex is a drop here. Tables without any ages are set aside as a whole and noted.
        """
        kept: list[Case] = []
        dropped: list[Dropped] = []
        aside = 0
        for case in self.cases:
            if case.age_months is not None and case.sex is not None:
                kept.append(case)
            elif case.id in self.without_labels:
                aside += 1
            else:
                reason = "no age" if case.age_months is None else "unknown sex"
                dropped.append(Dropped(case.id, str(case.image), reason))
        notes = (f"{aside:,} cases of tables without ages were set aside: for predictions only",) if aside else ()
        return replace(
            self,
            cases=tuple(kept),
            dropped=self.dropped + tuple(dropped),
            without_labels=frozenset(),
            notes=self.notes + notes,
        )

    def check_for_training(self) -> Dataset:
        """Make sure that the set is fit for training. Call it on the whole set, before `of`.

        Returns:
            `labelled`: the cases to train on.

        Raises:
            DatasetError: more than 5 % of the rows were dropped, or none is left for training; with the report.
        """
        labelled = self.labelled
        rows = len(labelled.cases) + len(labelled.dropped)
        if len(labelled.dropped) > LARGEST_DROPPED_SHARE * rows:
            raise DatasetError(
                f"{self.root}: {len(labelled.dropped):,} of {rows:,} rows were dropped, more than "
                f"{LARGEST_DROPPED_SHARE:.0%}. Correct the data set, or train on a table without those rows.\n"
                f"{labelled.report()}",
                code="too_many_dropped",
            )
        if not any(case.split == "train" for case in labelled.cases):
            raise DatasetError(
                f"{self.root}: no case with age and sex is left for training. Give a set with labels.\n"
                f"{labelled.report()}",
                code="no_training_case",
            )
        return labelled

    def report(self) -> str:
        """What is in the set and what was dropped and why, a few lines for people."""
        splits = Counter(case.split for case in self.cases)
        rows = len(self.cases) + len(self.dropped)
        lines = [
            f"{self.name}: {len(self.cases):,} cases ("
            + ", ".join(f"{split} {splits[split]:,}" for split in SPLITS)
            + f"); {len(self.dropped):,} of {rows:,} rows dropped"
            + (f" ({len(self.dropped) / rows:.1%})" if rows else "")
        ]
        reasons: dict[str, list[Dropped]] = {}
        for item in self.dropped:
            reasons.setdefault(item.reason, []).append(item)
        for reason, items in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
            lines.append(f"  {reason}: {len(items):,}")
            for item in items[:_EXAMPLES]:
                lines.append(f"    {item.id or '(no id)'}, {item.file}" + (f": {item.detail}" if item.detail else ""))
            if len(items) > _EXAMPLES:
                lines.append(f"    and {len(items) - _EXAMPLES:,} more")
        if self.pictures_without_row:
            lines.append(f"  pictures without a row in a table: {self.pictures_without_row:,} (not used)")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def dropped_table(dropped: Iterable[Dropped]) -> str:
    """Everything that was dropped, as CSV: id, file, reason, detail."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "file", "reason", "detail"))
    writer.writerows((item.id, item.file, item.reason, item.detail) for item in dropped)
    return text.getvalue()


def with_dropped(dataset: Dataset, dropped: Iterable[Dropped]) -> Dataset:
    """The set without the cases that were dropped later, such as `FilmCache.dropped` (unreadable files)."""
    late = tuple(dropped)
    gone = {item.id for item in late}
    return replace(
        dataset,
        cases=tuple(case for case in dataset.cases if case.id not in gone),
        dropped=dataset.dropped + late,
        without_labels=dataset.without_labels - gone,
    )
