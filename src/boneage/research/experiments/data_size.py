"""The error over the number of training cases, with equally many steps for each number.

Command:  boneage reproduce data-size --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    no difference from 375 to 3,000 cases: short trainings are limited by their steps (docs/results)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from boneage.research.age_cells import AgeCell
from boneage.research.compare import Report, Row, compare
from boneage.research.results import Result
from boneage.research.runner import ExperimentRunner

SHARES: Final = (0.125, 0.25, 0.5, 1.0)
_FEWEST: Final = 8


def run(runner: ExperimentRunner, report: Report) -> None:
    most, age = len(runner.training_set.train), runner.scale.age
    rows: list[Row] = []
    for count in sorted({min(most, max(_FEWEST, round(most * share))) for share in SHARES}):
        epochs = max(1, round(age.schedule.epochs * (most / count)))
        settings = replace(age, schedule=replace(age.schedule, epochs=epochs))
        cell = AgeCell(f"{count} cases", settings, cases=None if count == most else count)
        rows.append(Row((str(count),), cell, against=len(rows) - 1 if rows else None))
    setting = runner.describe(age.size, age.schedule.epochs).replace("training cases", "training cases at most")
    note = (
        f"Epochs are given for {most:,} cases. Fewer cases have more epochs, so that all networks see equally many "
        "images."
    )
    result = Result(
        name="data-size",
        title="More training cases, equally many steps",
        setting=setting,
        columns=("training cases",),
        lines=(),
    )
    compare(runner, replace(result, curve="linear", notes=(note,)), rows=rows, report=report)
