"""Table V: nine combinations of views, each with L1 and with distribution + expectation.

Command:  boneage reproduce table5 --scale compact --data DIR --out results --localizers compact-2026-11e \
              --weights WEIGHTS --set cases=3000 --set age.size=112 --set age.schedule.epochs=5
Hours:    0.75 on 2 CPU cores
Found:    regions beat the whole image by 2 to 3 months; neither more regions nor the distribution (with lambda .5)
          gain anything at this scale (docs/results)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from boneage.research.age_cells import AgeCell
from boneage.research.compare import Report, Row, compare, start_result
from boneage.research.runner import ExperimentRunner
from boneage.training.recipes.settings import ViewName

VIEWS: Final[tuple[tuple[tuple[ViewName, ...], float, float], ...]] = (
    (("O",), 7.3, 6.2),
    (("H",), 6.4, 5.6),
    (("R1",), 6.1, 5.3),
    (("R2",), 7.0, 6.2),
    (("H", "R1"), 5.4, 4.8),
    (("R1", "R2"), 5.6, 5.1),
    (("O", "H", "R1"), 5.4, 4.7),
    (("H", "R1", "E"), 4.7, 4.3),
    (("H", "R1", "R2"), 4.8, 4.3),
)
"""Views, the paper's MAE in months for L1, and for distribution + expectation."""


def run(runner: ExperimentRunner, report: Report) -> None:
    rows: list[Row] = []
    for views, paper_l1, paper_distribution in VIEWS:
        settings, name = replace(runner.scale.age, views=views), "+".join(views)
        # L1 is compared with L1 on the whole image, the distribution with L1 on the same views.
        cell = AgeCell(f"{name}, L1", settings, l1=True)
        rows.append(Row((name, "L1"), cell, paper_l1, against=0 if rows else None))
        cell = AgeCell(f"{name}, distribution", settings)
        rows.append(Row((name, "distribution"), cell, paper_distribution, against=len(rows) - 1))
    title = "Table V: views, L1 against distribution + expectation"
    compare(runner, start_result(runner, "table5", title=title, columns=("views", "answer")), rows=rows, report=report)
