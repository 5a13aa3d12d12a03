"""How a localizer of phase I learns: from ages alone, never from a sex or a box."""

from __future__ import annotations

from torch import Tensor, nn

from boneage.training.data.views_data import Example
from boneage.training.networks.losses import localizer_loss
from boneage.training.networks.networks import Localizer
from boneage.training.recipes.settings import LocalizerSettings
from boneage.training.run.learner import Learner


class LocalizerLearner(Learner):
    """Eq. 5's soft label; measured by the distance in months of the predicted class from the age."""

    def __init__(self, network: Localizer, settings: LocalizerSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.settings = settings

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        kind, width = self.settings.loss, self.settings.label_width
        if not self.settings.every_place:
            return localizer_loss(network(batch.views), batch.age_months, kind, width)
        scores, places = network.with_places(batch.views)  # type: ignore[operator]
        each = places.flatten(2).transpose(1, 2)
        ages = batch.age_months.repeat_interleave(each.shape[1])
        of_places = localizer_loss(each.flatten(0, 1), ages, kind, width)
        return localizer_loss(scores, batch.age_months, kind, width) + self.settings.every_place * of_places

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        scores: Tensor = network(batch.views)
        return (scores.argmax(dim=1).float() + 1.0 - batch.age_months).abs()
