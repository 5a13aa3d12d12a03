"""Scales: how large an experiment is. Each is one Python file, written out: `paper`, `compact`, `tiny`.

paper.py     the paper's networks, sizes and epochs: a GPU, days
compact.py   small networks and short trainings: a CPU, hours
tiny.py      shows in minutes that everything runs; its figures mean nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from boneage.errors import UsageError
from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import LocalizerSettings, RegressorSettings

SCALES: Final = ("paper", "compact", "tiny")
TABLE_II_BACKBONES: Final[Mapping[str, str]] = {
    "VGG19": "vgg19",
    "InceptionV3": "inception_v3",
    "ResNet50": "resnet50",
    "Xception": "legacy_xception",
}
"""Table II's networks, with timm's names."""
TABLE_IV_SIZES: Final = (224, 336, 448, 560, 720)
"""Table IV's sides in pixels."""


@dataclass(frozen=True)
class Scale:
    """The settings that every cell of an experiment starts from.

    Attributes:
        name: one of `SCALES`.
        phase_1: the training of phase I, which finds the regions behind all views. Its age network, gate and regional
            heads are not trained. `--localizers` takes the regions of a model instead.
        cases: training cases of every cell, drawn by the seed; None for all.
        age: the age network of a cell, before the cell changes a setting.
        hand, region_1, region_2: the localizers of Table I.
        sizes: sides of Table IV in rising order; each stands for one of `TABLE_IV_SIZES`.
        backbones: timm's names of Table II's networks, in the order of `TABLE_II_BACKBONES`.
        backbone_size, backbone_epochs, backbone_cases: of Table II, whose networks are large.
        sex_size: side of the views of Table III; the paper takes the smallest of Table IV.
        small_backbone: every baseline gets the backbone of `age` instead of its authors', and Table II gets this one
            as a further row; "" at full size.
        repeats: trainings of every age cell, each with its own seed. Their errors are averaged case by case.
    """

    name: str
    phase_1: Recipe
    cases: int | None
    age: RegressorSettings
    hand: LocalizerSettings
    region_1: LocalizerSettings
    region_2: LocalizerSettings
    sizes: tuple[int, ...] = TABLE_IV_SIZES
    backbones: tuple[str, ...] = tuple(TABLE_II_BACKBONES.values())
    backbone_size: int = 224
    backbone_epochs: int = 120
    backbone_cases: int | None = None
    sex_size: int = 224
    small_backbone: str = ""
    repeats: int = 1


def find_scale(name: str) -> Scale:
    """A scale by its name.

    Raises:
        UsageError: there is no such scale (`unknown_scale`).
    """
    if name not in SCALES:
        raise UsageError(f"--scale {name}: take one of {', '.join(SCALES)}.", code="unknown_scale")
    scale: Scale = import_module(f"boneage.research.scales.{name}").SCALE
    return scale
