"""What a cell leaves in its folder: predictions on *test*, or the reason why there are none."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boneage.assessment import NOTICE
from boneage.atomic import write_atomically
from boneage.errors import TrainingError
from boneage.training.data.views_data import Labelled

PREDICTIONS_FILE: Final = "predictions.csv"


@dataclass(frozen=True)
class Unavailable:
    """The reason why a cell stays empty."""

    reason: str


@dataclass(frozen=True, eq=False)
class CellPredictions:
    """The predictions of a cell's networks on *test*.

    Attributes:
        ids: of the cases.
        ages: labels, float64 [n] in months.
        months: predictions, float64 [repeats, n] in months.
        facts: training cases, parameters, training seconds.
    """

    ids: tuple[str, ...]
    ages: npt.NDArray[np.float64]
    months: npt.NDArray[np.float64]
    facts: Mapping[str, Any]

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Absolute errors, float64 [n] in months: for each case the mean over the repeats."""
        return np.asarray(np.abs(self.months - self.ages).mean(axis=0))


def write_predictions(file: Path, cases: Sequence[Labelled], months: npt.NDArray[np.float64]) -> None:
    """Write a network's predictions, float64 [cases] in months, as CSV.

    Raises:
        OutputError: the file cannot be written.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "sex", "age_months", "predicted_months", "notice"])
    for case, predicted in zip(cases, months, strict=True):
        writer.writerow([case.id, case.sex.value, f"{case.age_months:g}", repr(float(predicted)), NOTICE])
    write_atomically(file, table.getvalue())


def read_predictions(file: Path, ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """Read what `write_predictions` wrote: float64 [ids] in months.

    Raises:
        TrainingError: the file is damaged, or a case is missing (`damaged_cell`).
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            months = {row["id"]: float(row["predicted_months"]) for row in csv.DictReader(stream)}
        return np.array([months[case_id] for case_id in ids])
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{file}: cannot be read as the predictions of a cell ({error}). Remove {file.parent} and give the "
            "command again.",
            code="damaged_cell",
        ) from error
