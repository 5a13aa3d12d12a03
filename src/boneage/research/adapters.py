"""One network of an experiment: trained on a workshop's films, then asked about cases that it never saw."""

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
from boneage.research.baselines import Baseline, baseline_months
from boneage.research.networks.end_to_end import EndToEnd, EndToEndLearner, EndToEndSettings, image_boxes
from boneage.training.age.regressor import RegressorLearner, regressor_months
from boneage.training.data.views_data import Example, Labelled, RegionsOf, Source, ViewsData, ViewSource
from boneage.training.networks.losses import expectation
from boneage.training.networks.networks import AgeRegressor
from boneage.training.recipes.settings import Augmentation, Backbone, RegressorSettings, Schedule
from boneage.training.run.learner import Learner
from boneage.training.run.stage import Stage, start_key
from boneage.training.run.training_run import TrainingRun
from boneage.views import View, cut, whole


@dataclass(frozen=True)
class AgeAdapter:
    """An age network to be trained and measured.

    Attributes:
        parts: everything beside data and regions that its answers depend on; goes into its key.
        network: makes it, with its starting weights.
        learner: (network, seed, steps an epoch) -> its learner.
        months: (network, batch) -> bone ages, float32 [n].
        sources: what its input channels are cut from.
        size: side of its views.
        jitter, schedule: of its training.
        data: how views are cut, and what a loss learns from beside them.
        corrected: a straight line through (answer, age) of *validation* corrects its answers.
    """

    parts: tuple[Any, ...]
    network: Callable[[], nn.Module]
    learner: Callable[[nn.Module, int, int], Learner]
    months: Callable[[nn.Module, Example], Tensor]
    sources: tuple[Source, ...]
    size: int
    augmentation: Augmentation
    schedule: Schedule
    data: type[ViewsData] = ViewsData
    corrected: bool = False

    @classmethod
    def of(cls, settings: RegressorSettings, start: str) -> AgeAdapter:
        """The project's own age network."""

        def learner(network: nn.Module, seed: int, steps: int) -> RegressorLearner:
            assert isinstance(network, AgeRegressor)
            return RegressorLearner(network, settings, seed=seed, steps_per_epoch=steps)

        return cls(
            (settings, start_key(start)),
            lambda: AgeRegressor(settings, start=start),
            learner,
            lambda network, batch: regressor_months(network, batch, settings),
            tuple(ViewSource(View(name)) for name in settings.views),
            settings.size,
            settings.augmentation,
            settings.schedule,
        )

    @classmethod
    def of_baseline(
        cls,
        baseline: Baseline,
        backbone: Backbone,
        size: int,
        start: str,
        augmentation: Augmentation,
        schedule: Schedule,
    ) -> AgeAdapter:
        """Another method's design on the given backbone."""
        return cls(
            (baseline.name, backbone, size, start_key(start), augmentation, schedule),
            lambda: baseline.network(backbone, size, start=start),
            lambda network, seed, steps: baseline.learner(network, schedule, seed=seed, steps_per_epoch=steps),
            lambda network, batch: baseline_months(network, batch.views, batch.sex),
            baseline.sources,
            size * baseline.scale,
            augmentation,
            schedule,
            baseline.data,
            baseline.corrected,
        )

    @classmethod
    def of_end_to_end(cls, settings: EndToEndSettings, start: str, augmentation: Augmentation) -> AgeAdapter:
        """The one network that finds the regions and answers."""

        def learner(network: nn.Module, seed: int, steps: int) -> EndToEndLearner:
            assert isinstance(network, EndToEnd)
            return EndToEndLearner(network, settings, seed=seed, steps_per_epoch=steps)

        return cls(
            (settings, start_key(start), augmentation),
            lambda: EndToEnd(settings, start=start),
            learner,
            lambda network, batch: expectation(network(batch.views, batch.sex)),
            (ViewSource(View.O),),
            settings.view_size,
            augmentation,
            settings.schedule,
        )


def trained(run: TrainingRun, stage: Stage, adapter: AgeAdapter, found: RegionsOf, seed: int, label: str) -> nn.Module:
    """The trial's network after its training, in evaluation mode; goes on where the stage's folder stands."""
    torch.manual_seed(seed)
    return run.fitted(
        adapter.network(),
        lambda network, steps: adapter.learner(network, seed, steps),
        run.data(adapter.data, adapter.sources, found, adapter.size, adapter.augmentation, seed=seed),
        stage,
        adapter.schedule,
        label,
    )


def months_of(
    run: TrainingRun, adapter: AgeAdapter, network: nn.Module, cases: Sequence[Labelled], found: RegionsOf
) -> npt.NDArray[np.float64]:
    """The bone ages that the network gives, float64 [cases] in months, within the age axis: L1 alone knows no ends."""
    device = "cuda" if run.machine.uses_gpu else "cpu"
    network.eval().to(device)
    with torch.inference_mode():
        answers = [
            adapter.months(network, Example(*(part.to(device) for part in batch))).cpu()
            for batch in _batches(run, adapter, cases, found)
        ]
    network.cpu()
    months: npt.NDArray[np.float64] = torch.cat(answers).double().clamp(FIRST_MONTH, LAST_MONTH).numpy()
    return months


def distributions_of(
    run: TrainingRun, adapter: AgeAdapter, network: nn.Module, cases: Sequence[Labelled], found: RegionsOf
) -> npt.NDArray[np.float64]:
    """The learned distributions over months 1..240 of a network that has them, float64 [cases, 240]."""
    network.eval()
    with torch.inference_mode():
        rows = [
            torch.softmax(network(batch.views, batch.sex).double(), dim=1)
            for batch in _batches(run, adapter, cases, found)
        ]
    return torch.cat(rows).numpy()


def boxes_of(run: TrainingRun, adapter: AgeAdapter, network: EndToEnd, ids: Sequence[str]) -> list[dict[Region, Box]]:
    """The boxes that an end-to-end network finds on films, in their pixels."""
    boxes = []
    network.eval()
    with torch.inference_mode():
        for case_id in ids:
            image = run.training_set.images.image(case_id)
            view = cut(image, whole(image), adapter.size, squash=run.squash)
            # The sex changes the answer and not where it looks.
            found = network.found(torch.from_numpy(view.copy())[None, None], torch.ones(1, 1))
            boxes.append(image_boxes(found.boxes[0], image, squash=run.squash))
    return boxes


def parameters_of(network: nn.Module) -> int:
    """How many numbers were learnt."""
    return sum(parameter.numel() for parameter in network.parameters())


def _batches(run: TrainingRun, adapter: AgeAdapter, cases: Sequence[Labelled], found: RegionsOf) -> DataLoader[Example]:
    data = adapter.data(run.training_set.images, cases, adapter.sources, found, adapter.size, squash=run.squash)
    return DataLoader(data, batch_size=64)


__all__ = [
    "AgeAdapter",
    "boxes_of",
    "distributions_of",
    "months_of",
    "parameters_of",
    "trained",
]
