"""A chain of localizers: each may see what those before it have found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from boneage.model.document import Origin
from boneage.model.folder import Localizer as LocalizerStep
from boneage.model.folder import Model, Network, load_model
from boneage.regions import Region
from boneage.training.localization.regions_table import Maps
from boneage.training.recipes.settings import LocalizerSettings
from boneage.training.run.stage import key_of, sha256_of
from boneage.training.run.training_run import TrainingRun


@dataclass(frozen=True)
class LocalizerChain:
    """The localizers that are ready, in the order in which they run.

    Attributes:
        key: of everything that their boxes depend on.
        steps: the localizers.
        maps: their attention maps of every image; boxes for another tau are made from these.
        origin: the model that they were taken over from; None where they were trained here.
    """

    key: str
    steps: tuple[LocalizerStep, ...] = ()
    maps: dict[Region, Maps] = field(default_factory=dict)
    origin: Origin | None = None

    def for_images(self, run: TrainingRun) -> LocalizerChain:
        """The same chain for all images of another run; maps are kept only where every image has one."""
        complete = all(case_id in maps for maps in self.maps.values() for case_id in run.training_set.ids)
        return dataclasses.replace(self, key=key_of(self.key, run.root_key), maps=self.maps if complete else {})

    def extend(self, run: TrainingRun, region: Region, network: Path, maps: Maps, tau: float) -> LocalizerChain:
        """The chain with one more localizer at its end."""
        settings = dataclasses.replace(run.settings(region), tau=tau)
        return LocalizerChain(
            key_of(self.key, region.value, sha256_of(network), settings),
            (*self.steps, make_step(region, network, settings=settings, tau=tau)),
            {**self.maps, region: maps},
        )


def make_step(region: Region, network: Path, settings: LocalizerSettings, tau: float) -> LocalizerStep:
    """A trained localizer as a step of a chain."""
    # One thread a network: many images are processed at the same time.
    return LocalizerStep(
        region,
        Network(region.value, network, settings.size, threads=1),
        settings.input_view,
        tau,
        settings.margin,
        settings.smallest,
        average_mirror=settings.average_mirror,
        components=settings.components,
    )


def take_over_localizers(run: TrainingRun, folder: str) -> LocalizerChain:
    """The localizers of a finished model, in place of phase I."""
    model = load_model(folder).one_thread()
    origin = model.settings.localizers_of or origin_of(model)
    return LocalizerChain(key_of(run.root_key, model.sha256), model.localizers, origin=origin)


def origin_of(model: Model) -> Origin:
    """Which model a part was taken over from, and what that model was trained on."""
    settings = model.settings
    return Origin(
        name=model.name,
        sha256=model.sha256,
        phantom_trained=settings.phantom_trained,
        training_data=settings.training_data,
        recipe_settings=settings.recipe_settings,
    )
