"""How a localizer of phase I learns: from ages alone, never from a sex or a box."""

from __future__ import annotations

from torch import Tensor, nn

from boneage.training.learner import Learner
from boneage.training.losses import localizer_loss
from boneage.training.networks import Localizer
from boneage.training.settings import LocalizerSettings
from boneage.training.views_data import Example


class LocalizerLearner(Learner):
    """Eq. 5's soft label; measured by the distance in months of the predicted class from the age."""

    def __init__(self, network: Localizer, settings: LocalizerSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.settings = settings

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        return localizer_loss(network(batch.views), batch.age_months, self.settings.loss, self.settings.label_width)

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        scores: Tensor = network(batch.views)
        return (scores.argmax(dim=1).float() + 1.0 - batch.age_months).abs()
