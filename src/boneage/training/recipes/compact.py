"""A small model for radiographs of about 300 to 500 pixels a side.

Command:  boneage train compact --data DIR --out runs/compact [--set pretrained=FILE]
Hardware: 2 CPU cores and 4 GB of memory, or any GPU
Hours:    about 3 on 2 cores for the 10,300 training films of the RSNA set; minutes on one GPU
Score:    a whole-image network of this size reached 7.9 months in 4 epochs on unseen training cases; see the
          model card of the shipped model for what this recipe gives
"""

from boneage.training.settings import (
    Backbone,
    JitterRange,
    LocalizerSettings,
    Recipe,
    RegressorSettings,
    Schedule,
    TauSettings,
)

_EARLY = Backbone("mobilenetv2_100", stages=4)

RECIPE = Recipe(
    name="compact",
    film_short_side=300,
    hand=LocalizerSettings(
        size=160,
        backbone=Backbone("mobilenetv2_100", output_stride=16),
        pooling="gap",
        margin=0.05,
        smallest=0.3,
        schedule=Schedule(epochs=1, learning_rate=1e-3, average=0.99),
    ),
    region_1=LocalizerSettings(
        looks_at="H",
        size=256,
        backbone=_EARLY,
        pooling="gmp",
        channels=256,
        smallest=0.2,
        schedule=Schedule(epochs=2, learning_rate=2e-3, average=0.99),
    ),
    region_2=LocalizerSettings(
        looks_at="HE",
        size=256,
        backbone=_EARLY,
        pooling="gmp",
        channels=256,
        smallest=0.2,
        schedule=Schedule(epochs=2, learning_rate=2e-3, average=0.99),
    ),
    tau=TauSettings(
        cases=3000,
        regressor=RegressorSettings(size=96, average_mirror=False, schedule=Schedule(epochs=3, average=0.99)),
    ),
    regressor=RegressorSettings(
        views=("H", "R1", "R2"),
        size=192,
        sex=(32,),
        jitter=JitterRange(degrees=20.0, zoom=0.2, shift=0.06),
        schedule=Schedule(epochs=12, learning_rate=1e-3, average=0.999),
    ),
)
