"""The width l of phase I's soft label, in months (the paper takes 50); region 1.

Command:  boneage reproduce label-width --scale compact --data DIR --out results --boxes BOXES --weights WEIGHTS
Found:    run on phantoms only (docs/results)
"""

from __future__ import annotations

from dataclasses import replace

from boneage.regions import Region
from boneage.research.compare import Report
from boneage.research.localizer_cells import LocalizerCell
from boneage.research.runner import ExperimentRunner
from boneage.research.tau_table import Variant, score_over_tau


def run(runner: ExperimentRunner, report: Report) -> None:
    variants = [
        Variant(
            f"{width:g}",
            LocalizerCell(f"R1, l = {width:g}", Region.REGION_1, replace(runner.scale.region_1, label_width=width)),
        )
        for width in (10.0, 30.0, 50.0, 100.0)
    ]
    score_over_tau(
        runner,
        report,
        name="label-width",
        title="The soft label's width l, region 1",
        column="l, months",
        variants=variants,
    )
