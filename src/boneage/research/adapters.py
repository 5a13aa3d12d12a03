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
from boneage.research.baselines import Peer, peer_months
from boneage.research.networks.end_to_end import EndToEnd, EndToEndLearner, EndToEndSettings, film_boxes
from boneage.training.age.regressor import RegressorLearner, regressor_months
from boneage.training.data.views_data import Example, Labelled, RegionsOf, Source, ViewsData, ViewSource
from boneage.training.networks.losses import expectation
from boneage.training.networks.networks import AgeRegressor
from boneage.training.recipes.settings import Backbone, JitterRange, RegressorSettings, Schedule
from boneage.training.run.learner import Learner
from boneage.training.run.stage import Stage, start_key
from boneage.training.run.training_run import Workshop
from boneage.views import View, cut, whole


@dataclass(frozen=True)
class AgeTrial:
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
        blank: chance with which a view is blanked in training.
        corrected: a straight line through (answer, age) of *select* corrects its answers.
    """

    parts: tuple[Any, ...]
    network: Callable[[], nn.Module]
    learner: Callable[[nn.Module, int, int], Learner]
    months: Callable[[nn.Module, Example], Tensor]
    sources: tuple[Source, ...]
    size: int
    jitter: JitterRange
    schedule: Schedule
    data: type[ViewsData] = ViewsData
    corrected: bool = False
    blank: float = 0.0

    @classmethod
    def of(cls, settings: RegressorSettings, start: str) -> AgeTrial:
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
            settings.jitter,
            settings.schedule,
            blank=settings.erase,
        )

    @classmethod
    def of_peer(
        cls, peer: Peer, backbone: Backbone, size: int, start: str, jitter: JitterRange, schedule: Schedule
    ) -> AgeTrial:
        """Another method's design on the given backbone."""
        return cls(
            (peer.name, backbone, size, start_key(start), jitter, schedule),
            lambda: peer.network(backbone, size, start=start),
            lambda network, seed, steps: peer.learner(network, schedule, seed=seed, steps_per_epoch=steps),
            lambda network, batch: peer_months(network, batch.views, batch.sex),
            peer.sources,
            size * peer.scale,
            jitter,
            schedule,
            peer.data,
            peer.corrected,
        )

    @classmethod
    def of_end_to_end(cls, settings: EndToEndSettings, start: str, jitter: JitterRange) -> AgeTrial:
        """The one network that finds the regions and answers."""

        def learner(network: nn.Module, seed: int, steps: int) -> EndToEndLearner:
            assert isinstance(network, EndToEnd)
            return EndToEndLearner(network, settings, seed=seed, steps_per_epoch=steps)

        return cls(
            (settings, start_key(start), jitter),
            lambda: EndToEnd(settings, start=start),
            learner,
            lambda network, batch: expectation(network(batch.views, batch.sex)),
            (ViewSource(View.O),),
            settings.view_size,
            jitter,
            settings.schedule,
        )


def trained(shop: Workshop, stage: Stage, trial: AgeTrial, found: RegionsOf, seed: int, label: str) -> nn.Module:
    """The trial's network after its training, in evaluation mode; goes on where the stage's folder stands."""
    torch.manual_seed(seed)
    return shop.fitted(
        trial.network(),
        lambda network, steps: trial.learner(network, seed, steps),
        shop.data(trial.data, trial.sources, found, trial.size, trial.jitter, seed=seed, blank=trial.blank),
        stage,
        trial.schedule,
        label,
    )


def months_of(
    shop: Workshop, trial: AgeTrial, network: nn.Module, cases: Sequence[Labelled], found: RegionsOf
) -> npt.NDArray[np.float64]:
    """The bone ages that the network gives, float64 [cases] in months, within the age axis: L1 alone knows no ends."""
    device = "cuda" if shop.machine.uses_gpu else "cpu"
    network.eval().to(device)
    with torch.inference_mode():
        answers = [
            trial.months(network, Example(*(part.to(device) for part in batch))).cpu()
            for batch in _batches(shop, trial, cases, found)
        ]
    network.cpu()
    months: npt.NDArray[np.float64] = torch.cat(answers).double().clamp(FIRST_MONTH, LAST_MONTH).numpy()
    return months


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


def boxes_of(shop: Workshop, trial: AgeTrial, network: EndToEnd, ids: Sequence[str]) -> list[dict[Region, Box]]:
    """The boxes that an end-to-end network finds on films, in their pixels."""
    boxes = []
    network.eval()
    with torch.inference_mode():
        for case_id in ids:
            film = shop.material.films.film(case_id)
            view = cut(film, whole(film), trial.size, squash=shop.squash)
            # The sex changes the answer and not where it looks.
            found = network.found(torch.from_numpy(view.copy())[None, None], torch.ones(1, 1))
            boxes.append(film_boxes(found.boxes[0], film, squash=shop.squash))
    return boxes


def parameters_of(network: nn.Module) -> int:
    """How many numbers were learnt."""
    return sum(parameter.numel() for parameter in network.parameters())


def _batches(shop: Workshop, trial: AgeTrial, cases: Sequence[Labelled], found: RegionsOf) -> DataLoader[Example]:
    data = trial.data(shop.material.films, cases, trial.sources, found, trial.size, squash=shop.squash)
    return DataLoader(data, batch_size=64)


__all__ = [
    "AgeTrial",
    "boxes_of",
    "distributions_of",
    "months_of",
    "parameters_of",
    "trained",
]
