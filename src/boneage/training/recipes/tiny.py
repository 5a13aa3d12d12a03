"""Proves that everything works, from ages to boxes, on a few hundred phantoms; its ages mean nothing for a child.

Command:  boneage train tiny --data DIR --out runs/tiny
Hardware: any 2 cores
Hours:    0.03 on 300 phantoms
Score:    MAE 28 months (18 to 39; the best constant's 55) on 30 of 300 phantoms of 6 to 228 months

The way of `compact` with timm's smallest network. From random weights a few hundred films do not show it where joints
are, so it starts from what 3,395 other phantoms taught (`tiny_start.safetensors`, benchmarks/tiny_start.py).
"""

from dataclasses import replace
from pathlib import Path

from boneage.training.recipes import compact
from boneage.training.recipes.settings import (
    Augmentation,
    Backbone,
    LocalizerSettings,
    Recipe,
    RegressorSettings,
    Schedule,
    StudentSettings,
    TauSettings,
)


def _schedule(epochs: int, learning_rate: float = 2e-3) -> Schedule:
    return Schedule(
        epochs=epochs, batch=8, learning_rate=learning_rate, average=0.97, gradient_clip=5.0, validate_every=0
    )


def _small(localizer: LocalizerSettings, size: int, schedule: Schedule) -> LocalizerSettings:
    early = Backbone("test_resnet", stages=3)
    return replace(localizer, size=size, backbone=early, channels=64, schedule=schedule)


_SMALL = Backbone("test_resnet")
_GENTLE = Augmentation(degrees=8.0, zoom=0.08, shift=0.04, gamma=0.2, brightness=0.1)

RECIPE = Recipe(
    name="tiny",
    image_short_side=128,
    pretrained=str(Path(__file__).with_name("tiny_start.safetensors")),
    hand=replace(_small(compact.RECIPE.hand, 128, _schedule(20, 4e-3)), tau=0.1, augmentation=_GENTLE),
    region_1=_small(compact.RECIPE.region_1, 160, _schedule(16)),
    region_2=_small(compact.RECIPE.region_2, 160, _schedule(16)),
    tau=TauSettings(
        grid=(0.15, 0.25, 0.35),
        cases=200,
        regressor=RegressorSettings(
            size=48, backbone=_SMALL, average_mirror=False, augmentation=_GENTLE, schedule=_schedule(4)
        ),
    ),
    student_network=StudentSettings(size=64, backbone=_SMALL, channels=32, schedule=_schedule(8)),
    regional_heads=True,
    regressor=RegressorSettings(
        size=64, backbone=_SMALL, sex=(16,), fusion="shared", augmentation=_GENTLE, schedule=_schedule(8)
    ),
)
