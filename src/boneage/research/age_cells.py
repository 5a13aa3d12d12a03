"""Age cells: one age network of a table, its training, and its predictions on *test*."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from boneage.assessment import NOTICE
from boneage.atomic import write_atomically
from boneage.errors import TrainingError
from boneage.research.adapters import AgeAdapter
from boneage.training.data.views_data import Labelled, RegionsOf
from boneage.training.recipes.settings import RegressorSettings, needed_regions

if TYPE_CHECKING:
    from boneage.research.runner import ExperimentRunner

PREDICTIONS_FILE: Final = "predictions.csv"


@dataclass(frozen=True)
class Unavailable:
    """The reason why a cell stays empty."""

    reason: str


class Cell(Protocol):
    """An age network that the experiment runner can train and measure."""

    @property
    def title(self) -> str:
        """Its name in progress lines."""
        ...

    @property
    def cases(self) -> int | None:
        """Its number of training cases; None for the scale's."""
        ...

    def make_adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        """The network and its training."""
        ...

    def find_regions(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        """The regions that its views are cut from, and the key of the localizers that found them."""
        ...


@dataclass(frozen=True)
class AgeCell:
    """This project's age network.

    Attributes:
        title: its name in progress lines.
        settings: the network and its training.
        l1: one number, learned with L1, in place of the distribution.
        start: starting weights: "none", a file, or None for the scale's own.
        cases: number of training cases; None for the scale's.
    """

    title: str
    settings: RegressorSettings
    l1: bool = False
    start: str | None = None
    cases: int | None = None

    def make_adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        start = self.start or runner.choose_start(self.settings.backbone)
        return AgeAdapter.of_l1(self.settings, start) if self.l1 else AgeAdapter.of_distribution(self.settings, start)

    def find_regions(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        return runner.find_regions(frozenset().union(*(needed_regions(view) for view in self.settings.views)))


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
