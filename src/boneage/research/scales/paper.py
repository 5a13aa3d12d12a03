"""The paper's networks, sizes and epochs, as far as its text gives them.

Command:  boneage reproduce table5 --scale paper --data DIR --out results --weights timm --workers 8
Hardware: one GPU of 24 GB or more; radiographs at their own resolution
Hours:    not measured; some days for Table V
Score:    the paper reports 4.3 months for H+R1+R2 with the distribution, on 500 cases of its own choice
"""

from dataclasses import replace

from boneage.research.scales import Scale
from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import (
    NO_AUGMENTATION,
    Backbone,
    LocalizerSettings,
    RegressorSettings,
    Schedule,
    TauSettings,
)

_INCEPTION = Backbone("inception_v3")
_XCEPTION = Backbone("legacy_xception")
_PHASE_1 = Schedule(
    epochs=70,
    batch=32,
    learning_rate=3e-4,
    shape="steps",
    steps=((50, 1e-4),),
    optimizer="adam",
    weight_decay=0.0,
    average=0.0,
    gradient_clip=0.0,
)
_PHASE_2 = replace(_PHASE_1, epochs=120, batch=16, steps=((60, 1e-4), (90, 1e-5)))

_HAND = LocalizerSettings(
    input_view="O",
    size=300,
    backbone=_INCEPTION,
    pooling="gap",
    average_mirror=False,
    tau=0.047,
    smallest=0.05,
    augmentation=NO_AUGMENTATION,
    schedule=_PHASE_1,
)
_REGION_1 = replace(_HAND, size=560, pooling="gmp", tau=0.16)
_REGION_2 = replace(_REGION_1, input_view="E")

SCALE = Scale(
    name="paper",
    phase_1=Recipe(
        name="paper",
        image_short_side=None,
        layout="squash",
        pretrained="timm",
        hand=_HAND,
        region_1=_REGION_1,
        region_2=_REGION_2,
        tau=TauSettings(
            grid=(0.047, 0.127, 0.144, 0.160, 0.177, 0.194, 0.211),
            mode="one_each",
            cases=None,
            regressor=RegressorSettings(
                size=224, backbone=_XCEPTION, augmentation=NO_AUGMENTATION, average_mirror=False
            ),
        ),
    ),
    cases=None,
    age=RegressorSettings(
        views=("H", "R1", "R2"),
        size=560,
        backbone=_XCEPTION,
        fusion="stacked",
        head="paper",
        dropout=0.0,
        sex=(32,),
        kl_weight=0.5,
        label_sd=15.0,
        average_mirror=False,
        augmentation=NO_AUGMENTATION,
        schedule=_PHASE_2,
    ),
    hand=_HAND,
    region_1=_REGION_1,
    region_2=_REGION_2,
)
