"""Figure 3: six images with attention and view at every step.

Command:  boneage reproduce figure3 --scale compact --data DIR --out results --localizers compact-2026-11e
"""

from __future__ import annotations

from boneage.research.attention_sheet import draw_sheet
from boneage.research.compare import Report
from boneage.research.results import Picture
from boneage.research.runner import ExperimentRunner


def run(runner: ExperimentRunner, report: Report) -> None:
    columns = ("O", "attention: H", "H", "attention: R1", "R1", "E", "attention: R2", "R2")
    report(Picture("figure3", draw_sheet(runner, "Figure 3: from attention to views", columns=columns, count=6)))
