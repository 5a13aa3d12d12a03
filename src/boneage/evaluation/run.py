"""From a data set and anything that assesses to predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from boneage.batch import Assessing, Outcome, assess_many
from boneage.errors import DatasetError, ModelError
from boneage.evaluation.predictions import Prediction
from boneage.progress import track

if TYPE_CHECKING:
    from boneage.datasets import Dataset

ALL: Final = "all"


def run(
    assessor: Assessing,
    dataset: Dataset,
    *,
    split: str = ALL,
    workers: int = 1,
    quiet: bool = False,
    doing: str = "Assessing",
    each: Callable[[Prediction, Outcome], None] | None = None,
) -> list[Prediction]:
    """Assess the cases of a data set.

        predictions = run(boneage.load(), read_dataset("data"), split="test")
        metrics = evaluate_predictions(predictions)

    A radiograph that cannot be assessed is a row that says why; the others go on.

    Args:
        assessor: must be safe to call from `workers` threads (`Assessor.for_many`).
        dataset: radiographs and labels.
        split: "train", "validation", "test", or "all" cases.
        workers: radiographs that are read and assessed at the same time.
        quiet: show no progress.
        doing: what the progress calls it.
        each: called for every case, in order, with its row and the assessment or error behind it.

    Returns:
        One row a case, in the order of the data set; files relative to its root.

    Raises:
        DatasetError: the split has no case ("empty_split"), or the data set has none ("no_usable_rows").
        ModelError: the model itself does not work.
    """
    cases = cases_of(dataset, split).cases
    outcomes = assess_many(
        cases, assessor, radiograph=lambda case: case.image, sex=lambda case: case.sex, workers=workers
    )
    rows: list[Prediction] = []
    for case, outcome in track(outcomes, doing, len(cases), quiet=quiet):
        if isinstance(outcome, ModelError):
            raise outcome
        file = case.image.relative_to(dataset.root) if case.image.is_relative_to(dataset.root) else case.image
        row = Prediction.of(
            outcome, file=str(file), id=case.id, split=case.split, sex=case.sex, age_months=case.age_months
        )
        rows.append(row)
        if each is not None:
            each(row, outcome)
    return rows


def cases_of(dataset: Dataset, split: str) -> Dataset:
    """The cases of one split, or of all.

    Raises:
        DatasetError: see `run`.
    """
    if not dataset.cases:
        message = f"{dataset.root}: no row of the data set can be used, for the reasons above. Correct the table."
        raise DatasetError(message, code="no_usable_rows")
    chosen = tuple(case for case in dataset.cases if split in (ALL, case.split))
    if not chosen:
        sizes = ", ".join(f"{name}: {n}" for name, n in sorted(Counter(case.split for case in dataset.cases).items()))
        message = f"{dataset.root}: no case is in the split '{split}' ({sizes}). Choose another with --split."
        raise DatasetError(message, code="empty_split")
    return replace(dataset, cases=chosen)
