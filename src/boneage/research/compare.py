"""Tables of age cells: train and measure the rows, and compare them case by case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.stats import wilcoxon

from boneage.errors import TrainingError, UsageError
from boneage.evaluation.bootstrap import figure
from boneage.model.folder import load_model
from boneage.research.age_cells import AgeCell
from boneage.research.cell_predictions import CellPredictions, Unavailable
from boneage.research.results import DIFFERENCE, MAE, Line, Picture, Result
from boneage.research.runner import Cell, ExperimentRunner
from boneage.training.recipes.settings import RegressorSettings

Report = Callable[[Result | Picture], None]
"""Writes a result. A table is reported after each of its cells, so that a stopped run leaves what it has found."""


@dataclass(frozen=True)
class Row:
    """A cell and its place in a table.

    Attributes:
        labels: one for each label column.
        cell: what is trained, or why nothing is.
        paper: the paper's MAE in months.
        against: index of the row that it is compared with, case by case.
    """

    labels: tuple[str, ...]
    cell: Cell | Unavailable
    paper: float | None = None
    against: int | None = None


def compare(runner: ExperimentRunner, result: Result, rows: Sequence[Row], report: Report) -> Result:
    """Train and measure the rows one after the other.

    A cell that cannot be trained stays empty with the reason, and the others go on.

    Args:
        result: title, setting and columns; its lines are filled in.
        report: is called after each cell.

    Returns:
        The complete result.
    """
    compared = sum(row.against is not None and not isinstance(row.cell, Unavailable) for row in rows)
    trainings = "one training" if runner.scale.repeats == 1 else f"{runner.scale.repeats} trainings"
    note = f"{trainings.capitalize()} a cell: intervals and p-values are over cases, not over trainings."
    if compared > 1:
        note += f" p-values are not corrected for the {compared} comparisons."
    result = replace(result, notes=(*result.notes, note))
    predicted: dict[int, CellPredictions] = {}
    empty = {place: row.cell.reason for place, row in enumerate(rows) if isinstance(row.cell, Unavailable)}
    result = replace(result, lines=_make_lines(runner, rows, predicted=predicted, empty=empty))
    for place, row in enumerate(rows):
        if isinstance(row.cell, Unavailable):
            continue
        runner.say(f"{result.name}: {' '.join(row.labels)} ({place + 1} of {len(rows)} cells)")
        try:
            predicted[place] = runner.measure(row.cell)
        except (TrainingError, UsageError) as error:
            runner.say(f"{result.name}: {' '.join(row.labels)} stays empty: {error}")
            empty[place] = str(error)
        result = replace(result, lines=_make_lines(runner, rows, predicted=predicted, empty=empty))
        report(result)
    report(result)
    return result


def sweep(
    runner: ExperimentRunner,
    report: Report,
    result: Result,
    settings: Iterable[tuple[str, RegressorSettings]],
    *,
    against: int = 0,
) -> Result:
    """Compare age networks that differ in one setting; `against` is the row that the others are compared with."""
    rows = [
        Row((label,), AgeCell(f"{result.columns[0]} {label}", changed), against=against if place != against else None)
        for place, (label, changed) in enumerate(settings)
    ]
    return compare(runner, result, rows=rows, report=report)


def start_result(runner: ExperimentRunner, name: str, title: str, columns: tuple[str, ...]) -> Result:
    """A result without lines, for cells of the scale's size and epochs."""
    age = runner.scale.age
    return Result(
        name=name, title=title, setting=runner.describe(age.size, age.schedule.epochs), columns=columns, lines=()
    )


def note_on_maps(runner: ExperimentRunner) -> tuple[str, ...]:
    """The note of a table or picture whose attention maps are the masks of a student; else no note."""
    distilled = runner.recipe.student
    if runner.localizers:
        steps = load_model(runner.localizers).localizers
        distilled = len({step.network.path for step in steps}) < len(steps)
    if not distilled:
        return ()
    return ("Maps are the masks of the distilled localizer, which learned the boxes of attention maps.",)


def _make_lines(
    runner: ExperimentRunner, rows: Sequence[Row], predicted: Mapping[int, CellPredictions], empty: Mapping[int, str]
) -> tuple[Line, ...]:
    lines = []
    for place, row in enumerate(rows):
        paper = {} if row.paper is None else {MAE: row.paper}
        if place not in predicted:
            lines.append(Line(row.labels, paper=paper, empty=empty.get(place, "")))
            continue
        cell = predicted[place]
        figures = {MAE: figure(cell.errors, seed=runner.seed)}
        other, chance = "", ""
        if row.against is not None and row.against in predicted:
            differences = cell.errors - predicted[row.against].errors
            figures[DIFFERENCE] = figure(differences, seed=runner.seed)
            if differences.any():
                chance = f"{wilcoxon(differences).pvalue:.2g}"
            other = " ".join(rows[row.against].labels)
        facts = {
            "p (Wilcoxon)": chance,
            "cases": cell.facts["cases"],
            "parameters": cell.facts["parameters"],
            "training seconds": cell.facts["training_seconds"],
        }
        lines.append(Line(labels=row.labels, figures=figures, paper=paper, against=other, facts=facts))
    return tuple(lines)
