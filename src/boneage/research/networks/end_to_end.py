"""One network from image to age: it learns hand, regions and age together, from ages alone.

The paper trains localizers and regressor one after the other and leaves joining them to future work. Here an early
backbone predicts an age in every cell of the image's map. Three attention maps over the cells give one box each (mean
position and spread). The boxes are cut out differentiably, and one backbone reads the three crops. So the age loss
moves the boxes as well. The network is never given a box.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from boneage.ages import LAST_MONTH
from boneage.errors import UsageError
from boneage.regions import Box, Region
from boneage.research.networks.cuts import crop, enclose_in_square
from boneage.training.data.views_data import Example
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.backbone import Features
from boneage.training.networks.losses import distribution_loss, expectation, soft_label
from boneage.training.recipes.settings import Backbone, RegressorSettings, Schedule
from boneage.training.run.learner import Learner
from boneage.views import Frame, ImageArray, whole

_REGIONS = len(Region)
_NOWHERE = -20.0
"""Added to the attention score of a cell, it leaves the cell no attention."""


@dataclass(frozen=True)
class EndToEndSettings:
    """The end-to-end network and how it learns.

    Attributes:
        backbone: of the age network, which reads the three crops; its first stages find them.
        view_size: side in pixels of view O, the input; a multiple of 16.
        size: side of a crop, pixels.
        early_stages: stages of the backbone that find the regions. They are few, so that a cell sees a joint and not
            the hand; three have stride 8 in most of timm's networks.
        channels: of the map in which the regions are found.
        sex: widths of the sex embedding, () for none.
        smallest, largest: side of region 1 or 2 as a fraction of the hand's.
        min_hand_side: smallest side of the hand's box as a fraction of the view's.
        box_gradient: factor on the gradient with which the age loss moves the boxes. It is small because that gradient
            is noise until the age network has learned something.
        temperature: of the attention maps for hand, region 1 and region 2, nats. The higher it is, the less a cell
            must contribute to the age to get attention: high for the hand, low for the joints.
        kl_weight, label_sd, label_width: as in `RegressorSettings` and `LocalizerSettings`.
        auxiliary: weight of `attention_loss`.
        separation: weight of `separation_loss`.
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
    min_hand_side: float = 0.5
    box_gradient: float = 0.1
    temperature: tuple[float, float, float] = (0.1, 0.05, 0.05)
    kl_weight: float = 0.5
    label_sd: float = 15.0
    label_width: float = 50.0
    auxiliary: float = 10.0
    separation: float = 10.0
    average_mirror: bool = True
    schedule: Schedule = field(default_factory=Schedule)


class EndToEndOutput(NamedTuple):
    """The output of the end-to-end network for n views.

    Attributes:
        logits: float32 [n, 240].
        boxes: hand, region 1, region 2 as (x0, y0, x1, y1), fractions of the view's side; float32 [n, 3, 4].
        crops: the squares that are cut around them, in the same units; float32 [n, 3, 4].
        attention: float32 [n, 3, m, m]; each map sums to 1.
        cell_scores: class scores of each cell, float32 [n, 240, m, m].
    """

    logits: Tensor
    boxes: Tensor
    crops: Tensor
    attention: Tensor
    cell_scores: Tensor


class EndToEnd(nn.Module):
    """`forward`: views uint8 [n, 1, V, V] (view O), sex float32 [n, 1] (+1 male, -1 female) -> logits [n, 240].

    Raises:
        UsageError: `view_size` is not a multiple of 16, or a temperature is not positive (`setting_out_of_range`).
    """

    def __init__(self, settings: EndToEndSettings, *, start: str = "none") -> None:
        super().__init__()
        if settings.view_size % 16:
            raise UsageError(
                f"view_size={settings.view_size}: give a multiple of 16, such as 224.", code="setting_out_of_range"
            )
        if min(settings.temperature) <= 0:
            raise UsageError(
                f"temperature={settings.temperature}: give three numbers above 0.", code="setting_out_of_range"
            )
        self.settings = settings
        early = dataclasses.replace(settings.backbone, stages=settings.early_stages, output_stride=None)
        # With zero padding the borders would get attention and draw the boxes to them.
        self.locator = Features(dataclasses.replace(early, border="reflect"), 1, start=start)
        self.tail = nn.Sequential(
            nn.Conv2d(self.locator.out_channels, settings.channels, 1, bias=False),
            nn.BatchNorm2d(settings.channels),
            nn.ReLU(),
        )
        self.ages = nn.Conv2d(settings.channels, LAST_MONTH, 1)
        self.attention = nn.Conv2d(settings.channels, _REGIONS, 1)
        # All cells start alike. From random weights the boxes would go to a random place and stay there.
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
        return self.locate(views, sex).logits

    def locate(self, views: Tensor, sex: Tensor | None = None) -> EndToEndOutput:
        """The age with the boxes, crops and attention maps behind it; arguments as for `forward`."""
        features = self.tail(self.locator(views))
        cell_scores = self.ages(features).float()
        # Bounded, so that attention cannot collapse onto a single cell.
        worth = torch.tanh(self.attention(features).float())
        heat = torch.tensor(self.settings.temperature, device=features.device)
        scores = worth / heat[:, None, None]
        with torch.autocast(views.device.type, enabled=False):
            attention, boxes, crops = self._find_boxes(scores)
        moved = crops.detach() + self.settings.box_gradient * (crops - crops.detach())
        cuts = crop(views.float(), moved, self.settings.size, finer=2)
        return EndToEndOutput(
            logits=self.regressor(cuts, sex), boxes=boxes, crops=crops, attention=attention, cell_scores=cell_scores
        )

    def _find_boxes(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        settings, cells = self.settings, scores.shape[-1]
        at = (torch.arange(cells, device=scores.device, dtype=torch.float32) + 0.5) / cells
        y, x = torch.meshgrid(at, at, indexing="ij")
        where = torch.stack([x.flatten(), y.flatten()], 1)
        gain = math.sqrt(12.0) * self.log_gain.exp()
        # Cells at the edge depend on padding, which can predict ages by chance.
        edge = torch.zeros_like(at)
        edge[0] = edge[-1] = _NOWHERE
        scores = scores + edge[:, None] + edge[None, :]

        hand = torch.softmax(scores[:, :1].flatten(2), 2)
        center, spread = _measure_spread(hand, where)
        extent = (gain[0] * spread).clamp(settings.min_hand_side, 1.0)
        hand_side = extent.amax(2, keepdim=True)

        # Regions lie in the hand's crop: cells outside it lose their attention.
        outside = ((where[None, None] - center[:, :, None]).abs() / (hand_side[:, :, None] / 2)).amax(3) - 0.9
        inner = torch.softmax(scores[:, 1:].flatten(2) + _NOWHERE * outside.clamp(min=0.0), 2)
        inner_center, inner_spread = _measure_spread(inner, where)
        share = gain[1:, None] * inner_spread / hand_side
        low, high = settings.smallest, settings.largest
        share = low + (high - low) * torch.sigmoid(4.0 * (share - (low + high) / 2) / (high - low))
        inner_extent = share * hand_side
        room = (hand_side - inner_extent.amax(2, keepdim=True)) / 2
        inner_center = torch.minimum(torch.maximum(inner_center, center - room), center + room)

        attention = torch.cat([hand, inner], 1).reshape(scores.shape)
        centers, extents = torch.cat([center, inner_center], 1), torch.cat([extent, inner_extent], 1)
        boxes = torch.cat([centers - extents / 2, centers + extents / 2], 2)
        return attention, boxes, enclose_in_square(boxes)


def _measure_spread(weights: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation along x and y of weights [n, k, cells] over positions [cells, 2]: both [n, k, 2]."""
    mean = weights @ where
    variance = weights @ where.square() - mean.square()
    # Of one cell alone the variance would be 0, where the root has no gradient.
    within_cell = 1.0 / (12.0 * where.shape[0])
    return mean, (variance + within_cell).clamp(min=1e-6).sqrt()


def attention_loss(
    output: EndToEndOutput, age_months: Tensor, temperature: tuple[float, ...], width: float = 50.0
) -> Tensor:
    """The free energy of the attention maps, and phase I's loss of the scores that they pool.

    The error l_c of a cell c is the cross entropy of its scores with the normalised soft label (Eq. 5). The energy of
    an attention map p is sum p l + T sum p ln p. It is least at p ~ exp(-l / T), that is where cells predict the age
    well. The scores pooled by p are compared with the same label, as in phase I.

    Args:
        output: of n views.
        age_months: float [n].
        temperature: T of each attention map, nats.
        width: l of Eq. 5, months.

    Returns:
        float32 [], nats.
    """
    label = soft_label(age_months, width)
    label = label / label.sum(1, keepdim=True)
    log_p = torch.log_softmax(output.cell_scores.flatten(2), 1)
    errors = -(label[:, :, None] * log_p).sum(1)
    attention = output.attention.flatten(2)
    heat = torch.tensor(temperature, device=errors.device)[None]
    entropy = -(attention * attention.clamp(min=1e-12).log()).sum(2)
    energy = (attention * errors[:, None]).sum(2) - heat * entropy
    pooled_log_p = torch.log_softmax(torch.einsum("ntc,nkc->nkt", output.cell_scores.flatten(2), attention), 2)
    pooled = -(label[:, None] * pooled_log_p).sum(2)
    return (energy + pooled).mean() + errors.mean()


def separation_loss(crops: Tensor, distance: float = 0.7) -> Tensor:
    """How far region 1 is from lying `distance` mean sides below region 2, on average over the views: float32 [].

    Images show the fingers at the top. This term is what distinguishes the two regions.

    Args:
        crops: float32 [n, 3, 4], as in `EndToEndOutput`.
    """
    y = (crops[:, 1:, 1] + crops[:, 1:, 3]) / 2
    side = (crops[:, 1:, 3] - crops[:, 1:, 1]).mean(1)
    return (distance - (y[:, 0] - y[:, 1]) / side).clamp(min=0.0).mean()


def boxes_on_image(boxes: Tensor, image: ImageArray, *, squash: bool = False) -> dict[Region, Box]:
    """The boxes of one view O in pixels of its image: the inverse of `boneage.views.cut` without augmentation.

    Args:
        boxes: float [3, 4], fractions of the view's side, as in `EndToEndOutput`.
        image: uint8 [h, w], from which the view was cut.
        squash: whether the view ignores the aspect ratio.

    Returns:
        The part of each box that lies on the image; the whole image for a box that lies beside it.
    """
    frame, image_box = Frame.around(whole(image), 1, squash=squash), whole(image)
    placed = {}
    for region, corners in zip(Region, boxes.detach().cpu().double().tolist(), strict=True):
        on_image = frame.to_image(Box(*corners)).within(image_box.x1, image_box.y1)
        placed[region] = on_image or image_box
    return placed


class EndToEndLearner(Learner):
    """Phase II's loss, `attention_loss` and `separation_loss`; measured by the absolute error in months."""

    def __init__(self, network: EndToEnd, settings: EndToEndSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)
        self.settings = settings

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        settings = self.settings
        output: EndToEndOutput = network.locate(batch.views, batch.sex)  # type: ignore[operator]
        age = distribution_loss(output.logits, batch.age_months, kl_weight=settings.kl_weight, sd=settings.label_sd)
        attention = attention_loss(
            output, batch.age_months, temperature=settings.temperature, width=settings.label_width
        )
        return age + settings.auxiliary * attention + settings.separation * separation_loss(output.crops)

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        months = expectation(network(batch.views, batch.sex))
        if self.settings.average_mirror:
            months = (months + expectation(network(batch.views.flip(3), batch.sex))) / 2
        return (months - batch.age_months).abs()
