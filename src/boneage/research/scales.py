"""How large an experiment is: networks, sizes, epochs, cases."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from boneage.errors import UsageError
from boneage.training.recipes import compact, find_recipe, tiny
from boneage.training.recipes.settings import (
    NO_AUGMENTATION,
    Augmentation,
    Backbone,
    LocalizerSettings,
    Recipe,
    RegressorSettings,
    Schedule,
)

PAPER_SIZES: Final = (224, 336, 448, 560, 720)
"""Table IV's sides in pixels."""
PAPER_BACKBONES: Final = ("VGG19", "InceptionV3", "ResNet50", "Xception")
"""Table II's networks."""
_TIMM_NAMES: Final = ("vgg19", "inception_v3", "resnet50", "legacy_xception")


@dataclass(frozen=True)
class Scale:
    """What every cell of an experiment starts from.

    Attributes:
        name: "paper", "compact" or "tiny".
        recipe: its phase I finds the regions behind all views, unless they are taken from a model.
        cases: training cases of every cell, drawn by the seed; None for all.
        age: the age network of a cell, before the cell changes something.
        hand, region_1, region_2: the localizers of Table I.
        sizes: sides that stand for Table IV's, in rising order.
        backbones: timm's names of Table II's networks.
        backbone_size, backbone_epochs, backbone_cases: of Table II alone, whose networks are large.
        sex_size: of Table III; the paper's is the smallest of Table IV.
        small_backbone: peers have it in place of their own; "" at full size.
        repeats: trainings of every age cell with seeds of their own; their errors are averaged case by case.
    """

    name: str
    recipe: Recipe
    cases: int | None
    age: RegressorSettings
    hand: LocalizerSettings
    region_1: LocalizerSettings
    region_2: LocalizerSettings
    sizes: tuple[int, ...] = PAPER_SIZES
    backbones: tuple[str, ...] = _TIMM_NAMES
    backbone_size: int = 224
    backbone_epochs: int = 120
    backbone_cases: int | None = None
    sex_size: int = 224
    small_backbone: str = ""
    repeats: int = field(default=1)


def _paper() -> Scale:
    recipe = find_recipe("paper")
    return Scale("paper", recipe, None, recipe.regressor, recipe.hand, recipe.region_1, recipe.region_2)


def _papers_chain(
    base: LocalizerSettings, hand: int, regions: int
) -> tuple[LocalizerSettings, LocalizerSettings, LocalizerSettings]:
    """Localizers that look where the paper's do, with views of so many pixels."""
    return (
        replace(base, input_view="O", pooling="gap", size=hand),
        replace(base, input_view="O", pooling="gmp", size=regions),
        replace(base, input_view="E", pooling="gmp", size=regions),
    )


def _compact() -> Scale:
    early = Backbone("mobilenetv2_100", stages=3)
    short = Schedule(epochs=3, batch=16, learning_rate=2e-3, average=0.99, gradient_clip=5.0, validate_every=0)

    base = LocalizerSettings(
        backbone=early, channels=256, augmentation=Augmentation(zoom=0.12, shift=0.04), schedule=short
    )
    return Scale(
        "compact",
        compact.RECIPE,
        4000,
        RegressorSettings(
            views=("H", "R1", "R2"),
            size=128,
            sex=(32,),
            average_mirror=False,
            augmentation=Augmentation(degrees=15.0, zoom=0.15, shift=0.05),
            schedule=Schedule(epochs=6, batch=16, learning_rate=1.5e-3, average=0.99, validate_every=0),
        ),
        *_papers_chain(base, 160, 288),
        sizes=(64, 96, 128, 160, 192),
        backbone_size=96,
        backbone_epochs=4,
        backbone_cases=1500,
        sex_size=96,
        small_backbone="mobilenetv2_100",
    )


def _tiny() -> Scale:
    early = Backbone("test_resnet", stages=3)

    def schedule(epochs: int) -> Schedule:
        return Schedule(epochs=epochs, batch=8, learning_rate=2e-3, average=0.97, gradient_clip=5.0, validate_every=0)

    base = LocalizerSettings(backbone=early, channels=64, augmentation=NO_AUGMENTATION, schedule=schedule(4))
    # On two threads sums fall out otherwise than on one; a little more training shows the bands of the hand on both.
    longer = replace(tiny.RECIPE.region_1, schedule=replace(tiny.RECIPE.region_1.schedule, epochs=24))
    return Scale(
        "tiny",
        replace(tiny.RECIPE, region_1=longer),
        None,
        replace(tiny.RECIPE.regressor, fusion="stacked", size=64, average_mirror=False, schedule=schedule(5)),
        *_papers_chain(base, 96, 128),
        sizes=(32, 48, 64, 80),
        backbone_size=80,
        backbone_epochs=1,
        backbone_cases=48,
        sex_size=64,
        small_backbone="test_resnet",
    )


_SCALES: Final = {"paper": _paper, "compact": _compact, "tiny": _tiny}
SCALES: Final = tuple(_SCALES)


def find_scale(name: str) -> Scale:
    """A scale by its name.

    Raises:
        UsageError: there is no such scale.
    """
    if name not in _SCALES:
        raise UsageError(f"--scale {name}: take one of {', '.join(SCALES)}.")
    return _SCALES[name]()
