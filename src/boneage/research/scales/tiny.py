"""Shows in minutes that every experiment runs, and what its table looks like. Its figures mean nothing.

Command:  boneage reproduce all --scale tiny --data phantoms --out results --boxes phantoms/annotations/boxes.csv
Hardware: 2 CPU cores
Hours:    0.2 for all experiments on 300 phantoms
Score:    docs/results, "Phantoms"

Networks start from the recipe `tiny`'s own weights (`tiny_start.safetensors`): from random weights a few hundred
phantoms do not teach where the joints are.
"""

from dataclasses import replace
from pathlib import Path

from boneage.research.scales import Scale
from boneage.training import recipes
from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import (
    NO_AUGMENTATION,
    Augmentation,
    Backbone,
    LocalizerSettings,
    RegressorSettings,
    Schedule,
    StudentSettings,
    TauSettings,
)

_SMALL = Backbone("test_resnet")
_EARLY = Backbone("test_resnet", stages=3)
_GENTLE = Augmentation(degrees=8.0, zoom=0.08, shift=0.04, gamma=0.2, brightness=0.1)


def _schedule(epochs: int, learning_rate: float = 2e-3) -> Schedule:
    return Schedule(
        epochs=epochs, batch=8, learning_rate=learning_rate, average=0.97, gradient_clip=5.0, validate_every=0
    )


_JOINTS = LocalizerSettings(
    input_view="H",
    size=160,
    backbone=_EARLY,
    pooling="gmp",
    channels=64,
    loss="cross_entropy",
    label_width=30.0,
    smallest=0.1,
    prior=True,
    components="all",
    augmentation=Augmentation(zoom=0.12, shift=0.04),
    # Sums on two threads differ from those on one. With 24 epochs both show where the regions are.
    schedule=_schedule(24),
)
_TABLE_1 = LocalizerSettings(backbone=_EARLY, channels=64, augmentation=NO_AUGMENTATION, schedule=_schedule(4))

SCALE = Scale(
    name="tiny",
    phase_1=Recipe(
        name="tiny",
        image_short_side=128,
        layout="letterbox",
        pretrained=str(Path(recipes.__file__).with_name("tiny_start.safetensors")),
        hand=LocalizerSettings(
            input_view="O",
            size=128,
            backbone=_EARLY,
            pooling="gap",
            channels=64,
            loss="cross_entropy",
            label_width=30.0,
            every_place=1.0,
            tau=0.1,
            smallest=0.3,
            augmentation=_GENTLE,
            schedule=_schedule(20, 4e-3),
        ),
        region_1=_JOINTS,
        region_2=replace(_JOINTS, shares="region_1", schedule=_schedule(16)),
        tau=TauSettings(
            grid=(0.15, 0.25, 0.35),
            cases=200,
            regressor=RegressorSettings(
                size=48, backbone=_SMALL, average_mirror=False, augmentation=_GENTLE, schedule=_schedule(4)
            ),
        ),
        student_network=StudentSettings(size=64, backbone=_SMALL, channels=32, schedule=_schedule(8)),
    ),
    cases=None,
    age=RegressorSettings(
        views=("H", "R1", "R2"),
        size=64,
        backbone=_SMALL,
        fusion="stacked",
        head="gap",
        sex=(16,),
        kl_weight=0.5,
        label_sd=15.0,
        average_mirror=False,
        augmentation=_GENTLE,
        schedule=_schedule(5),
    ),
    hand=replace(_TABLE_1, input_view="O", pooling="gap", size=96),
    region_1=replace(_TABLE_1, input_view="O", pooling="gmp", size=128),
    region_2=replace(_TABLE_1, input_view="E", pooling="gmp", size=128),
    sizes=(32, 48, 64, 80),
    backbone_size=80,
    backbone_epochs=1,
    backbone_cases=48,
    sex_size=64,
    small_backbone="test_resnet",
)
