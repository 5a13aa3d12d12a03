"""Proves on a few hundred phantoms that every step works, from ages to boxes; its ages mean nothing for a child.

Command:  boneage train tiny --data DIR --out runs/tiny
Hardware: any 2 cores
Hours:    0.03 on 300 phantoms
Score:    MAE 28 months (18 to 39; the best constant's 55) on 30 of 300 phantoms of 6 to 228 months

The steps are those of `compact`, without the student and the gate, with timm's smallest network. From random weights a
few hundred images do not teach it where joints are. It therefore starts from weights that 3,395 other phantoms taught
(`tiny_start.safetensors`, benchmarks/tiny_start.py).
"""

from pathlib import Path

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


def _schedule(epochs: int, learning_rate: float) -> Schedule:
    return Schedule(
        epochs=epochs,
        batch=8,
        learning_rate=learning_rate,
        shape="onecycle",
        warmup=0.15,
        optimizer="adamw",
        weight_decay=1e-4,
        gradient_clip=5.0,
        average=0.97,
        validate_every=0,
    )


_GENTLE = Augmentation(degrees=8.0, zoom=0.08, shift=0.04, mirror=True, gamma=0.2, brightness=0.1)
_ORDINARY = Augmentation(degrees=20.0, zoom=0.12, shift=0.04, mirror=True, gamma=0.35, brightness=0.15)

RECIPE = Recipe(
    name="tiny",
    image_short_side=128,
    layout="letterbox",
    pretrained=str(Path(__file__).with_name("tiny_start.safetensors")),
    seed=0,
    phase_1_cases=None,
    regions=("hand", "region_1", "region_2"),
    hand=LocalizerSettings(
        input_view="O",
        size=128,
        backbone=Backbone("test_resnet", stages=3),
        pooling="gap",
        channels=64,
        loss="cross_entropy",
        label_width=30.0,
        every_place=1.0,
        average_mirror=True,
        tau=0.1,
        smallest=0.3,
        components="largest",
        prior=False,
        augmentation=_GENTLE,
        schedule=_schedule(epochs=20, learning_rate=4e-3),
    ),
    region_1=LocalizerSettings(
        input_view="H",
        size=160,
        backbone=Backbone("test_resnet", stages=3),
        pooling="gmp",
        channels=64,
        loss="cross_entropy",
        label_width=30.0,
        every_place=0.0,
        average_mirror=True,
        tau=None,
        smallest=0.1,
        components="all",
        prior=True,
        augmentation=_ORDINARY,
        schedule=_schedule(epochs=16, learning_rate=2e-3),
    ),
    # The network of region 1, whose map is searched in another band.
    region_2=LocalizerSettings(
        shares="region_1",
        input_view="H",
        size=160,
        backbone=Backbone("test_resnet", stages=3),
        pooling="gmp",
        channels=64,
        loss="cross_entropy",
        label_width=30.0,
        average_mirror=True,
        tau=None,
        smallest=0.1,
        components="all",
        prior=True,
        augmentation=_ORDINARY,
        schedule=_schedule(epochs=16, learning_rate=2e-3),
    ),
    tau=TauSettings(
        grid=(0.15, 0.25, 0.35),
        mode="one_network",
        cases=200,
        regressor=RegressorSettings(
            size=48,
            backbone=Backbone("test_resnet"),
            head="gap",
            dropout=0.2,
            sex=(32,),
            kl_weight=0.5,
            label_sd=15.0,
            average_mirror=False,
            augmentation=_GENTLE,
            schedule=_schedule(epochs=4, learning_rate=2e-3),
        ),
    ),
    student=False,
    # For --set student=true.
    student_network=StudentSettings(
        size=64,
        backbone=Backbone("test_resnet"),
        channels=32,
        tau=None,
        average_mirror=True,
        augmentation=Augmentation(degrees=20.0, zoom=0.2, shift=0.06, mirror=True, gamma=0.35, brightness=0.15),
        schedule=_schedule(epochs=8, learning_rate=2e-3),
    ),
    regressor=RegressorSettings(
        views=("H", "R1", "R2"),
        size=64,
        backbone=Backbone("test_resnet"),
        fusion="shared",
        merge="concat",
        head="gap",
        dropout=0.2,
        sex=(16,),
        kl_weight=0.5,
        label_sd=15.0,
        average_mirror=True,
        augmentation=_GENTLE,
        schedule=_schedule(epochs=8, learning_rate=2e-3),
    ),
    gate=None,
    regional_heads=True,
    fp16_weights=True,
)
