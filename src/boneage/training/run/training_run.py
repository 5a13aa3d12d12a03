"""What all stages of one training work with: recipe, training set, output folder and machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from boneage.atomic import replacing
from boneage.errors import OutputError
from boneage.model.folder import available_cores
from boneage.regions import Region
from boneage.training.data.training_set import TrainingSet
from boneage.training.data.views_data import RegionsOf, Source, ViewsData
from boneage.training.localization.regions_table import Finder
from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import Augmentation, LocalizerSettings, Schedule
from boneage.training.run.fit import fit, steps_per_epoch
from boneage.training.run.hardware import Machine
from boneage.training.run.learner import Learner
from boneage.training.run.stage import Stage, key_of, start_key

NETWORK_FILE, WEIGHTS_FILE = "network.onnx", "weights.safetensors"

Data = TypeVar("Data", bound=ViewsData)
Net = TypeVar("Net", bound=nn.Module)


class TrainingRun:
    """One training: its settings, and the ways in which every stage makes data, fits networks and keeps results.

    Attributes:
        recipe, training_set, out, machine: as `boneage.training.pipeline.train_on` gets them.
        regions: those that are found, in the order of the chain.
        squash: whether views ignore the aspect ratio.
        finder: finds regions of many images.
        root_key: key of what every stage depends on.
    """

    def __init__(self, recipe: Recipe, training_set: TrainingSet, out: Path, machine: Machine) -> None:
        self.recipe, self.training_set, self.out, self.machine = recipe, training_set, out, machine
        self.regions = [region for region in Region if region.value in recipe.regions]
        self.squash = recipe.layout == "squash"
        self.finder = Finder(
            images=training_set.images, layout=recipe.layout, threads=available_cores(), progress=machine.progress
        )
        self.root_key = key_of(
            training_set.key, recipe.image_short_side, recipe.layout, start_key(recipe.pretrained), recipe.seed
        )

    def settings(self, region: Region) -> LocalizerSettings:
        """The settings of a region's localizer."""
        return self.recipe.localizer(region)

    def thin(self, cases: int | None) -> TrainingRun:
        """The same run on so many training cases, drawn by the recipe's seed; on all of them for None."""
        return TrainingRun(
            recipe=self.recipe,
            training_set=self.training_set.thin(cases, self.recipe.seed),
            out=self.out,
            machine=self.machine,
        )

    def stage(self, name: str, *parts: object) -> Stage:
        """The stage whose result depends on `parts` (and on the precision in which networks are stored)."""
        precision = [] if self.recipe.fp16_weights else ["float32"]
        return Stage(self.out / name, key_of(name, *parts, *precision), progress=self.machine.progress)

    def data(
        self,
        kind: type[Data],
        sources: Sequence[Source],
        found: RegionsOf,
        *,
        size: int,
        augmentation: Augmentation,
        seed: int | None = None,
    ) -> tuple[Data, Data]:
        """The views of a network: (training views with augmentation, validation views without)."""
        images, seed = self.training_set.images, self.recipe.seed if seed is None else seed
        learn, measure = self.training_set.train, self.training_set.validation
        return (
            kind(images, learn, sources, found, size, squash=self.squash, augmentation=augmentation, seed=seed),
            kind(images, measure, sources, found, size, squash=self.squash),
        )

    def fit(
        self,
        network: Net,
        learner_of: Callable[[Net, int], Learner],
        data: tuple[ViewsData, ViewsData],
        *,
        stage: Stage,
        schedule: Schedule,
        label: str,
    ) -> Net:
        """Train a network, from where the stage's folder stands.

        Args:
            network: with its starting weights.
            learner_of: (network, steps an epoch) -> its learner.
            data: as `data` makes it.
            stage: its folder keeps the averaged weights.
            label: the network's name in progress lines.

        Returns:
            The network with its averaged weights, in evaluation mode on the CPU.
        """
        file = stage.folder / WEIGHTS_FILE
        if not file.is_file():
            learner = learner_of(network, steps_per_epoch(len(data[0]), schedule, self.machine))
            average = fit(learner, *data, stage.folder, schedule=schedule, machine=self.machine, label=label)
            try:
                with replacing(file) as waiting:
                    save_file({key: value.contiguous() for key, value in average.state_dict().items()}, waiting)
            except (OutputError, SafetensorError) as error:
                raise OutputError(
                    f"{file}: the weights cannot be written ({error}). Free some space and go on with --resume.",
                    code="unwritable_file",
                ) from error
        network.load_state_dict(load_file(file))
        return network.cpu().eval()
