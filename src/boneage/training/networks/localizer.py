"""The network of a localizer: an age classifier whose class weights, spread over its features, give Eq. 2's map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from boneage.ages import LAST_MONTH
from boneage.errors import UsageError
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import LocalizerSettings


class Localizer(nn.Module):
    """Phase I: an age classifier without a sex input, and its class attention map.

    `forward`: uint8 [n, 1, S, S] -> linear scores float32 [n, 240].
    """

    def __init__(self, settings: LocalizerSettings, *, start: str = "none") -> None:
        super().__init__()
        self.features = Features(settings.backbone, 1, start=start)
        width = self.features.out_channels
        self.tail: nn.Module = nn.Identity()
        if settings.channels:
            self.tail = nn.Sequential(
                nn.Conv2d(width, settings.channels, 1, bias=False), nn.BatchNorm2d(settings.channels), nn.ReLU()
            )
            width = settings.channels
        self.pooling = settings.pooling
        self.class_average = settings.class_average
        self.centred = settings.loss == "cross_entropy"
        self.classes = nn.Linear(width, LAST_MONTH)
        nn.init.normal_(self.classes.weight, 0.0, 0.01)
        nn.init.zeros_(self.classes.bias)
        self.places = nn.Conv2d(width, LAST_MONTH, 1) if settings.every_place else None

    def forward(self, view: Tensor) -> Tensor:
        scores: Tensor = self._scores(self._feature_map(view))
        return scores

    def with_places(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """The scores float32 [n, 240], and those of each cell float32 [n, 240, m, m] (`every_place` only)."""
        features = self._feature_map(view)
        if self.places is None:
            raise UsageError("This localizer has no head for single cells: every_place is 0.", code="no_cell_head")
        return self._scores(features), self.places(features)

    def attention(self, view: Tensor) -> Tensor:
        """A_t = sum_k W_kt F_k of the *predicted* class t (Eq. 2): float32 [n, m, m], negatives not clipped.

        Cross entropy leaves the scores free up to a constant. W is then centred over the classes: a cell with the
        same evidence for every age counts as zero.
        """
        features = self._feature_map(view)
        predicted = self._scores(features).argmax(dim=1)
        weights = average_over_classes(self.classes.weight, self.class_average)
        if self.centred:
            weights = weights - weights.mean(dim=0, keepdim=True)
        weights = weights[predicted]
        return (features * weights[:, :, None, None]).sum(dim=1)

    def _feature_map(self, view: Tensor) -> Tensor:
        features: Tensor = self.tail(self.features(view))
        return features

    def _scores(self, features: Tensor) -> Tensor:
        pooled = features.mean(dim=(2, 3)) if self.pooling == "gap" else features.amax(dim=(2, 3))
        scores: Tensor = self.classes(pooled)
        return scores


def average_over_classes(weight: Tensor, reach: int) -> Tensor:
    """Each class's weights averaged over the classes within `reach` of it; at the ends over those that exist.

    Args:
        weight: float [classes, C].
        reach: classes on either side; 0 gives `weight` itself.
    """
    if reach == 0:
        return weight
    count = weight.shape[0]
    index = torch.arange(count, device=weight.device)
    near = ((index[:, None] - index[None]).abs() <= reach).to(weight.dtype)
    return (near / near.sum(dim=1, keepdim=True)) @ weight
