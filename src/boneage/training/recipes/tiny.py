"""Proves that everything works; the ages are worthless.

Command:  boneage train tiny --data DIR --out runs/tiny
Hardware: any 2 cores, no ImageNet weights needed
Hours:    minutes (seconds on 40 films)
Score:    none expected: the networks are too small and start from random weights
"""

from boneage.training.settings import (
    Backbone,
    LocalizerSettings,
    Recipe,
    RegressorSettings,
    Schedule,
    StudentSettings,
    TauSettings,
)

_SHORT = Schedule(epochs=2, batch=8, learning_rate=2e-3, average=0.9)
_SMALL = Backbone("mobilenetv2_050")
_EARLY = Backbone("mobilenetv2_050", stages=4)

RECIPE = Recipe(
    name="tiny",
    film_short_side=96,
    pretrained="none",
    hand=LocalizerSettings(size=64, backbone=_EARLY, channels=32, schedule=_SHORT),
    region_1=LocalizerSettings(size=64, backbone=_EARLY, channels=32, pooling="gmp", schedule=_SHORT),
    region_2=LocalizerSettings(looks_at="E", size=64, backbone=_EARLY, channels=32, pooling="gmp", schedule=_SHORT),
    tau=TauSettings(
        grid=(0.2, 0.4, 0.6),
        cases=200,
        regressor=RegressorSettings(size=32, backbone=_SMALL, average_mirror=False, schedule=_SHORT),
    ),
    student_network=StudentSettings(size=64, backbone=_EARLY, channels=32, schedule=_SHORT),
    regressor=RegressorSettings(size=64, backbone=_SMALL, sex=(16,), schedule=_SHORT),
)
