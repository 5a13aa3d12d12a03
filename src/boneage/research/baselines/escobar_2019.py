"""Escobar et al. 2019: the hand's box, heat maps of key points, and a network that reads image and heat maps."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boneage.errors import UsageError
from boneage.research.baselines.baseline import Baseline, BaselineLearner, Head
from boneage.research.baselines.map_networks import draw_heat_maps
from boneage.research.baselines.sources import KEY_POINTS, TruthData, TruthTargets
from boneage.research.networks.cuts import crop, enclose_in_square
from boneage.training.data.views_data import Example, ViewSource
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import Backbone
from boneage.views import View

SCALE: Final = 2
_SD: Final = 0.03
"""Standard deviation of a heat map's peak, as a fraction of the crop's side."""
_MARGIN: Final = 0.05


class PosedNetwork(nn.Module):
    """`forward`: views uint8 [n, 1, 2 S, 2 S] (view O), sex float32 [n, 1] -> months float32 [n].

    The first network gives the hand's box on the whole image, the second heat maps of 19 key points in the box, and
    the third reads the box with its heat maps. No gradient of the age reaches box and heat maps.
    """

    def __init__(self, backbone: Backbone, size: int, start: str) -> None:
        super().__init__()
        if size % 8 or size < 32:
            raise UsageError(
                f"escobar-2019 needs a size that is a multiple of 8 and 32 or more, not {size}.",
                code="setting_out_of_range",
            )
        self.size = size
        self.detecting = Features(backbone, 1, start=start)
        with torch.no_grad():
            shape = self.detecting.eval()(torch.zeros(1, 1, size, size, dtype=torch.uint8)).shape
            self.detecting.train()
        width, cells = int(shape[1]), int(shape[2])
        self.box = nn.Sequential(nn.Conv2d(width, 32, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * cells**2, 4))
        self.posing = Features(backbone, 1, start=start)
        self.map_side = size // 4
        layers: list[nn.Module] = []
        channels = width
        while cells < self.map_side:
            cells = min(2 * cells, self.map_side)
            layers += [
                nn.Upsample(size=(cells, cells), mode="nearest"),
                nn.Conv2d(channels, 64, 3, padding=1, bias=False),
                nn.BatchNorm2d(64),
                nn.ReLU(),
            ]
            channels = 64
        self.heat = nn.Sequential(*layers, nn.Conv2d(channels, len(KEY_POINTS), 1))
        self.reading = Features(backbone, 1, start=start)
        self.of_heat = nn.Sequential(
            nn.Conv2d(len(KEY_POINTS), 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
        )
        self.joined = nn.Sequential(
            nn.Conv2d(width + 128, 256, 3, padding=1, bias=False), nn.BatchNorm2d(256), nn.ReLU()
        )
        self.head = Head(256, (256,), dropout=0.2)

    def predict_all(self, views: Tensor, sex: Tensor | None, truth: TruthTargets | None = None) -> tuple[Tensor, ...]:
        """Box, crop, heat maps and ages.

        Args:
            truth: its box and key points replace the network's own (in the first half of the training).

        Returns:
            The box float32 [n, 4] as fractions of the view's side, the square crop around it float32 [n, 4] in the
            same units, heat maps of the crop float32 [n, 19, S / 4, S / 4], months float32 [n].
        """
        image = views.float()
        box = self.box(self.detecting(F.avg_pool2d(image, SCALE))).float() + torch.tensor(
            [0.0, 0.0, 1.0, 1.0], device=image.device
        )
        square = _enclose_box(box.detach() if truth is None else truth.box)
        hand = crop(image, square[:, None], self.size)
        heat = self.heat(self.posing(hand)).float()
        shown = heat.detach()
        if truth is not None:
            shown = draw_heat_maps(points_to_crop(truth.points, square), self.map_side, _SD)
        features = self.reading(hand)
        of_heat = F.adaptive_max_pool2d(self.of_heat(shown), list(features.shape[2:]))
        months = self.head(self.joined(torch.cat([features, of_heat], 1)).mean(dim=(2, 3)), sex)
        return box, square, heat, months

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        return self.predict_all(views, sex)[3]


def _enclose_box(box: Tensor) -> Tensor:
    """The square around a box with a margin, float32 [n, 4]; a box with crossed edges counts as a small one."""
    low, high = box[:, :2], box[:, 2:]
    center, extent = (low + high) / 2, (high - low).clamp(min=0.2) * (1.0 + _MARGIN)
    return enclose_in_square(torch.cat([center - extent / 2, center + extent / 2], 1))


def points_to_crop(points: Tensor, crop: Tensor) -> Tensor:
    """Points [n, p, 2] of a view as fractions of a square crop [n, 4] of it: float32 [n, p, 2]."""
    return (points - crop[:, None, :2]) / (crop[:, None, 2:] - crop[:, None, :2])


class PosedLearner(BaselineLearner):
    """L1 of the months, L1 of the box, squared error of the heat maps."""

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        truth = TruthTargets.unpack(batch.targets)
        uses_truth = self.current_epoch < self.schedule.epochs // 2
        box, square, heat, months = network.predict_all(  # type: ignore[operator]
            batch.views, batch.sex, truth if uses_truth else None
        )
        true_heat = draw_heat_maps(points_to_crop(truth.points, square), heat.shape[-1], _SD)
        # All terms have the scale of months: the gradient is clipped as a whole, and each term keeps a share of it.
        of_box, of_heat = (box - truth.box).abs().mean(), (heat - true_heat).square().mean()
        total: Tensor = self.age_loss(months, batch.age_months) + 100.0 * of_box + 1000.0 * of_heat
        return total


ESCOBAR_2019 = Baseline(
    name="escobar-2019",
    citation="Escobar et al., Hand pose estimation for pediatric bone age assessment (BoNet), MICCAI 2019, LNCS "
    "11769, 531-539",
    differs="Box, heat maps and age are learned at once, with no gradient between them, instead of one after the "
    "other; the "
    "age network sees true boxes and heat maps in the first half of the epochs and the found ones later. The detector"
    " is a regression of one box by the given backbone instead of a Faster R-CNN, the heat maps come from the "
    "backbone with upsampling (as Xiao et al., ECCV 2018), and the branches join at the backbone's last map, where "
    "theirs joined within Inception-v3. 19 key points of the phantoms stand for those of RHPE. It runs the backbone "
    "three times.",
    sources=(ViewSource(View.O),),
    build=PosedNetwork,
    needs=frozenset({"box", "key_points"}),
    scale=SCALE,
    data=TruthData,
    make_learner=PosedLearner,
)
