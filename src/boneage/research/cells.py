"""Cells of experiments: what is trained, and what it said."""

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

ANSWERS: Final = "answers.csv"


@dataclass(frozen=True)
class NotAtHand:
    """Why a cell stays empty."""

    reason: str


class Cell(Protocol):
    """An age network that a bench can train and measure."""

    @property
    def title(self) -> str:
        """What the progress lines call it."""
        ...

    @property
    def cases(self) -> int | None:
        """Training cases, where other than the scale's."""
        ...

    def adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        """The network and its training."""
        ...

    def found(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        """The regions that its views are cut from, and the key of what found them."""
        ...


@dataclass(frozen=True)
class AgeCell:
    """An age network of the project's own kind.

    Attributes:
        title: what the progress lines call it.
        settings: the network and its training.
        start: its starting weights: "none", a file, or None for the scale's own.
        cases: training cases, where other than the scale's.
    """

    title: str
    settings: RegressorSettings
    start: str | None = None
    cases: int | None = None

    def adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        return AgeAdapter.of(self.settings, self.start or runner.start_for(self.settings.backbone))

    def found(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        return runner.found(frozenset().union(*(needed_regions(view) for view in self.settings.views)))


@dataclass(frozen=True, eq=False)
class Answers:
    """What a cell said of the cases of *test*.

    Attributes:
        ids, ages, sexes: of the cases; ages float64 [n], the labels in months.
        months: float64 [repeats, n].
        facts: cases learnt from, parameters, seconds of training.
    """

    ids: tuple[str, ...]
    ages: npt.NDArray[np.float64]
    months: npt.NDArray[np.float64]
    facts: Mapping[str, Any]

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Absolute errors in months, float64 [n]: of each case the mean over the repeats."""
        return np.asarray(np.abs(self.months - self.ages).mean(axis=0))


def write_answers(file: Path, cases: Sequence[Labelled], months: npt.NDArray[np.float64]) -> None:
    """Keep what a network said of cases."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "sex", "age_months", "predicted_months", "notice"])
    for case, answer in zip(cases, months, strict=True):
        writer.writerow([case.id, case.sex.value, f"{case.age_months:g}", repr(float(answer)), NOTICE])
    write_atomically(file, table.getvalue())


def read_answers(file: Path, ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """What `write_answers` kept, float64 [ids] in months.

    Raises:
        TrainingError: the file is damaged, or a case is missing.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            answers = {row["id"]: float(row["predicted_months"]) for row in csv.DictReader(stream)}
        return np.array([answers[case_id] for case_id in ids])
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{file}: cannot be read as the answers of a cell ({error}). Remove {file.parent} and run it again."
        ) from error
