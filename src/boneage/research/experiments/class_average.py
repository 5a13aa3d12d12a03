"""The attention map of the predicted class alone (the paper), or with class weights averaged over its neighbours.

Command:  boneage reproduce class-average --scale compact --data DIR --out results --boxes BOXES --weights WEIGHTS
Found:    no difference; none of the maps finds region 1 on the whole image (docs/results)
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
            str(reach),
            LocalizerCell(
                f"R1, classes within {reach}", Region.REGION_1, replace(runner.scale.region_1, class_average=reach)
            ),
        )
        for reach in (0, 6, 24)
    ]
    score_over_tau(
        runner,
        report,
        name="class-average",
        title="Averaging of class weights, region 1",
        column="months either side",
        variants=variants,
    )
