"""`boneage evaluate --stress`: every case again under every transform -> the rows of the stress table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from boneage.assessment import Assessment
from boneage.atomic import write_atomically
from boneage.batch import Assessing, in_order, outcome, with_progress
from boneage.errors import BoneAgeError, OutputError
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.stress.table import UNTRANSFORMED, StressRow, read_stress, stress_lines
from boneage.evaluation.stress.transforms import MASKED, TRANSFORMS, Transform, stressed
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region

if TYPE_CHECKING:
    from boneage.datasets import Case

STRESS_FILE: Final = "stress.csv"
PARTIAL_FILE: Final = "stress.partial.csv"
"""Grows case by case, so that an interrupted run loses only the cases at work; gone once `STRESS_FILE` is there."""


def draw(cases: Sequence[Case], count: int | None) -> list[Case]:
    """`count` of the cases (all, where None), drawn by a hash of their ids: a smaller draw is part of a larger one."""
    if count is None:
        return list(cases)
    by_chance = sorted(cases, key=lambda case: hashlib.sha256(f"stress {case.id}".encode()).digest())
    chosen = {case.id for case in by_chance[:count]}
    return [case for case in cases if case.id in chosen]


def run_stress(
    cases: Sequence[Case],
    predictions: Mapping[str, Prediction],
    assessor: Assessing,
    read: Callable[[Path], Radiograph],
    partial: Path,
    *,
    workers: int = 1,
) -> list[StressRow]:
    """Assess the cases under every transform, keeping what an interrupted run has left in `partial`.

    One bad radiograph, and one transform that makes it unfit, is a row that says so and stops nothing.

    Args:
        predictions: the answer of each case, as it is, in this evaluation. Kept are the cases that had the same one.
        partial: grows case by case; the caller removes it.

    Returns:
        One row a case and transform, in the order of the cases; `UNTRANSFORMED` first of each case. A case that has
        no single answer as it is has that row alone.

    Raises:
        ModelError: the model itself does not work.
        OutputError: `partial` cannot be written.
    """
    rows = _kept(partial, predictions)
    left = [case for case in cases if case.id not in rows]
    if len(left) < len(cases):
        typer.echo(f"{partial}: going on after {len(cases) - len(left)} of {len(cases)} cases", err=True)
    write_atomically(partial, stress_lines((row for case in rows.values() for row in case), header=True))
    found = with_progress(
        _under_stress(left, predictions, assessor, read, workers), len(left), doing="Stress", done="under stress"
    )
    try:
        with partial.open("a", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            for case, made in found:
                rows[case.id] = made
                stream.write(stress_lines(made))
                stream.flush()
    except OSError as error:
        raise OutputError(
            f"{partial}: could not be written ({error.strerror or error}). Free some space; the same command with "
            "--force goes on where it stopped."
        ) from error
    return [row for case in cases for row in rows[case.id]]


def _under_stress(
    cases: Sequence[Case],
    predictions: Mapping[str, Prediction],
    assessor: Assessing,
    read: Callable[[Path], Radiograph],
    workers: int,
) -> Iterator[tuple[Case, list[StressRow]]]:
    def one(case: Case) -> list[StressRow]:
        return list(_rows(case, predictions[case.id], read, assessor))

    yield from in_order(cases, one, workers=workers)


def _rows(
    case: Case, known: Prediction, read: Callable[[Path], Radiograph], assessor: Assessing
) -> Iterator[StressRow]:
    plain = outcome(lambda: read(case.image), case.sex, assessor)
    yield _row(UNTRANSFORMED, plain, known)
    if isinstance(plain, Exception) or plain.bone_age_months is None:
        return
    radiograph = plain.radiograph
    whole = Box(0.0, 0.0, float(radiograph.width), float(radiograph.height))
    hand = plain.regions.get(Region.HAND)
    for transform in TRANSFORMS:
        if hand is None and transform.name == MASKED:
            continue  # a model that finds no hand has nothing to mask around

        def changed(transform: Transform = transform) -> Radiograph:
            return stressed(radiograph, transform, hand or whole, case.id)

        yield _row(transform.name, outcome(changed, plain.sex, assessor), known)


def _row(transform: str, found: Assessment | Exception, known: Prediction) -> StressRow:
    sex = found.sex if isinstance(found, Assessment) else known.sex
    made = Prediction.of(found, file=known.file, id=known.id, split=known.split, sex=sex, age_months=known.age_months)
    return StressRow.of(transform, found, made)


def _kept(partial: Path, predictions: Mapping[str, Prediction]) -> dict[str, list[StressRow]]:
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
    return {case: found for case, found in by_case.items() if _holds(found, predictions.get(case))}


def _holds(found: Sequence[StressRow], known: Prediction | None) -> bool:
    plain = found[0].prediction
    if known is None or found[0].transform != UNTRANSFORMED:
        return False
    named = [row.transform for row in found[1:]]
    every = [transform.name for transform in TRANSFORMS]
    whole = (every, [name for name in every if name != MASKED])
    return named in (([],) if plain.predicted_months is None else whole) and _answer(plain) == _answer(known)


def _answer(row: Prediction) -> tuple[object, ...]:
    """What an answer is known by, as the tables round it."""
    months = (row.age_months, row.predicted_months, row.lower_90_months, row.upper_90_months)
    return (row.file, row.status, row.width, row.height, *(None if v is None else round(v, 3) for v in months))
