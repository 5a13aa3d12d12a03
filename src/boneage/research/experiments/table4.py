"""Table IV: input sizes; whole image with the sex, L1.

Command:  boneage reproduce table4 --scale compact --data DIR --out results --weights WEIGHTS
Found:    larger inputs are better, and far more so than in the paper, whose smallest has 224 px (docs/results)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from boneage.research.age_cells import AgeCell
from boneage.research.compare import Report, Row, compare
from boneage.research.results import Result
from boneage.research.runner import ExperimentRunner
from boneage.research.scales import TABLE_IV_SIZES

PAPER: Final = dict(zip(TABLE_IV_SIZES, (7.8, 7.6, 7.4, 7.3, 7.3), strict=True))
"""Side in pixels -> MAE in months."""


def run(runner: ExperimentRunner, report: Report) -> None:
    scale = runner.scale
    schedule = replace(scale.age.schedule, size_schedule=())
    base = replace(scale.age, views=("O",), schedule=schedule)
    rows: list[Row] = []
    for size, stands_for in zip(scale.sizes, TABLE_IV_SIZES, strict=False):
        cell = AgeCell(f"{size} px", replace(base, size=size), l1=True)
        note = "" if size == stands_for else f"for {stands_for}"
        rows.append(Row((str(size), note), cell, PAPER[stands_for], against=0 if rows else None))
    setting = runner.describe(f"{scale.sizes[0]} to {scale.sizes[-1]}", schedule.epochs, regions=False)
    title = "Table IV: input sizes, on the whole image"
    compare(
        runner,
        Result(name="table4", title=title, setting=setting, columns=("side, px", "stands for"), lines=()),
        rows=rows,
        report=report,
    )
