"""One network from film to age: it finds hand and regions and answers, and all of it learns from ages alone.

The paper trains localizers and regressor one after the other and leaves joining them to future work. Here an early
backbone gives every cell of the film's map an age of its own, three attentions over the cells give a box each (mean
place and spread), the boxes are cut out differentiably, and one backbone reads the three cuts. So the age loss moves
the boxes, too. Boxes are never shown to it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from boneage.errors import UsageError
from boneage.regions import Box, Region
from boneage.research.networks.crops import cropped, square
from boneage.training.data.views_data import Example
from boneage.training.networks.losses import distribution_loss, expectation, soft_label
from boneage.training.networks.networks import CLASSES, AgeRegressor, Features
from boneage.training.recipes.settings import Backbone, RegressorSettings, Schedule
from boneage.training.run.learner import Learner
from boneage.views import Frame, ImageArray, whole

_REGIONS = len(Region)
_NOWHERE = -20.0
"""Added to an attention's score, it ends it."""


@dataclass(frozen=True)
class EndToEndSettings:
    """The end-to-end network and how it learns.

    Attributes:
        backbone: of the age network, which reads the three cuts; its first stages find them.
        view_size: side in pixels of the film's view (view O) that comes in; a multiple of 16.
        size: side of a cut, pixels.
        early_stages: stages of the backbone that find the regions: few, so that a cell sees a joint and not the hand;
            three have stride 8 in most of timm's networks.
        channels: of the map in which they are found.
        sex: widths of the sex embedding, () for none.
        smallest, largest: a side of region 1 or 2 as a fraction of the hand's.
        least_hand: least side of the hand's box as a fraction of the view's.
        pull: factor on the gradient by which the age loss moves the boxes through their cuts: gentle, since it is
            noise until the age network can read something.
        temperature: of the attentions for hand, region 1 and region 2, nats: how much worse a place may tell the age
            and still be looked at. High for the hand, which is all that tells anything; low for the joints.
        kl_weight, label_sd, label_width: as in `RegressorSettings` and `LocalizerSettings`.
        auxiliary: weight of phase I's loss on what the attentions gather.
        apart: weight of the term that keeps the cuts of regions 1 and 2 apart.
    """

    backbone: Backbone = field(default_factory=Backbone)
    view_size: int = 224
    size: int = 112
    early_stages: int = 3
    channels: int = 64
    dropout: float = 0.2
    sex: tuple[int, ...] = (32,)
    smallest: float = 0.2
    largest: float = 0.55
    min_hand_probability: float = 0.5
    pull: float = 0.1
    temperature: tuple[float, float, float] = (0.1, 0.05, 0.05)
    kl_weight: float = 0.5
    label_sd: float = 15.0
    label_width: float = 50.0
    auxiliary: float = 10.0
    apart: float = 10.0
    average_mirror: bool = True
    schedule: Schedule = field(default_factory=Schedule)


class Found(NamedTuple):
    """What the end-to-end network says of n views.

    Attributes:
        logits: float32 [n, 240].
        boxes: float32 [n, 3, 4]: hand, region 1, region 2 as (x0, y0, x1, y1), fractions of the view's side.
        crops: float32 [n, 3, 4]: the squares that are cut for them, in the same units.
        attention: float32 [n, 3, m, m], each map sums to 1.
        places: float32 [n, 240, m, m]: class scores of each cell.
    """

    logits: Tensor
    boxes: Tensor
    crops: Tensor
    attention: Tensor
    places: Tensor


class EndToEnd(nn.Module):
    """`forward`: views uint8 [n, 1, V, V] (view O), sex float32 [n, 1] (+1 male, -1 female) -> logits [n, 240].

    Raises:
        UsageError: `view_size` is no multiple of 16, or a temperature is not positive.
    """

    def __init__(self, settings: EndToEndSettings, *, start: str = "none") -> None:
        super().__init__()
        if settings.view_size % 16:
            raise UsageError(f"view_size={settings.view_size} is no multiple of 16. Give one that is, such as 224.")
        if min(settings.temperature) <= 0:
            raise UsageError(f"temperature={settings.temperature}: give three numbers above 0.")
        self.settings = settings
        early = dataclasses.replace(settings.backbone, stages=settings.early_stages, output_stride=None)
        # Borders would light up otherwise, and draw the boxes to them.
        self.locator = Features(dataclasses.replace(early, border="reflect"), 1, start=start)
        self.tail = nn.Sequential(
            nn.Conv2d(self.locator.out_channels, settings.channels, 1, bias=False),
            nn.BatchNorm2d(settings.channels),
            nn.ReLU(),
        )
        self.ages = nn.Conv2d(settings.channels, CLASSES, 1)
        self.attention = nn.Conv2d(settings.channels, _REGIONS, 1)
        # All places start alike: chance would draw the boxes somewhere before anything is known, and they would stay.
        for layer in (self.ages, self.attention):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        # A box over which evidence is spread evenly is sqrt(12) standard deviations wide.
        self.log_gain = nn.Parameter(torch.zeros(_REGIONS))
        self.regressor = AgeRegressor(
            RegressorSettings(
                views=("H", "R1", "R2"),
                size=settings.size,
                backbone=settings.backbone,
                fusion="shared",
                dropout=settings.dropout,
                sex=settings.sex,
            ),
            start=start,
        )

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        return self.found(views, sex).logits

    def found(self, views: Tensor, sex: Tensor | None = None) -> Found:
        """The answer with where it was found."""
        features = self.tail(self.locator(views))
        places = self.ages(features).float()
        # How well a place tells the age, in nats: bounded, so that no attention runs away with a single place.
        worth = torch.tanh(self.attention(features).float())
        heat = torch.tensor(self.settings.temperature, device=features.device)
        scores = worth / heat[:, None, None]
        with torch.autocast(views.device.type, enabled=False):
            attention, boxes, crops = self._regions(scores)
        pulled = crops.detach() + self.settings.pull * (crops - crops.detach())
        cuts = cropped(views.float(), pulled, self.settings.size, finer=2)
        return Found(self.regressor(cuts, sex), boxes, crops, attention, places)

    def _regions(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        settings, cells = self.settings, scores.shape[-1]
        at = (torch.arange(cells, device=scores.device, dtype=torch.float32) + 0.5) / cells
        y, x = torch.meshgrid(at, at, indexing="ij")
        where = torch.stack([x.flatten(), y.flatten()], 1)
        gain = math.sqrt(12.0) * self.log_gain.exp()
        # What convolutions made up beyond the view's edge tells ages by chance, too.
        edge = torch.zeros_like(at)
        edge[0] = edge[-1] = _NOWHERE
        scores = scores + edge[:, None] + edge[None, :]

        hand = torch.softmax(scores[:, :1].flatten(2), 2)
        center, spread = _mean_and_spread(hand, where)
        extent = (gain[0] * spread).clamp(settings.min_hand_probability, 1.0)
        hand_side = extent.amax(2, keepdim=True)

        # Regions are looked for in the hand's cut: cells outside it fade.
        outside = ((where[None, None] - center[:, :, None]).abs() / (hand_side[:, :, None] / 2)).amax(3) - 0.9
        inner = torch.softmax(scores[:, 1:].flatten(2) + _NOWHERE * outside.clamp(min=0.0), 2)
        inner_center, inner_spread = _mean_and_spread(inner, where)
        share = gain[1:, None] * inner_spread / hand_side
        low, high = settings.smallest, settings.largest
        share = low + (high - low) * torch.sigmoid(4.0 * (share - (low + high) / 2) / (high - low))
        inner_extent = share * hand_side
        room = (hand_side - inner_extent.amax(2, keepdim=True)) / 2
        inner_center = torch.minimum(torch.maximum(inner_center, center - room), center + room)

        attention = torch.cat([hand, inner], 1).reshape(scores.shape)
        centers, extents = torch.cat([center, inner_center], 1), torch.cat([extent, inner_extent], 1)
        boxes = torch.cat([centers - extents / 2, centers + extents / 2], 2)
        return attention, boxes, square(boxes)


def _mean_and_spread(weights: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Mean place and standard deviation along x and y of weights [n, k, cells] over places [cells, 2]: [n, k, 2]."""
    mean = weights @ where
    variance = weights @ where.square() - mean.square()
    # Of one cell alone it would be 0, where the root has no slope.
    within_cell = 1.0 / (12.0 * where.shape[0])
    return mean, (variance + within_cell).clamp(min=1e-6).sqrt()


def places_loss(found: Found, age_months: Tensor, temperature: tuple[float, ...], width: float = 50.0) -> Tensor:
    """Phase I's loss of what each attention gathers, and the attention's free energy.

    A cell c errs by l_c, the cross entropy of its scores with the normalised soft label (Eq. 5). An attention p pays
    sum p l + T sum p ln p, which is least at p ~ exp(-l / T): it looks where a place alone tells the age. On top, the
    scores gathered by p are held against the same label, as phase I does with pooled ones.

    Args:
        found: of n views.
        age_months: float [n].
        temperature: T of each attention, nats.
        width: l of Eq. 5, months.

    Returns:
        float32 [], nats.
    """
    label = soft_label(age_months, width)
    label = label / label.sum(1, keepdim=True)
    log_p = torch.log_softmax(found.places.flatten(2), 1)
    errors = -(label[:, :, None] * log_p).sum(1)
    attention = found.attention.flatten(2)
    heat = torch.tensor(temperature, device=errors.device)[None]
    entropy = -(attention * attention.clamp(min=1e-12).log()).sum(2)
    energy = (attention * errors[:, None]).sum(2) - heat * entropy
    gathered = torch.log_softmax(torch.einsum("ntc,nkc->nkt", found.places.flatten(2), attention), 2)
    pooled = -(label[:, None] * gathered).sum(2)
    return (energy + pooled).mean() + errors.mean()


def apart_loss(crops: Tensor, distance: float = 0.7) -> Tensor:
    """How much region 1 is not below region 2 by `distance` of their mean side, on average over the views: float32 [].

    Films show the fingers upwards; that is all it knows of anatomy, and what tells the two regions from each other.

    Args:
        crops: float32 [n, 3, 4], as in `Found`.
    """
    y = (crops[:, 1:, 1] + crops[:, 1:, 3]) / 2
    side = (crops[:, 1:, 3] - crops[:, 1:, 1]).mean(1)
    return (distance - (y[:, 0] - y[:, 1]) / side).clamp(min=0.0).mean()


def image_boxes(boxes: Tensor, image: ImageArray, *, squash: bool = False) -> dict[Region, Box]:
    """The boxes of one view O in pixels of its film: the inverse of how `boneage.views.cut` placed it, without jitter.

    Args:
        boxes: float [3, 4], fractions of the view's side, as in `Found`.
        film: uint8 [h, w], from which the view was cut.
        squash: as the view was cut.

    Returns:
        What of each box lies on the film; the whole film for a box that lies beside it.
    """
    frame, image_box = Frame.around(whole(image), 1, squash=squash), whole(image)
    found = {}
    for region, corners in zip(Region, boxes.detach().cpu().double().tolist(), strict=True):
        on_image = frame.to_image(Box(*corners)).within(image_box.x1, image_box.y1)
        found[region] = on_image or image_box
    return found


class EndToEndLearner(Learner):
    """Phase II's loss, phase I's as auxiliary, and the term that keeps the cuts apart; measured in months."""

    def __init__(self, network: EndToEnd, settings: EndToEndSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.settings = settings

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        settings = self.settings
        found: Found = network.found(batch.views, batch.sex)  # type: ignore[operator]
        age = distribution_loss(found.logits, batch.age_months, settings.kl_weight, settings.label_sd)
        places = places_loss(found, batch.age_months, settings.temperature, settings.label_width)
        return age + settings.auxiliary * places + settings.apart * apart_loss(found.crops)

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        months = expectation(network(batch.views, batch.sex))
        if self.settings.average_mirror:
            months = (months + expectation(network(batch.views.flip(3), batch.sex))) / 2
        return (months - batch.age_months).abs()
