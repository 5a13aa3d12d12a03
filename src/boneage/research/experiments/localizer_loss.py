"""Phase I's loss: L1 between linear scores and the soft label (the paper), against cross entropy; hand and region 1.

Command:  boneage reproduce localizer-loss --scale compact --data DIR --out results --boxes BOXES --weights WEIGHTS
Found:    cross entropy is better for the hand; neither finds region 1 on the whole image (docs/results)
"""

from __future__ import annotations

from dataclasses import replace

from boneage.regions import Region
from boneage.research.compare import Report
from boneage.research.localizer_cells import LocalizerCell
from boneage.research.runner import ExperimentRunner
from boneage.research.tau_table import Variant, name_region, score_over_tau


def run(runner: ExperimentRunner, report: Report) -> None:
    variants = [
        Variant(loss, LocalizerCell(f"{name_region(region)}, {loss}", region, replace(settings, loss=loss)))
        for region, settings in ((Region.HAND, runner.scale.hand), (Region.REGION_1, runner.scale.region_1))
        for loss in ("l1", "cross_entropy")
    ]
    score_over_tau(runner, report, name="localizer-loss", title="Phase I's loss", column="loss", variants=variants)
