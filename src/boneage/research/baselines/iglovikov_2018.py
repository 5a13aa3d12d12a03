"""Iglovikov et al. 2018: a mask, key points, and three regions in a registered frame with one network each."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boneage.errors import UsageError
from boneage.research.baselines.baseline import Baseline, BaselineLearner, Head
from boneage.research.baselines.map_networks import SmallUNet
from boneage.research.baselines.sources import KEY_POINTS, TruthData, TruthTargets
from boneage.research.networks.cuts import warp
from boneage.training.data.views_data import Example, ViewSource
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import Backbone
from boneage.views import View

SCALE: Final = 2
_TIP, _CAPITATE, _THUMB = (KEY_POINTS.index(name) for name in ("DP3_head", "capitate", "DP1_head"))
_FRAMES: Final = ((0.45, 1.4), (-0.08, 0.66), (0.4, 0.76))
"""Whole hand, carpus, metacarpals with proximal phalanges: (centre, side) along the line from the capitate (0) to the
fingertip (1), in lengths of that line."""


def register_hand(points: Tensor) -> Tensor:
    """The frames of the three regions in a registered hand.

    Rotation, scale and shift bring the capitate and the tip of the middle finger to fixed places. A hand whose thumb
    lies to the left of the line between them is mirrored, so that every thumb lies to the right.

    Args:
        points: float32 [n, 3, 2]: tip of the middle finger, centre of the capitate, tip of the thumb; (x, y) as
            fractions of the view's side.

    Returns:
        float32 [n, 3, 2, 3] for `boneage.research.networks.cuts.warp`.
    """
    tip, capitate, thumb = points[:, 0], points[:, 1], points[:, 2]
    up = tip - capitate
    # Key points at the same place would give a frame without extent.
    length = up.norm(dim=1, keepdim=True).clamp(min=0.05)
    up = torch.where(up.norm(dim=1, keepdim=True) < 0.05, up.new_tensor([0.0, -1.0]) * length, up)
    right = torch.stack([-up[:, 1], up[:, 0]], 1)
    side = torch.where(((thumb - capitate) * right).sum(1, keepdim=True) < 0, -1.0, 1.0)
    frames = []
    for center, extent in _FRAMES:
        middle = 2.0 * (capitate + center * up) - 1.0
        frames.append(torch.stack([extent * side * right, -extent * up, middle], 2))
    return torch.stack(frames, 1)


class RegisteredNetwork(nn.Module):
    """`forward`: views uint8 [n, 1, 2 S, 2 S] (view O), sex float32 [n, 1] -> months float32 [n], the regions' mean.

    Mask, key points and ages are learned at the same time, each from its own label. No gradient of the age reaches mask
    and key points.
    """

    _STRIDE = 4

    def __init__(self, backbone: Backbone, size: int, start: str) -> None:
        super().__init__()
        if size % 8:
            raise UsageError(
                f"iglovikov-2018 needs a size that is a multiple of 8, not {size}.", code="setting_out_of_range"
            )
        self.size = size
        self.masks = SmallUNet()
        self.pointing = Features(backbone, 1, start=start)
        with torch.no_grad():
            shape = self.pointing.eval()(torch.zeros(1, 1, size, size, dtype=torch.uint8)).shape
            self.pointing.train()
        narrow = 32
        self.points = nn.Sequential(
            nn.Conv2d(int(shape[1]), narrow, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(narrow * int(shape[2]) * int(shape[3]), 256),
            nn.ReLU(),
            nn.Linear(256, 6),
        )
        self.readers = nn.ModuleList(Features(backbone, 1, start=start) for _ in _FRAMES)
        width = self.pointing.out_channels
        self.heads = nn.ModuleList(Head(width, (256,), dropout=0.2) for _ in _FRAMES)

    def predict_all(
        self, views: Tensor, sex: Tensor | None, truth: TruthTargets | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mask, key points and ages.

        Args:
            truth: its mask and key points replace the network's own (in the first half of the training).

        Returns:
            Mask logits float32 [n, 1, S / 2, S / 2], key points float32 [n, 3, 2] as fractions of the view's side, and
            months float32 [n, 3] of the regions.
        """
        image = views.float()
        logits = self.masks(F.avg_pool2d(image, self._STRIDE) / 128.0 - 1.0)
        small = F.avg_pool2d(image, SCALE)
        points = self.points(self.pointing(small)).float().reshape(-1, 3, 2) + 0.5
        mask, where = torch.sigmoid(logits.float()).detach(), points.detach()
        if truth is not None:
            mask, where = truth.mask, truth.points[:, [_TIP, _CAPITATE, _THUMB]]
        hand = image * F.interpolate(mask, scale_factor=float(self._STRIDE), mode="bilinear", align_corners=False)
        cuts = warp(hand, register_hand(where), self.size)
        months = [
            head(reader(cuts[:, k : k + 1]).mean(dim=(2, 3)), sex)
            for k, (reader, head) in enumerate(zip(self.readers, self.heads, strict=True))
        ]
        return logits, points, torch.stack(months, 1)

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        return self.predict_all(views, sex)[2].mean(dim=1)


class RegisteredLearner(BaselineLearner):
    """L1 of each region's months, cross entropy and Dice of the mask, squared error of the key points."""

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        truth = TruthTargets.unpack(batch.targets)
        uses_truth = self.current_epoch < self.schedule.epochs // 2
        logits, points, months = network.predict_all(  # type: ignore[operator]
            batch.views, batch.sex, truth if uses_truth else None
        )
        logits = logits.float()
        mask = F.binary_cross_entropy_with_logits(logits, truth.mask) + dice_loss(logits, truth.mask)
        true_points = truth.points[:, [_TIP, _CAPITATE, _THUMB]]
        # All terms have the scale of months: the gradient is clipped as a whole, and each term keeps a share of it.
        of_regions = [self.age_loss(of_region, batch.age_months) for of_region in months.unbind(1)]
        of_points = (points - true_points).square().mean()
        total: Tensor = torch.stack(of_regions).sum() + 10.0 * mask + 1000.0 * of_points
        return total


def dice_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """1 - 2 |A B| / (|A| + |B|) of soft masks [n, 1, m, m], mean over n: float32 []."""
    found = torch.sigmoid(logits)
    both, all_ = (found * mask).sum((1, 2, 3)), (found + mask).sum((1, 2, 3))
    return (1.0 - (2.0 * both + 1.0) / (all_ + 1.0)).mean()


IGLOVIKOV_2018 = Baseline(
    name="iglovikov-2018",
    citation="Iglovikov et al., Paediatric bone age assessment using deep convolutional neural networks, DLMIA 2018, "
    "LNCS "
    "11045, 300-308",
    differs="Mask, key points and regions are learned at once, with no gradient between them, instead of one after "
    "the other; "
    "the age networks see the true mask and key points in the first half of the epochs and the found ones later. "
    "Regression only (theirs also classified), one network a region for both sexes with the sex as an input (theirs "
    "had some for each sex). The key point network is the given backbone instead of a VGG. The size of the regions in "
    "the registered frame is ours. It runs the backbone four times, so it costs about four times as much as a "
    "whole-image baseline.",
    sources=(ViewSource(View.O),),
    build=RegisteredNetwork,
    needs=frozenset({"mask", "key_points"}),
    scale=SCALE,
    data=TruthData,
    make_learner=RegisteredLearner,
)
