"""What a baseline is: another method's design, with the data, budget and backbone that the caller gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from boneage.errors import UsageError
from boneage.regions import Region
from boneage.research.baselines.sources import MaskedSource
from boneage.training.data.views_data import Example, Images, Labelled, RegionsOf, Source, ViewsData
from boneage.training.networks.losses import expectation
from boneage.training.recipes.settings import Augmentation, Backbone, Schedule
from boneage.training.run.learner import Learner

Truth = Literal["mask", "box", "key_points"]
"""Labels that only phantoms have."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(output of the network, age_months float32 [n]) -> float32 []."""


def l1_months(months: Tensor, age_months: Tensor) -> Tensor:
    """Mean absolute error of months [n]: float32 []."""
    return (months.float() - age_months).abs().mean()


def l2_months(months: Tensor, age_months: Tensor) -> Tensor:
    """Mean squared error of months [n] in units of 40 months, so that it starts near 1: float32 []."""
    return ((months.float() - age_months) / 40.0).square().mean()


def decode_months(output: Tensor) -> Tensor:
    """Months float32 [n] of a network's output: months [n] as they are, the expectation of logits [n, 240]."""
    return output.float() if output.ndim == 1 else expectation(output)


class BaselineLearner(Learner):
    """A baseline's loss; measured by the absolute error in months."""

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        loss: Loss,
        *,
        seed: int,
        steps_per_epoch: int,
        average_mirror: bool = False,
    ) -> None:
        super().__init__(network, schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.age_loss = loss
        self.average_mirror = average_mirror

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        return self.age_loss(network(batch.views, batch.sex), batch.age_months)

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        return (predict_months(network, batch.views, batch.sex, mirror=self.average_mirror) - batch.age_months).abs()


def predict_months(network: nn.Module, views: Tensor, sex: Tensor, *, mirror: bool = False) -> Tensor:
    """A network's months for views uint8 [n, v, S, S] and sex float32 [n, 1]: float32 [n].

    With `mirror` they are the mean over the views and their mirror images.
    """
    months = decode_months(network(views, sex))
    return (months + decode_months(network(views.flip(3), sex))) / 2 if mirror else months


@dataclass(frozen=True)
class Baseline:
    """Another method's design.

    Attributes:
        name: for tables and folders.
        citation: the publication.
        differs: how this design differs from the published one, and what the publication leaves open.
        sources: what its views are cut from.
        build: (backbone, size, start) -> network with `forward(views uint8 [n, v, V, V], sex float32 [n, 1])`
            -> months float32 [n], or logits float32 [n, 240] (see `decode_months`).
        loss: of the network's output.
        regions: the regions that its sources need.
        needs: the truths that it learns from. Where there are some, its `regions_of` in training is a `FromTruth` on
            phantoms; with `answers_from_truth` in measuring as well.
        scale: side of its views divided by `size`; its networks read crops of `size` from them.
        corrected: a `LinearCorrection`, fitted on *validation*, corrects its predictions.
        data: makes its views and targets.
        make_learner: its learner's class; `Baseline.learner` calls it.
    """

    name: str
    citation: str
    differs: str
    sources: tuple[Source, ...]
    build: Callable[[Backbone, int, str], nn.Module]
    loss: Loss = l1_months
    regions: frozenset[Region] = frozenset()
    needs: frozenset[Truth] = frozenset()
    scale: int = 1
    corrected: bool = False
    data: type[ViewsData] = ViewsData
    make_learner: Callable[..., BaselineLearner] = BaselineLearner

    @property
    def answers_from_truth(self) -> bool:
        """Whether it needs the truth of a case to predict its age, not only to learn from it."""
        return any(isinstance(source, MaskedSource) and source.kind == "truth" for source in self.sources)

    def network(self, backbone: Backbone, size: int, *, start: str = "none") -> nn.Module:
        """Its network; `start` is "none" (random weights) or a file of weights for the backbone."""
        return self.build(backbone, size, start)

    def learner(
        self, network: nn.Module, schedule: Schedule, *, seed: int, steps_per_epoch: int, average_mirror: bool = False
    ) -> BaselineLearner:
        """Its learner for a network."""
        return self.make_learner(
            network,
            schedule,
            self.loss,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            average_mirror=average_mirror,
        )

    def views(
        self,
        images: Images,
        cases: Sequence[Labelled],
        regions_of: RegionsOf,
        size: int,
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        squash: bool = False,
    ) -> ViewsData:
        """Its views of cases: augmented for training, plain (`augmentation` None) for measuring.

        Args:
            size: side of its networks' input; the views are `scale` times as large.
        """
        return self.data(
            images,
            cases,
            self.sources,
            regions_of,
            size * self.scale,
            squash=squash,
            augmentation=augmentation,
            seed=seed,
        )


@dataclass(frozen=True)
class LinearCorrection:
    """months -> intercept + slope * months, within the age axis; `LinearCorrection()` changes nothing.

    Fit it on other cases than those it corrects, or it would be fitted to their labels.
    """

    intercept: float = 0.0
    slope: float = 1.0

    @classmethod
    def fit(cls, predicted: npt.ArrayLike, ages: npt.ArrayLike) -> LinearCorrection:
        """Fit the least-squares line through (prediction, age).

        Args:
            predicted, ages: float [n] in months, of the same n >= 2 cases.

        Raises:
            UsageError: there are fewer than two cases or the lengths differ (`unpaired_predictions`), or all
                predictions are the same (`no_linear_correction`).
        """
        x, y = np.asarray(predicted, dtype=np.float64), np.asarray(ages, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
            raise UsageError(
                f"predictions of shape {x.shape} and ages of shape {y.shape}: give both of two cases or more.",
                code="unpaired_predictions",
            )
        spread = float(((x - x.mean()) ** 2).sum())
        if spread == 0.0:
            raise UsageError(
                "all predictions are the same; no line goes through them. Use them as they are.",
                code="no_linear_correction",
            )
        slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
        return cls(float(y.mean()) - slope * float(x.mean()), slope)

    def __call__(self, predicted: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Corrected months, float64 [n], limited to 1 to 240."""
        return np.clip(self.intercept + self.slope * np.asarray(predicted, dtype=np.float64), 1.0, 240.0)


class Head(nn.Module):
    """Dense layers with ReLU on features and a sex embedding, then a layer that gives months.

    `forward`: features float32 [n, C], sex float32 [n, 1] -> months float32 [n].

    Args:
        width: C.
        layers: widths of the dense layers.
        sex: width of the sex embedding (dense, ReLU); 0 for none.
        dropout: before each dense layer.
    """

    _CENTER_MONTHS, _SCALE_MONTHS = 127.0, 40.0

    def __init__(self, width: int, layers: Sequence[int], sex: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.sex = nn.Sequential(nn.Linear(1, sex), nn.ReLU()) if sex else None
        widths = (width + sex, *layers)
        dense: list[nn.Module] = []
        for before, after in pairwise(widths):
            dense += [nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU()]
        self.dense = nn.Sequential(*dense)
        self.answer = nn.Linear(widths[-1], 1)
        nn.init.normal_(self.answer.weight, 0.0, 0.01)
        nn.init.zeros_(self.answer.bias)

    def forward(self, features: Tensor, sex: Tensor | None) -> Tensor:
        if self.sex is not None:
            if sex is None:
                raise UsageError("this network has a sex input; give float32 [n, 1], +1 or -1.", code="sex_needed")
            features = torch.cat([features, self.sex(sex.to(features.dtype))], dim=1)
        months: Tensor = self._CENTER_MONTHS + self._SCALE_MONTHS * self.answer(self.dense(features))[:, 0]
        return months
