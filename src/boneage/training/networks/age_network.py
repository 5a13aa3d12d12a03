"""The age network of phase II: views and sex -> a distribution over months."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from boneage.ages import LAST_MONTH
from boneage.errors import UsageError
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import RegressorSettings


class AgeRegressor(nn.Module):
    """Phase II: views and sex -> a distribution over months.

    `forward`: views uint8 [n, v, S, S], sex float32 [n, 1] (+1 male, -1 female; None without a sex embedding)
    -> logits float32 [n, 240].
    """

    ANSWERS: ClassVar[int] = LAST_MONTH
    """Width of the last layer."""

    def __init__(self, settings: RegressorSettings, *, start: str = "none") -> None:
        super().__init__()
        self.shared = settings.fusion == "shared"
        self.merge = settings.merge
        self.views = views = len(settings.views)
        self.features = Features(settings.backbone, 1 if self.shared else views, start=start)
        width = self.features.out_channels
        self.head: nn.Module
        if settings.head == "paper":
            self.head = nn.Sequential(nn.Conv2d(width, 256, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten())
            with torch.no_grad():
                self.features.eval()
                side = self.features(torch.zeros(1, 1 if self.shared else views, *2 * (settings.size,)).byte())
                if min(side.shape[2:]) < 5:
                    raise UsageError(
                        f"regressor.head=paper needs a feature map of 5 cells or more, not {side.shape[2]}: "
                        "raise regressor.size or take regressor.head=gap.",
                        code="view_too_small",
                    )
                width = int(self.head(side).shape[1])
                self.features.train()
        else:
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        if self.shared and self.merge == "concat":
            width *= views
        self.dropout = nn.Dropout(settings.dropout)
        self.sex: nn.Module | None = None
        if settings.sex:
            layers: list[nn.Module] = []
            for before, after in zip((1, *settings.sex[:-1]), settings.sex, strict=True):
                layers += [nn.Linear(before, after), nn.ReLU()]
            self.sex = nn.Sequential(*layers)
            width += settings.sex[-1]
        self.answer = nn.Linear(width, self.ANSWERS)

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        return self.answer_of(self.penultimate(views), sex)

    def penultimate(self, views: Tensor) -> Tensor:
        """The penultimate activations, without the sex: float32 [n, v * C], one view after the other; with
        fusion="stacked" float32 [n, C] of all views together."""
        if not self.shared:
            stacked: Tensor = self.head(self.features(views))
            return stacked
        x: Tensor = self.head(self.features(views.reshape(-1, 1, *views.shape[2:])))
        return x.reshape(-1, views.shape[1], x.shape[1]).flatten(1)

    def answer_of(self, features: Tensor, sex: Tensor | None = None) -> Tensor:
        """What `forward` answers, from what `penultimate` gives."""
        if self.shared and self.merge == "mean":
            features = features.reshape(-1, self.views, features.shape[1] // self.views).mean(dim=1)
        x = self.dropout(features)
        if self.sex is not None:
            if sex is None:
                raise UsageError(
                    "This network has a sex input: give float32 [n, 1], +1 (male) or -1 (female).", code="sex_needed"
                )
            x = torch.cat([x, self.sex(sex.to(x.dtype))], dim=1)
        answer: Tensor = self.answer(x)
        return answer
