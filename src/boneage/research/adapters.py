"""Adapters: every kind of age network, trained by a `TrainingRun` and measured in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from boneage.ages import FIRST_MONTH, LAST_MONTH
from boneage.regions import Box, Region
from boneage.research.baselines import Baseline, predict_months
from boneage.research.networks.end_to_end import EndToEnd, EndToEndLearner, EndToEndSettings, boxes_on_image
from boneage.research.networks.l1_regressor import L1Learner, L1Regressor, predict_l1_months
from boneage.training.age.regressor import RegressorLearner, regressor_months
from boneage.training.data.views_data import Example, Labelled, RegionsOf, Source, ViewsData, ViewSource
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.losses import expectation
from boneage.training.recipes.settings import Augmentation, Backbone, RegressorSettings, Schedule
from boneage.training.run.learner import Learner
from boneage.training.run.stage import Stage, start_key
from boneage.training.run.training_run import TrainingRun
from boneage.views import View, cut, whole


@dataclass(frozen=True)
class AgeAdapter:
    """What the experiment runner needs to know of an age network in order to train and measure it.

    Attributes:
        parts: everything besides data and regions that its predictions depend on; becomes part of the cell's key.
        build: makes the network with its starting weights.
        make_learner: (network, seed, steps an epoch) -> its learner.
        months: (network, batch) -> bone ages, float32 [n].
        sources: what its input channels are cut from.
        size: side of its views.
        augmentation, schedule: of its training.
        data: how views are cut, and which targets come with them.
        corrected: a straight line through (prediction, age) of *validation* corrects its predictions.
    """

    parts: tuple[Any, ...]
    build: Callable[[], nn.Module]
    make_learner: Callable[[nn.Module, int, int], Learner]
    months: Callable[[nn.Module, Example], Tensor]
    sources: tuple[Source, ...]
    size: int
    augmentation: Augmentation
    schedule: Schedule
    data: type[ViewsData] = ViewsData
    corrected: bool = False

    @classmethod
    def of_distribution(cls, settings: RegressorSettings, start: str) -> AgeAdapter:
        """This project's age network, which learns a distribution over months."""

        def make_learner(network: nn.Module, seed: int, steps: int) -> RegressorLearner:
            assert isinstance(network, AgeRegressor)
            return RegressorLearner(network, settings, seed=seed, steps_per_epoch=steps)

        return cls(
            parts=(settings, start_key(start)),
            build=lambda: AgeRegressor(settings, start=start),
            make_learner=make_learner,
            months=lambda network, batch: regressor_months(network, batch, settings),
            sources=tuple(ViewSource(View(name)) for name in settings.views),
            size=settings.size,
            augmentation=settings.augmentation,
            schedule=settings.schedule,
        )

    @classmethod
    def of_l1(cls, settings: RegressorSettings, start: str) -> AgeAdapter:
        """The same network with one number for an answer."""

        def make_learner(network: nn.Module, seed: int, steps: int) -> L1Learner:
            assert isinstance(network, L1Regressor)
            return L1Learner(network, settings, seed=seed, steps_per_epoch=steps)

        return cls(
            parts=("l1", settings, start_key(start)),
            build=lambda: L1Regressor(settings, start=start),
            make_learner=make_learner,
            months=lambda network, batch: predict_l1_months(network, batch, mirror=settings.average_mirror),
            sources=tuple(ViewSource(View(name)) for name in settings.views),
            size=settings.size,
            augmentation=settings.augmentation,
            schedule=settings.schedule,
        )

    @classmethod
    def of_baseline(
        cls,
        baseline: Baseline,
        backbone: Backbone,
        size: int,
        *,
        start: str,
        augmentation: Augmentation,
        schedule: Schedule,
    ) -> AgeAdapter:
        """Another method's design on the given backbone."""
        return cls(
            parts=(baseline.name, backbone, size, start_key(start), augmentation, schedule),
            build=lambda: baseline.network(backbone, size, start=start),
            make_learner=lambda network, seed, steps: baseline.learner(
                network, schedule, seed=seed, steps_per_epoch=steps
            ),
            months=lambda network, batch: predict_months(network, batch.views, batch.sex),
            sources=baseline.sources,
            size=size * baseline.scale,
            augmentation=augmentation,
            schedule=schedule,
            data=baseline.data,
            corrected=baseline.corrected,
        )

    @classmethod
    def of_end_to_end(cls, settings: EndToEndSettings, start: str, augmentation: Augmentation) -> AgeAdapter:
        """The network that learns regions and age together."""

        def make_learner(network: nn.Module, seed: int, steps: int) -> EndToEndLearner:
            assert isinstance(network, EndToEnd)
            return EndToEndLearner(network, settings, seed=seed, steps_per_epoch=steps)

        return cls(
            parts=(settings, start_key(start), augmentation),
            build=lambda: EndToEnd(settings, start=start),
            make_learner=make_learner,
            months=lambda network, batch: expectation(network(batch.views, batch.sex)),
            sources=(ViewSource(View.O),),
            size=settings.view_size,
            augmentation=augmentation,
            schedule=settings.schedule,
        )


def train_network(
    run: TrainingRun, stage: Stage, adapter: AgeAdapter, regions_of: RegionsOf, seed: int, label: str
) -> nn.Module:
    """Train the adapter's network; returns it in evaluation mode.

    A training that was stopped goes on from the stage's folder; a finished one is read from there.
    """
    torch.manual_seed(seed)
    return run.fit(
        adapter.build(),
        lambda network, steps: adapter.make_learner(network, seed, steps),
        run.data(
            adapter.data, adapter.sources, regions_of, size=adapter.size, augmentation=adapter.augmentation, seed=seed
        ),
        stage=stage,
        schedule=adapter.schedule,
        label=label,
    )


def predict_ages(
    run: TrainingRun, adapter: AgeAdapter, network: nn.Module, cases: Sequence[Labelled], regions_of: RegionsOf
) -> npt.NDArray[np.float64]:
    """The network's bone ages, float64 [cases] in months.

    They are limited to the age axis, 1 to 240 months: a network with L1 can answer beyond it.
    """
    device = "cuda" if run.machine.uses_gpu else "cpu"
    network.eval().to(device)
    with torch.inference_mode():
        predicted = [
            adapter.months(network, Example(*(part.to(device) for part in batch))).cpu()
            for batch in _load_batches(run, adapter, cases=cases, regions_of=regions_of)
        ]
    network.cpu()
    months: npt.NDArray[np.float64] = torch.cat(predicted).double().clamp(FIRST_MONTH, LAST_MONTH).numpy()
    return months


def predict_distributions(
    run: TrainingRun, adapter: AgeAdapter, network: nn.Module, cases: Sequence[Labelled], regions_of: RegionsOf
) -> npt.NDArray[np.float64]:
    """The network's distributions over months 1 to 240, float64 [cases, 240]; each sums to 1."""
    network.eval()
    with torch.inference_mode():
        rows = [
            torch.softmax(network(batch.views, batch.sex).double(), dim=1)
            for batch in _load_batches(run, adapter, cases=cases, regions_of=regions_of)
        ]
    return torch.cat(rows).numpy()


def predict_boxes(
    run: TrainingRun, adapter: AgeAdapter, network: EndToEnd, ids: Sequence[str]
) -> list[dict[Region, Box]]:
    """The boxes that an end-to-end network finds on images, in pixels of the images."""
    boxes = []
    network.eval()
    with torch.inference_mode():
        for case_id in ids:
            image = run.training_set.images.image(case_id)
            view = cut(image, whole(image), adapter.size, squash=run.squash)
            # The boxes do not depend on the sex.
            output = network.locate(torch.from_numpy(view.copy())[None, None], torch.ones(1, 1))
            boxes.append(boxes_on_image(output.boxes[0], image, squash=run.squash))
    return boxes


def count_parameters(network: nn.Module) -> int:
    """The number of learned parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def _load_batches(
    run: TrainingRun, adapter: AgeAdapter, cases: Sequence[Labelled], regions_of: RegionsOf
) -> DataLoader[Example]:
    data = adapter.data(run.training_set.images, cases, adapter.sources, regions_of, adapter.size, squash=run.squash)
    return DataLoader(data, batch_size=64)
