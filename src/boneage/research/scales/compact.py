"""Small networks and short trainings, for radiographs of about 300 pixels a side.

Command:  boneage reproduce table5 --scale compact --data DIR --out results --localizers compact-2026-11e \
              --weights WEIGHTS --set cases=3000 --set age.size=112 --set age.schedule.epochs=5
Hardware: 2 CPU cores
Hours:    0.75 for Table V as above, 0.5 for Table I
Score:    9.7 months for R2 with L1, 11.5 for H+R1+R2 with the distribution (RSNA 2017 at 300 px; docs/results)

The localizers of Table I take their input as the paper's do. Phase I, which finds the regions behind the views, is that
of the recipe `compact`: it learns by cross entropy, looks for regions 1 and 2 on the hand, and ends with a student.
"""

from dataclasses import replace

from boneage.research.scales import Scale
from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import (
    Augmentation,
    Backbone,
    LocalizerSettings,
    RegressorSettings,
    Schedule,
    StudentSettings,
    TauSettings,
)

_EARLY = Backbone("mobilenetv2_100", stages=3)
_TWO_EPOCHS = Schedule(epochs=2, batch=16, learning_rate=2e-3, average=0.99, gradient_clip=5.0, validate_every=2)

_JOINTS = LocalizerSettings(
    input_view="H",
    size=288,
    backbone=_EARLY,
    pooling="gmp",
    channels=256,
    loss="cross_entropy",
    label_width=30.0,
    smallest=0.1,
    prior=True,
    components="all",
    augmentation=Augmentation(zoom=0.12, shift=0.04),
    schedule=_TWO_EPOCHS,
)
_TABLE_1 = LocalizerSettings(
    backbone=_EARLY,
    channels=256,
    augmentation=Augmentation(zoom=0.12, shift=0.04),
    schedule=Schedule(epochs=3, batch=16, learning_rate=2e-3, average=0.99, gradient_clip=5.0, validate_every=0),
)

SCALE = Scale(
    name="compact",
    phase_1=Recipe(
        name="compact",
        image_short_side=300,
        layout="letterbox",
        pretrained="timm",
        hand=LocalizerSettings(
            input_view="O",
            size=160,
            backbone=_EARLY,
            pooling="gap",
            channels=256,
            loss="cross_entropy",
            label_width=30.0,
            every_place=1.0,
            smallest=0.3,
            schedule=replace(_TWO_EPOCHS, batch=32),
        ),
        region_1=_JOINTS,
        region_2=replace(_JOINTS, shares="region_1"),
        tau=TauSettings(
            grid=(0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5),
            cases=2500,
            regressor=RegressorSettings(size=128, average_mirror=False, schedule=Schedule(epochs=3, average=0.99)),
        ),
        student=True,
        student_network=StudentSettings(
            size=224,
            backbone=Backbone("mobilenetv2_100", stages=5),
            augmentation=Augmentation(degrees=30.0, zoom=0.25, shift=0.1, degrade=0.5),
            schedule=Schedule(epochs=2, batch=16, learning_rate=2e-3, average=0.99, validate_every=2),
        ),
    ),
    cases=4000,
    age=RegressorSettings(
        views=("H", "R1", "R2"),
        size=128,
        backbone=Backbone("mobilenetv2_100"),
        fusion="stacked",
        head="gap",
        sex=(32,),
        kl_weight=0.5,
        label_sd=15.0,
        average_mirror=False,
        augmentation=Augmentation(degrees=15.0, zoom=0.15, shift=0.05),
        schedule=Schedule(epochs=6, batch=16, learning_rate=1.5e-3, average=0.99, validate_every=0),
    ),
    hand=replace(_TABLE_1, input_view="O", pooling="gap", size=160),
    region_1=replace(_TABLE_1, input_view="O", pooling="gmp", size=288),
    region_2=replace(_TABLE_1, input_view="E", pooling="gmp", size=288),
    sizes=(64, 96, 128, 160, 192),
    backbone_size=96,
    backbone_epochs=4,
    backbone_cases=1500,
    sex_size=96,
    small_backbone="mobilenetv2_100",
)
