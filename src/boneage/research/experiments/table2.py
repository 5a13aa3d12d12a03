"""Table II: backbones on the whole image, without the sex, from random weights and from ImageNet's; L1.

Command:  boneage reproduce table2 --scale compact --data DIR --out results --weights WEIGHTS
Found:    the ImageNet start pays, as in the paper; the trainings are too short to rank the networks (docs/results)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from boneage.research.age_cells import AgeCell
from boneage.research.cell_predictions import Unavailable
from boneage.research.compare import Report, Row, compare
from boneage.research.results import Result
from boneage.research.runner import Cell, ExperimentRunner
from boneage.research.scales import TABLE_II_BACKBONES
from boneage.training.recipes.settings import Backbone

PAPER: Final = {"VGG19": (12.2, 9.3), "InceptionV3": (10.9, 9.2), "ResNet50": (11.3, 9.3), "Xception": (9.9, 8.8)}
"""Network -> MAE in months from random weights, from ImageNet's."""


def run(runner: ExperimentRunner, report: Report) -> None:
    scale = runner.scale
    networks = dict(zip(TABLE_II_BACKBONES, scale.backbones, strict=False))
    if scale.small_backbone:
        networks[f"{scale.small_backbone} (this scale's own)"] = scale.small_backbone
    schedule = replace(scale.age.schedule, epochs=scale.backbone_epochs, size_schedule=())
    base = replace(scale.age, views=("O",), size=scale.backbone_size, sex=(), schedule=schedule)
    rows: list[Row] = []
    for name, network in networks.items():
        settings = replace(base, backbone=Backbone(network))
        from_random, from_imagenet = PAPER.get(name, (None, None))

        title = f"{name} from random weights"
        cell: Cell | Unavailable = AgeCell(title, settings, l1=True, start="none", cases=scale.backbone_cases)
        rows.append(Row((name, "random"), cell, from_random))

        weights = runner.find_imagenet_weights(network)
        if isinstance(weights, Unavailable):
            cell = weights
        else:
            title = f"{name} from ImageNet weights"
            cell = AgeCell(title, settings, l1=True, start=weights, cases=scale.backbone_cases)
        rows.append(Row((name, "ImageNet"), cell, from_imagenet, against=len(rows) - 1))
    setting = runner.describe(
        scale.backbone_size, scale.backbone_epochs, scale.backbone_cases, regions=False, start=False
    )
    result = Result(
        name="table2", title="Table II: backbones, no sex", setting=setting, columns=("network", "start"), lines=()
    )
    compare(runner, result, rows=rows, report=report)
