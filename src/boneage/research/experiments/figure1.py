"""Figure 1: four images with the attention for the hand, region 1 and region 2.

Command:  boneage reproduce figure1 --scale compact --data DIR --out results --localizers compact-2026-11e
"""

from __future__ import annotations

from boneage.research.attention_sheet import draw_sheet
from boneage.research.compare import Report
from boneage.research.results import Picture
from boneage.research.runner import ExperimentRunner


def run(runner: ExperimentRunner, report: Report) -> None:
    columns = ("O", "attention: H", "attention: R1", "attention: R2")
    report(Picture("figure1", draw_sheet(runner, "Figure 1: images and attention", columns=columns, count=4)))
