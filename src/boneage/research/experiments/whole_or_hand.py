"""Regions 1 and 2 found on the whole image (the paper), or on the hand that was found before.

Command:  boneage reproduce whole-or-hand --scale compact --data DIR --out results --boxes BOXES --weights WEIGHTS
Found:    the hand first is better, and alone it is not enough (docs/results)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from boneage.regions import Region
from boneage.research.compare import Report
from boneage.research.localizer_cells import LocalizerCell
from boneage.research.runner import ExperimentRunner
from boneage.research.tau_table import Variant, name_region, score_over_tau
from boneage.training.recipes.settings import LocalizerInput

_LABELS: Final[dict[LocalizerInput, str]] = {
    "O": "on the image",
    "E": "on the image",
    "H": "on the hand",
    "HE": "on the hand",
}
"""Input view -> its name in the table. E is the image with region 1 erased, HE the hand of that image."""
_INPUTS: Final[dict[Region, tuple[LocalizerInput, LocalizerInput]]] = {
    Region.REGION_1: ("O", "H"),
    Region.REGION_2: ("E", "HE"),
}
_NOTES: Final = (
    "What the input of a localizer needs (the hand's box, region 1 to be erased) comes from this project's phase I.",
    "All of them learn by cross entropy.",
)


def run(runner: ExperimentRunner, report: Report) -> None:
    scale = runner.scale
    variants = [
        Variant(
            _LABELS[view],
            LocalizerCell(
                f"{name_region(region)} {_LABELS[view]}",
                region,
                replace(settings, input_view=view, loss="cross_entropy"),
            ),
        )
        for region, settings in ((Region.REGION_1, scale.region_1), (Region.REGION_2, scale.region_2))
        for view in _INPUTS[region]
    ]
    score_over_tau(
        runner,
        report,
        name="whole-or-hand",
        title="Regions 1 and 2 on the whole image against on the hand",
        column="found",
        variants=variants,
        notes=_NOTES,
    )
