"""The cases of a data set, the split of each, and the rows that were dropped and why."""

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
"""Per cent of the cases that are *test*: measured at the end; nothing is chosen on them."""
VALIDATION_BELOW: Final = 15
"""Per cent up to which cases are *validation*: early stopping, tau and every other choice."""
LARGEST_DROPPED_SHARE: Final = 0.05
_EXAMPLES: Final = 5


def split_of(case_id: str) -> Split:
    """The split of a case by its id alone, the same on every machine.

    h = int(sha256(id).hexdigest(), 16) % 100; h < 10 is "test", 10..14 "validation", the rest "train". The id is
    hashed as written (UTF-8, leading zeros kept).
    """
    h = int(hashlib.sha256(str(case_id).encode("utf-8")).hexdigest(), 16) % 100
    return "test" if h < TEST_BELOW else "validation" if h < VALIDATION_BELOW else "train"


@dataclass(frozen=True)
class Case:
    """One radiograph and its labels.

    Attributes:
        id: the name of the radiograph in its data set, without extension, leading zeros kept.
        image: the file.
        sex: None where unknown.
        age_months: the bone age in [1, 240], or None where it is unknown.
        split: the use of the case: training, choices (validation) or measuring (test).
        chronological_age_months: for tables only; no network sees it.
    """

    id: str
    image: Path
    sex: Sex | None
    age_months: float | None
    split: Split
    chronological_age_months: float | None = None


@dataclass(frozen=True)
class Dropped:
    """One row of a table that did not become a case.

    Attributes:
        id: as in the table; "" where the row has none.
        file: the table and the line, or the radiograph.
        reason: one of a few, to count by: "missing file", "duplicate id", "age outside 1..240", ...
        detail: the value or the files, for people.
    """

    id: str
    file: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Dataset:
    """Cases with their radiographs on disk.

    Attributes:
        name: for reports and for the provenance of models.
        root: the folder.
        cases: every usable row; ids are unique.
        dropped: every row that is not usable.
        without_labels: ids from tables without any ages (a challenge's test set), for predictions only.
        images_without_row: number of files that no table names.
        notes: how the folder was read, for people.
    """

    name: str
    root: Path
    cases: tuple[Case, ...]
    dropped: tuple[Dropped, ...] = ()
    without_labels: frozenset[str] = frozenset()
    images_without_row: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cases)

    def of(self, *splits: Split) -> Dataset:
        """The set with the cases of these splits only; `dropped` stays whole."""
        return replace(self, cases=tuple(case for case in self.cases if case.split in splits))

    @property
    def labelled(self) -> Dataset:
        """The set with the cases whose age and sex are both known.

        A case without age or sex is dropped. The cases of tables without any ages are left out and noted instead.
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
        notes = (f"{aside:,} cases of tables without ages were left out: for predictions only",) if aside else ()
        return replace(
            self,
            cases=tuple(kept),
            dropped=self.dropped + tuple(dropped),
            without_labels=frozenset(),
            notes=self.notes + notes,
        )

    def check_for_training(self) -> Dataset:
        """Check that the set is fit for training. Call it on the whole set, before `of`.

        Returns:
            `labelled`.

        Raises:
            DatasetError: more than 5 % of the rows were dropped (code `too_many_dropped`), or no training case is left
                (code `no_training_case`). The message contains `report()`.
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
                f"{self.root}: no training case has both age and sex. Give a data set with labels.\n"
                f"{labelled.report()}",
                code="no_training_case",
            )
        return labelled

    def report(self) -> str:
        """Numbers of cases by split, and of dropped rows by reason with examples: a few lines for people."""
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
        if self.images_without_row:
            lines.append(f"  images without a row in a table: {self.images_without_row:,} (not used)")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def dropped_table(dropped: Iterable[Dropped]) -> str:
    """The dropped rows as CSV: id, file, reason, detail."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "file", "reason", "detail"))
    writer.writerows((item.id, item.file, item.reason, item.detail) for item in dropped)
    return text.getvalue()


def with_dropped(dataset: Dataset, dropped: Iterable[Dropped]) -> Dataset:
    """The set without the cases that were dropped later, such as `ImageCache.dropped` (unreadable files)."""
    late = tuple(dropped)
    gone = {item.id for item in late}
    return replace(
        dataset,
        cases=tuple(case for case in dataset.cases if case.id not in gone),
        dropped=dataset.dropped + late,
        without_labels=dataset.without_labels - gone,
    )
