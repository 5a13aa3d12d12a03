"""Training: ages of a data set -> a model folder. `pipeline` is the page to read first.

recipe = replace_settings(find_recipe("compact"), ["regressor.schedule.epochs=4"])
model = train(recipe, read_dataset("data"), Path("runs/compact"), Machine(workers=8))

    pipeline        the steps in the order of the paper
    recipes/        what is trained: compact, paper, tiny, and every setting with its range
    data/           training sets, views, augmentation
    networks/       backbone, localizer, age network, losses, export to ONNX
    localization/   phase I: localizers, population prior, tau, student, regions of every image
    age/            phase II: the age network and its calibration
    gate/           the gate in front of the assessment
    heads/          regional bone ages and similar cases
    run/            fits that go on where they stopped, stages on disk, the machine
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boneage.training.pipeline import train
    from boneage.training.recipes import find_recipe, replace_settings
    from boneage.training.recipes.recipe import Recipe
    from boneage.training.run.hardware import Machine

__all__ = ["Machine", "Recipe", "find_recipe", "replace_settings", "train"]

_HOME: Final = {
    "Machine": "boneage.training.run.hardware",
    "Recipe": "boneage.training.recipes.recipe",
    "find_recipe": "boneage.training.recipes",
    "replace_settings": "boneage.training.recipes",
    "train": "boneage.training.pipeline",
}


def __getattr__(name: str) -> object:
    # Importing on first use: torch takes seconds, and recipes do not need it.
    if name not in _HOME:
        raise AttributeError(f"module 'boneage.training' has no attribute '{name}'")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
