"""Every case again under every transform -> the stress table, which grows case by case and is taken up again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boneage.assessment import Assessment
from boneage.atomic import write_atomically
from boneage.batch import Assessing, Outcome, attempt, map_in_order
from boneage.errors import BoneAgeError, ModelError, OutputError
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.stress.table import UNTRANSFORMED, StressRow, read_stress, stress_lines, write_stress
from boneage.evaluation.stress.transforms import MASKED, TRANSFORMS, Transform, stressed
from boneage.progress import say, track
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region

if TYPE_CHECKING:
    from boneage.datasets import Case

_NAMES: Final = [transform.name for transform in TRANSFORMS]
_WHOLE: Final[Sequence[list[str]]] = ([], _NAMES, [name for name in _NAMES if name != MASKED])
"""Transforms of a whole case: none without an answer, all without the mask where no hand was found."""


def run(
    assessor: Assessing,
    cases: Iterable[Case],
    predictions: Iterable[Prediction],
    table: Path,
    *,
    count: int | None = None,
    workers: int = 1,
    quiet: bool = False,
) -> list[StressRow]:
    """Assess the cases under every transform and write the stress table.

    A radiograph that cannot be read, and a transform that makes one unsuitable, is a row that says so; the others go
    on. While the run lasts, the table grows case by case beside `table` (`partial_table`). A run that is taken up again
    keeps the cases there whose untransformed answer is still that of `predictions`.

    Args:
        assessor: must be safe to call from `workers` threads.
        cases: of the data set.
        predictions: the answers of at least these cases, untransformed (`boneage.evaluation.run`).
        table: the CSV file to write.
        count: take so many of the cases, chosen by a hash of their ids; None for all.
        workers: cases that are assessed at the same time.
        quiet: show no progress.

    Returns:
        One row a case and transform, in the order of the cases, as the table has them; `UNTRANSFORMED` first. A case
        without a single answer has that row alone.

    Raises:
        ModelError: the model itself does not work.
        OutputError: the table cannot be written.
    """
    known = {row.id: row for row in predictions}
    chosen = draw(list(cases), count)
    partial = partial_table(table)
    rows = _read_whole_cases(partial, known)
    left = [case for case in chosen if case.id not in rows]
    if len(left) < len(chosen):
        say(f"{partial}: going on after {len(chosen) - len(left)} of {len(chosen)} cases", quiet=quiet)
    write_stress(partial, (row for made in rows.values() for row in made))

    def assess_all(case: Case) -> list[StressRow]:
        return list(_assess_under_transforms(case, known[case.id], assessor))

    made = track(map_in_order(assess_all, left, workers=workers), "Stress", len(left), quiet=quiet)
    try:
        with partial.open("a", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            for case, found in made:
                rows[case.id] = found
                stream.write(stress_lines(found))
                stream.flush()
    except OSError as error:
        message = f"{partial}: could not be written ({error.strerror or error}). Free some space and run again."
        raise OutputError(message, code="cannot_write") from error
    write_stress(table, (row for case in chosen for row in rows[case.id]))
    partial.unlink(missing_ok=True)
    return read_stress(table)


def partial_table(table: Path) -> Path:
    """Where the table grows: `stress.partial.csv` for `stress.csv`."""
    return table.with_suffix(f".partial{table.suffix}")


def draw(cases: Sequence[Case], count: int | None) -> list[Case]:
    """`count` of the cases (None for all), drawn by a hash of their ids: a smaller draw is part of a larger one."""
    if count is None:
        return list(cases)
    by_hash = sorted(cases, key=lambda case: hashlib.sha256(f"stress {case.id}".encode()).digest())
    chosen = {case.id for case in by_hash[:count]}
    return [case for case in cases if case.id in chosen]


def _assess_under_transforms(case: Case, known: Prediction, assessor: Assessing) -> Iterator[StressRow]:
    untransformed = attempt(assessor, lambda: case.image, case.sex)
    yield _row(UNTRANSFORMED, untransformed, known)
    if isinstance(untransformed, BoneAgeError) or untransformed.bone_age_months is None:
        return
    radiograph = untransformed.radiograph
    whole = Box(0.0, 0.0, float(radiograph.width), float(radiograph.height))
    hand = untransformed.regions.get(Region.HAND)
    for transform in TRANSFORMS:
        if hand is None and transform.name == MASKED:
            continue

        def change(transform: Transform = transform) -> Radiograph:
            return stressed(radiograph, transform, hand or whole, case.id)

        yield _row(transform.name, attempt(assessor, change, untransformed.sex), known)


def _row(transform: str, found: Outcome, known: Prediction) -> StressRow:
    if isinstance(found, ModelError):
        raise found
    sex = found.sex if isinstance(found, Assessment) else known.sex
    made = Prediction.of(found, file=known.file, id=known.id, split=known.split, sex=sex, age_months=known.age_months)
    return StressRow.of(transform, found, made)


def _read_whole_cases(partial: Path, known: Mapping[str, Prediction]) -> dict[str, list[StressRow]]:
    """The whole cases that an interrupted run has left and whose answers still hold."""
    if not partial.exists():
        return {}
    try:
        # Half a line at the end is what a kill leaves.
        content = partial.read_text(encoding="utf-8")
        write_atomically(partial, content[: content.rfind("\n") + 1])
        rows = read_stress(partial)
    except (OSError, UnicodeDecodeError, BoneAgeError):
        # Of another version, or damaged: all of it is measured again.
        return {}
    by_case: dict[str, list[StressRow]] = {}
    for row in rows:
        by_case.setdefault(row.prediction.id, []).append(row)
    return {case: found for case, found in by_case.items() if _holds(found, known.get(case))}


def _holds(found: Sequence[StressRow], known: Prediction | None) -> bool:
    first, *others = found
    answered = first.prediction.predicted_months is not None
    return (
        known is not None
        and first.transform == UNTRANSFORMED
        and [row.transform for row in others] in (_WHOLE[1:] if answered else _WHOLE[:1])
        and _answer(first.prediction) == _answer(known)
    )


def _answer(row: Prediction) -> tuple[object, ...]:
    """What identifies an answer, as the tables round it."""
    months = (row.age_months, row.predicted_months, row.lower_90_months, row.upper_90_months)
    return (row.file, row.status, row.width, row.height, *(None if v is None else round(v, 3) for v in months))
