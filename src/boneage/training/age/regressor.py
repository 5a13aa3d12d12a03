"""How the age regressor of phase II learns."""

from __future__ import annotations

from torch import Tensor, nn

from boneage.training.data.views_data import Example
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.losses import distribution_loss, expectation
from boneage.training.recipes.settings import RegressorSettings
from boneage.training.run.learner import Learner


class RegressorLearner(Learner):
    """Error of the expectation and KL divergence of the distribution; measured by the absolute error in months."""

    def __init__(self, network: AgeRegressor, settings: RegressorSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.settings = settings

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        answer: Tensor = network(batch.views, batch.sex)
        return distribution_loss(
            answer,
            batch.age_months,
            kl_weight=self.settings.kl_weight,
            sd=self.settings.label_sd,
            direction=self.settings.kl_direction,
        )

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        return (regressor_months(network, batch, self.settings) - batch.age_months).abs()


def regressor_months(network: nn.Module, batch: Example, settings: RegressorSettings) -> Tensor:
    """The bone ages of a batch, float32 [n]; with `average_mirror` the mean with those of the mirror images."""
    months = expectation(network(batch.views, batch.sex))
    if settings.average_mirror:
        months = (months + expectation(network(batch.views.flip(3), batch.sex))) / 2
    return months
