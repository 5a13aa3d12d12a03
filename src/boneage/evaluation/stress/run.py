"""Every case again under every transform -> the stress table, which is taken up again where it was interrupted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boneage.assessment import Assessment
from boneage.batch import Assessing, Outcome, attempt, map_in_order
from boneage.errors import BoneAgeError, ModelError
from boneage.evaluation.predictions import Prediction, cells_of
from boneage.evaluation.stress.table import (
    STRESS_COLUMNS,
    UNTRANSFORMED,
    StressRow,
    parse_stress_row,
    read_stress,
    stress_cells,
    write_stress,
)
from boneage.evaluation.stress.transforms import MASKED, TRANSFORMS, Transform, stressed
from boneage.journal import Journal
from boneage.progress import say, track
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region

if TYPE_CHECKING:
    from boneage.datasets import Case

_NAMES: Final = [transform.name for transform in TRANSFORMS]


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
    on. Rows of finished cases lie in a journal beside `table` (`journal_of`) until the table is written; a run that is
    taken up again with the same predictions keeps them.

    Args:
        assessor: must be safe to call from `workers` threads.
        cases: of the data set.
        predictions: the answers of at least these cases, untransformed (`boneage.evaluation.run`). A journal of other
            predictions is begun anew.
        table: the CSV file to write.
        count: take so many of the cases, chosen by a hash of their ids; None for all.
        workers: cases that are assessed at the same time.
        quiet: show no progress.

    Returns:
        One row a case and transform, in the order of the cases, as the table has them; `UNTRANSFORMED` first. A case
        without a single answer has that row alone.

    Raises:
        ModelError: the model itself does not work.
        OutputError: the table or the journal cannot be written ("cannot_write").
    """
    known = {row.id: row for row in predictions}
    chosen = draw(list(cases), count)
    file = journal_of(table)
    with Journal(file, _key(known.values()), replace_other=True) as journal:
        rows = _whole_cases(journal)
        left = [case for case in chosen if case.id not in rows]
        if rows:
            say(f"{file}: going on after {len(chosen) - len(left)} of {len(chosen)} cases", quiet=quiet)

        def assess_all(case: Case) -> list[StressRow]:
            return list(_assess_under_transforms(case, known[case.id], assessor))

        made = track(map_in_order(assess_all, left, workers=workers), "Stress", len(left), quiet=quiet)
        for case, found in made:
            rows[case.id] = found
            journal.append(map(stress_cells, found))
        write_stress(table, (row for case in chosen for row in rows[case.id]))
        journal.remove()
    # As the table rounds them: whoever has it makes the same figures.
    return read_stress(table)


def journal_of(table: Path) -> Path:
    """Where finished cases wait for the others: `stress.partial.jsonl` for `stress.csv`."""
    return table.with_suffix(".partial.jsonl")


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
            return stressed(radiograph, transform, hand=hand or whole, case_id=case.id)

        yield _row(transform.name, attempt(assessor, change, untransformed.sex), known)


def _row(transform: str, found: Outcome, known: Prediction) -> StressRow:
    if isinstance(found, ModelError):
        raise found
    sex = found.sex if isinstance(found, Assessment) else known.sex
    made = Prediction.of(found, file=known.file, id=known.id, split=known.split, sex=sex, age_months=known.age_months)
    return StressRow.of(transform, found, made)


def _key(predictions: Iterable[Prediction]) -> dict[str, object]:
    """What has to be the same for the rows of a journal to hold: the suite, and every answer as tables round it."""
    answers = "\n".join(",".join(cells_of(row)) for row in predictions)
    return {"columns": STRESS_COLUMNS, "transforms": _NAMES, "answers": hashlib.sha256(answers.encode()).hexdigest()}


def _whole_cases(journal: Journal) -> dict[str, list[StressRow]]:
    """The cases that an interrupted run has finished; a kill may leave some rows of one more."""
    by_case: dict[str, list[StressRow]] = {}
    for number, cells in enumerate(journal.rows, start=2):
        row = parse_stress_row(cells, f"{journal.file}, line {number}")
        if row.transform == UNTRANSFORMED:
            by_case[row.prediction.id] = []
        by_case.setdefault(row.prediction.id, []).append(row)
    return {case: found for case, found in by_case.items() if _is_whole(found)}


def _is_whole(found: Sequence[StressRow]) -> bool:
    if found[0].transform != UNTRANSFORMED:
        return False
    names = [row.transform for row in found[1:]]
    if found[0].prediction.predicted_months is None:
        return not names
    return names in (_NAMES, [name for name in _NAMES if name != MASKED])
