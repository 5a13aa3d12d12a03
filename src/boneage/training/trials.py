"""One network of an experiment: trained on a workshop's films, then asked about cases that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from boneage.training.learner import Learner
from boneage.training.localizer import LocalizerLearner
from boneage.training.networks import AgeRegressor, Localizer
from boneage.training.regressor import RegressorLearner
from boneage.training.settings import JitterRange, LocalizerSettings, RegressorSettings, Schedule
from boneage.training.stage import Stage
from boneage.training.views_data import Example, Labelled, LookSource, RegionsOf, Source, ViewsData, ViewSource
from boneage.training.workshop import Workshop
from boneage.views import View


@runtime_checkable
class AgeLearner(Protocol):
    """What a learner of ages can be asked."""

    def months(self, network: nn.Module, batch: Example) -> Tensor:
        """The bone ages of a batch, float32 [n]."""
        ...


@dataclass(frozen=True)
class AgeTrial:
    """An age network to be trained and measured.

    Attributes:
        parts: everything beside data and regions that its answers depend on; goes into its key.
        network: makes it, with its starting weights.
        learner: (network, seed, steps an epoch) -> its learner, which is an `AgeLearner`.
        sources: what its input channels are cut from.
        size: side of its views.
        jitter, schedule: of its training.
    """

    parts: tuple[Any, ...]
    network: Callable[[], nn.Module]
    learner: Callable[[nn.Module, int, int], Learner]
    sources: tuple[Source, ...]
    size: int
    jitter: JitterRange
    schedule: Schedule

    @classmethod
    def of(cls, settings: RegressorSettings, start: str) -> AgeTrial:
        """The project's own age network."""
        return cls(
            (settings, start),
            lambda: AgeRegressor(settings, start=start),
            lambda network, seed, steps: RegressorLearner(
                network,  # type: ignore[arg-type]
                settings,
                seed=seed,
                steps_per_epoch=steps,
            ),
            tuple(ViewSource(View(name)) for name in settings.views),
            settings.size,
            settings.jitter,
            settings.schedule,
        )


def trained(shop: Workshop, stage: Stage, trial: AgeTrial, found: RegionsOf, seed: int, label: str) -> nn.Module:
    """The trial's network after its training, in evaluation mode; goes on where the stage's folder stands."""
    torch.manual_seed(seed)
    return shop.fitted(
        trial.network(),
        lambda network, steps: trial.learner(network, seed, steps),
        shop.data(ViewsData, trial.sources, found, trial.size, trial.jitter, seed=seed),
        stage,
        trial.schedule,
        label,
    )


def months_of(
    shop: Workshop, trial: AgeTrial, network: nn.Module, cases: Sequence[Labelled], found: RegionsOf
) -> npt.NDArray[np.float64]:
    """The bone ages that the network gives, float64 [cases] in months."""
    learner = trial.learner(network, 0, 1)
    assert isinstance(learner, AgeLearner)
    network.eval()
    with torch.inference_mode():
        answers = [learner.months(network, batch) for batch in _batches(shop, trial, cases, found)]
    return torch.cat(answers).double().numpy()


def distributions_of(
    shop: Workshop, trial: AgeTrial, network: nn.Module, cases: Sequence[Labelled], found: RegionsOf
) -> npt.NDArray[np.float64]:
    """The learned distributions over months 1..240 of a network that has them, float64 [cases, 240]."""
    network.eval()
    with torch.inference_mode():
        rows = [
            torch.softmax(network(batch.views, batch.sex).double(), dim=1)
            for batch in _batches(shop, trial, cases, found)
        ]
    return torch.cat(rows).numpy()


def trained_localizer(
    shop: Workshop, stage: Stage, settings: LocalizerSettings, found: RegionsOf, start: str, seed: int, label: str
) -> Localizer:
    """A localizer of phase I after its training, in evaluation mode; goes on where the stage's folder stands."""
    torch.manual_seed(seed)
    return shop.fitted(
        Localizer(settings, start=start),
        lambda network, steps: LocalizerLearner(network, settings, seed=seed, steps_per_epoch=steps),
        shop.data(ViewsData, [LookSource(settings.looks_at)], found, settings.size, settings.jitter, seed=seed),
        stage,
        settings.schedule,
        label,
    )


def parameters_of(network: nn.Module) -> int:
    """How many numbers were learnt."""
    return sum(parameter.numel() for parameter in network.parameters())


def _batches(shop: Workshop, trial: AgeTrial, cases: Sequence[Labelled], found: RegionsOf) -> DataLoader[Example]:
    data = ViewsData(shop.material.films, cases, trial.sources, found, trial.size, squash=shop.squash)
    return DataLoader(data, batch_size=64)


__all__ = [
    "AgeLearner",
    "AgeTrial",
    "distributions_of",
    "months_of",
    "parameters_of",
    "trained",
    "trained_localizer",
]
