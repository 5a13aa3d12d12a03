"""The age network with L1 (Tables II to V): one number in place of the distribution."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from boneage.training.data.views_data import Example
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.recipes.settings import RegressorSettings
from boneage.training.run.learner import Learner

_CENTER_MONTHS, _SCALE_MONTHS = 127.0, 40.0


class L1Regressor(AgeRegressor):
    """`forward`: views uint8 [n, v, S, S], sex float32 [n, 1] -> months float32 [n], not limited to the age axis."""

    ANSWERS: ClassVar[int] = 1

    def __init__(self, settings: RegressorSettings, *, start: str = "none") -> None:
        super().__init__(settings, start=start)
        nn.init.normal_(self.answer.weight, 0.0, 0.01)
        nn.init.zeros_(self.answer.bias)

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        months: Tensor = _CENTER_MONTHS + _SCALE_MONTHS * super().forward(views, sex)[:, 0]
        return months


class L1Learner(Learner):
    """L1 of the months; measured by the absolute error in months."""

    def __init__(self, network: L1Regressor, settings: RegressorSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.average_mirror = settings.average_mirror

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        loss: Tensor = (network(batch.views, batch.sex).float() - batch.age_months).abs().mean()
        return loss

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        return (predict_l1_months(network, batch, mirror=self.average_mirror) - batch.age_months).abs()


def predict_l1_months(network: nn.Module, batch: Example, *, mirror: bool) -> Tensor:
    """Bone ages float32 [n] in months; with `mirror` the mean over the views and their mirror images."""
    months: Tensor = network(batch.views, batch.sex).float()
    if mirror:
        months = (months + network(batch.views.flip(3), batch.sex).float()) / 2
    return months
