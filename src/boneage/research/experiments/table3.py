"""Table III: how the sex is embedded; whole image, L1.

Command:  boneage reproduce table3 --scale compact --data DIR --out results --weights WEIGHTS
Found:    the sex lowers the error by 2.2 to 2.6 months, whatever the embedding; as in the paper (docs/results)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from boneage.research.age_cells import AgeCell
from boneage.research.compare import Report, Row, compare
from boneage.research.results import Result
from boneage.research.runner import ExperimentRunner

EMBEDDINGS: Final[tuple[tuple[str, tuple[int, ...], float], ...]] = (
    ("none", (), 8.8),
    ("1-16", (16,), 7.9),
    ("1-32", (32,), 7.8),
    ("1-64", (64,), 7.8),
    ("1-64-32", (64, 32), 8.0),
)
"""Name, widths of the embedding's layers, the paper's MAE in months."""


def run(runner: ExperimentRunner, report: Report) -> None:
    age = runner.scale.age
    schedule = replace(age.schedule, size_schedule=())
    base = replace(age, views=("O",), size=runner.scale.sex_size, schedule=schedule)
    rows = [
        Row((name,), AgeCell(f"sex {name}", replace(base, sex=widths), l1=True), paper, against=0 if widths else None)
        for name, widths, paper in EMBEDDINGS
    ]
    setting = runner.describe(base.size, schedule.epochs, regions=False)
    result = Result(
        name="table3", title="Table III: the sex, on the whole image", setting=setting, columns=("embedding",), lines=()
    )
    compare(runner, result, rows=rows, report=report)
