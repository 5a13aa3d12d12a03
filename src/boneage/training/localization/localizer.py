"""The training of one localizer: from ages alone, never from a sex or a box."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from boneage.regions import Region
from boneage.training.data.views_data import Example, FromTable, LocalizerSource, NoRegions, RegionsOf, ViewsData
from boneage.training.localization.chain import LocalizerChain
from boneage.training.networks.export import export_localizer
from boneage.training.networks.localizer import Localizer
from boneage.training.networks.losses import localizer_loss
from boneage.training.recipes.settings import LocalizerSettings, needed_regions
from boneage.training.run.learner import Learner
from boneage.training.run.stage import Stage
from boneage.training.run.training_run import NETWORK_FILE, TrainingRun


class LocalizerLearner(Learner):
    """Loss: Eq. 5's soft label. Measured: the distance in months of the predicted class from the age."""

    def __init__(self, network: Localizer, settings: LocalizerSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.settings = settings

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        kind, width = self.settings.loss, self.settings.label_width
        if not self.settings.every_place:
            return localizer_loss(network(batch.views), batch.age_months, kind=kind, width=width)
        scores, places = network.with_places(batch.views)  # type: ignore[operator]
        each = places.flatten(2).transpose(1, 2)
        ages = batch.age_months.repeat_interleave(each.shape[1])
        of_places = localizer_loss(each.flatten(0, 1), ages, kind=kind, width=width)
        return localizer_loss(scores, batch.age_months, kind=kind, width=width) + self.settings.every_place * of_places

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        scores: Tensor = network(batch.views)
        return (scores.argmax(dim=1).float() + 1.0 - batch.age_months).abs()


def train_network(run: TrainingRun, region: Region, chain: LocalizerChain) -> Path:
    """Train and export the network of a region; returns the exported file."""
    if run.settings(region).shares:
        return run.out / f"localizer-{run.settings(region).shares}" / NETWORK_FILE
    settings = run.settings(region)
    # What happens to the finished map does not change the training.
    trained = dataclasses.replace(
        settings, tau=None, margin=0.0, smallest=0.1, average_mirror=True, prior=False, components="largest"
    )
    needs = needed_regions(settings.input_view)
    stage = run.stage(f"localizer-{region.value}", trained, chain.key if needs else run.root_key)
    if not stage.complete:
        stage.begin()
        found: RegionsOf = NoRegions()
        if needs:
            found = FromTable(run.finder.regions(chain.steps, run.training_set.ids, chain.maps))
        start, seed, label = run.recipe.pretrained, run.recipe.seed, f"localizer of {region.value}"
        network = fit_localizer(run, stage, settings=settings, found=found, start=start, seed=seed, label=label)
        export_localizer(network, stage.folder / NETWORK_FILE, settings.size, half=run.recipe.fp16_weights)
        stage.finish()
    return stage.folder / NETWORK_FILE


def fit_localizer(
    run: TrainingRun, stage: Stage, settings: LocalizerSettings, found: RegionsOf, *, start: str, seed: int, label: str
) -> Localizer:
    """Train a localizer, from where the stage's folder stands.

    Args:
        found: the regions that its view needs.
        start: starting weights.
        label: its name in progress lines.

    Returns:
        The network in evaluation mode.
    """
    torch.manual_seed(seed)
    return run.fit(
        Localizer(settings, start=start),
        lambda network, steps: LocalizerLearner(network, settings, seed=seed, steps_per_epoch=steps),
        run.data(
            ViewsData,
            [LocalizerSource(settings.input_view)],
            found,
            size=settings.size,
            augmentation=settings.augmentation,
            seed=seed,
        ),
        stage=stage,
        schedule=settings.schedule,
        label=label,
    )
