"""How the gate learns, from the training films alone: they are turned, inverted, cut and spoiled at random."""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from boneage.pipeline.gate import KINDS
from boneage.pipeline.localization import Localization
from boneage.radiograph import WINDOW_PERCENTILES
from boneage.regions import Region
from boneage.training.data.views_data import Example, Key, ViewsData
from boneage.training.gate.negatives import Picture, Rng, blurred_away, draw_negative, shuffled
from boneage.training.networks.networks import Features
from boneage.training.recipes.settings import GateSettings
from boneage.training.run.learner import Learner
from boneage.views import GeometricAugmentation, ImageArray, cut, whole

HAND, NEGATIVE, TWO, CUT_OFF, EXPOSURE = range(len(KINDS))
_SHARES: Final = (0.55, 0.18, 0.08, 0.1, 0.09)
_SIDE: Final = 224
"""Long side of a film while it is changed: a little finer than what the gate sees."""
_LEAST_HANDS: Final = 50
"""Examples, at least, from which the network learns what hands look like."""
_UPRIGHT_SHARE: Final = 0.4
"""Most films arrive upright."""


class GateNetwork(nn.Module):
    """`forward`: uint8 [n, 1, S, S] -> (kinds logits [n, 5], pose [n, 2], inverted logit [n], features [n, C])."""

    def __init__(self, settings: GateSettings, *, start: str = "none") -> None:
        super().__init__()
        self.features = Features(settings.backbone, 1, start=start)
        width = self.features.out_channels
        self.answer = nn.Linear(width, len(KINDS) + 3)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("whitening", torch.zeros(width, width))

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = self.features(view).mean(dim=(2, 3))
        said = self.answer(features)
        return said[:, : len(KINDS)], said[:, -3:-1], said[:, -1], features

    def knows(self, features: Tensor) -> None:
        """Learn what hands look like: float32 [n, C] of the features of many of them."""
        features = features.double()
        centre = features.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(features.T))
        # Directions in which hands hardly vary would make everything odd.
        scale = values.clamp(min=max(float(values.max()) * 1e-3, 1e-12)).rsqrt()
        self.centre.copy_(centre)  # type: ignore[operator]
        self.whitening.copy_(vectors * scale)  # type: ignore[operator]

    def ood_score(self, features: Tensor) -> Tensor:
        """Mean squared whitened distance from the centre of hands: float32 [n]."""
        whitened: Tensor = (features - self.centre) @ self.whitening  # type: ignore[operator]
        return whitened.square().mean(dim=1)


class GatePort(nn.Module):
    """The gate as it is exported: probabilities instead of logits; see `boneage.pipeline.gate.Gate`."""

    OUTPUTS = ("kinds", "pose", "inverted", "ood_score")

    def __init__(self, network: GateNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, view: Tensor) -> tuple[Tensor, ...]:
        kinds, pose, inverted, features = self.network(view)
        return torch.softmax(kinds, dim=1), pose, torch.sigmoid(inverted), self.network.ood_score(features)


class GateData(ViewsData):
    """Films that were turned, inverted, cut and spoiled; `targets` float32 [4]: kind, cosine, sine, inverted.

    Where the turn means nothing (foreign pictures) cosine and sine are 0.
    """

    def __getitem__(self, key: Key | int) -> Example:
        epoch, index, size = key if isinstance(key, tuple) else (0, key, self.size)
        rng = np.random.default_rng([self.seed, epoch, index])
        case, other = self.cases[index], self.cases[int(rng.integers(len(self.cases)))]
        kind = int(rng.choice(len(KINDS), p=_SHARES))
        picture = self._picture(kind, case.id, other.id, rng)
        view, degrees, inverted = photographed(picture, size, rng)
        pose = (0.0, 0.0) if kind == NEGATIVE else (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
        return Example(
            torch.from_numpy(view[None].copy()),
            torch.tensor(case.age_months, dtype=torch.float32),
            torch.tensor([case.sex.sign], dtype=torch.float32),
            torch.tensor([kind, *pose, inverted], dtype=torch.float32),
        )

    def _picture(self, kind: int, case_id: str, other_id: str, rng: Rng) -> Picture:
        image, scale = _small(self.images.image(case_id))
        found = self.regions_of(case_id, None).scaled(scale, scale)
        if kind == NEGATIVE:
            drawn = rng.random()
            if drawn < 0.12:
                return shuffled(rng, image)
            if drawn < 0.2:
                return blurred_away(rng, image)
            return draw_negative(rng, _SIDE)
        if kind == TWO:
            return side_by_side(image, _small(self.images.image(other_id))[0], rng)
        if kind == CUT_OFF and Region.REGION_1 in found.boxes:
            return cut_off(image, found, rng)
        picture = trimmed(image, found, rng)
        return unreadable(picture, rng) if kind == EXPOSURE else picture


def _small(image: ImageArray) -> tuple[Picture, float]:
    """A film of `_SIDE` pixels, float32 in [0, 1], and its scale."""
    scale = _SIDE / max(image.shape)
    size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
    shrunk = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(shrunk, dtype=np.float32) / np.float32(255), scale


def trimmed(image: Picture, found: Localization, rng: Rng) -> Picture:
    """A film with less of a border, as far as its regions stay on it."""
    height, width = image.shape
    boxes = [box for region, box in found.boxes.items() if region is not Region.HAND] or list(found.boxes.values())
    reach = 0.1 * rng.random() if rng.random() < 0.5 else 0.0
    x0, y0 = (int(reach * side * rng.random()) for side in (width, height))
    x1, y1 = (side - int(reach * side * rng.random()) for side in (width, height))
    for box in boxes:
        x0, y0 = min(x0, int(box.x0)), min(y0, int(box.y0))
        x1, y1 = max(x1, math.ceil(box.x1)), max(y1, math.ceil(box.y1))
    return image[max(0, y0) : y1, max(0, x0) : x1]


def cut_off(image: Picture, found: Localization, rng: Rng) -> Picture:
    """A film that ends within the upper part of region 1, or above it; once in a while it begins below it."""
    box = found.boxes[Region.REGION_1]
    if rng.random() < 0.15:
        below = int(box.y0 + rng.uniform(0.75, 1.0) * box.height)
        if image.shape[0] - below > 20:
            return image[below:]
    end = int(box.y0 + rng.uniform(-0.5, 0.3) * box.height)
    return image[: max(24, end)]


def side_by_side(image: Picture, other: Picture, rng: Rng) -> Picture:
    """Two hands on one film: the second is mirrored, as the other hand would be."""
    height = image.shape[0]
    width = max(8, round(other.shape[1] * height / other.shape[0]))
    second = np.asarray(Image.fromarray(other[:, ::-1]).resize((width, height), Image.Resampling.BILINEAR))
    if rng.random() < 0.5:
        second = image[:, ::-1]
    return np.concatenate([image, second] if rng.random() < 0.5 else [second, image], axis=1)


def unreadable(image: Picture, rng: Rng) -> Picture:
    """Burnt out, sunk into black, drowned in noise, or of a handful of gray values."""
    how = rng.integers(4)
    if how == 0:
        return np.asarray(np.clip(image * rng.uniform(8, 40), 0, 1), dtype=np.float32)
    if how == 1:
        level = float(np.percentile(image, rng.uniform(98.0, 99.7)))
        return np.asarray(np.clip((image - level) * 8, 0, 1), dtype=np.float32)
    if how == 2:
        return np.asarray(image * rng.uniform(0.02, 0.25) + rng.normal(0, 0.35, image.shape), dtype=np.float32)
    few = np.round(image * 1.49) / 1.49 if rng.random() < 0.5 else image > rng.uniform(0.15, 0.7)
    return np.asarray(few, dtype=np.float32)


def photographed(picture: Picture, size: int, rng: Rng) -> tuple[npt.NDArray[np.uint8], float, float]:
    """A picture as it may arrive: another gray scale, noise, borders, markers, JPEG, inverted, mirrored, turned.

    Returns:
        View uint8 [size, size], degrees counter-clockwise by which it was turned, and 1.0 where it was inverted.
    """
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < 0.7:
        bent = np.clip(picture, 0, 1) ** math.exp(rng.uniform(-0.7, 0.7))
        bent = (bent - 0.5) * rng.uniform(0.6, 1.6) + 0.5 + rng.uniform(-0.2, 0.2)
        picture = np.asarray(np.clip(bent, 0, 1), dtype=np.float32)
    if rng.random() < 0.3:
        picture = np.asarray(picture + rng.normal(0, rng.uniform(0, 0.1), picture.shape), dtype=np.float32)
    picture = picture.copy()
    if rng.random() < 0.35:
        _mark(picture, rng)
    if rng.random() < 0.25:
        reach = [int(rng.uniform(0, 0.3) * _SIDE) for _ in range(4)]
        ground = float(rng.choice([0.0, 0.0, rng.random()]))
        picture = np.pad(picture, (reach[:2], reach[2:]), constant_values=ground)
    low, high = np.percentile(picture, WINDOW_PERCENTILES)
    gray: ImageArray = np.asarray(np.clip((picture - low) / max(high - low, 1e-3), 0, 1) * 255, dtype=np.uint8)
    if rng.random() < 0.25:
        gray = _recoded(gray, rng)
    inverted = bool(rng.random() < 0.3)
    early = bool(rng.random() < 0.5)
    if inverted and early:
        gray = 255 - gray
    degrees = float(rng.normal(0, 10) if rng.random() < _UPRIGHT_SHARE else rng.uniform(-180, 180))
    if rng.random() < 0.2:
        degrees = float(rng.choice([-90, 90, 180]) + rng.normal(0, 6))
    zoom = math.exp(rng.uniform(-0.15, 0.15)) * (1.0 if rng.random() < 0.6 else rng.uniform(0.62, 1.0))
    shift_x, shift_y = (float(shift) for shift in rng.uniform(-0.06, 0.06, 2))
    look = GeometricAugmentation(degrees, zoom, shift_x, shift_y)
    view = cut(np.ascontiguousarray(gray), whole(gray), size, augmentation=look)
    if inverted and not early:
        view = 255 - view
    return view, degrees, float(inverted)


def _mark(picture: Picture, rng: Rng) -> None:
    """A bright or dark block near a corner, in place."""
    height, width = (max(2, int(side * rng.uniform(0.02, 0.14))) for side in picture.shape)
    top = int(rng.choice([0.03, 0.85]) * picture.shape[0])
    left = int(rng.choice([0.03, 0.85]) * picture.shape[1])
    picture[top : top + height, left : left + width] = rng.choice([0.0, 1.0, 1.0])


def _recoded(gray: npt.NDArray[np.uint8], rng: Rng) -> npt.NDArray[np.uint8]:
    """Through JPEG, or through fewer pixels."""
    shrunk = Image.fromarray(np.ascontiguousarray(gray))
    if rng.random() < 0.5:
        stream = io.BytesIO()
        shrunk.save(stream, "JPEG", quality=int(rng.integers(8, 60)))
        return np.asarray(Image.open(stream))
    share = rng.uniform(0.25, 0.7)
    small = shrunk.resize((max(8, int(shrunk.width * share)), max(8, int(shrunk.height * share))))
    return np.asarray(small.resize(shrunk.size, Image.Resampling.BILINEAR))


class GateLearner(Learner):
    """Cross entropy of the kind, squared error of the turn, binary cross entropy of the polarity.

    Measured: the share of wrong kinds in percent.
    """

    def __init__(self, network: GateNetwork, settings: GateSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        kinds, pose, inverted, _ = network(batch.views)
        kind, turn = batch.targets[:, 0].long(), batch.targets[:, 1:3]
        known = (kind != NEGATIVE).float()
        of_turn = ((pose.float() - turn).square().sum(dim=1) * known).sum() / known.sum().clamp(min=1.0)
        of_polarity = F.binary_cross_entropy_with_logits(inverted.float(), batch.targets[:, 3], weight=known)
        loss: Tensor = F.cross_entropy(kinds.float(), kind) + 2.0 * of_turn + of_polarity
        return loss

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        wrong: Tensor = network(batch.views)[0].argmax(dim=1) != batch.targets[:, 0].long()
        return 100.0 * wrong.float()


def learn_hands(network: GateNetwork, data: GateData, count: int = 4000) -> None:
    """Fit the network's `ood_score` to the readable hands among the first `count` training examples."""
    passes = max(1, -(-_LEAST_HANDS // len(data)))
    keys = [Key(epoch, case, data.size) for epoch in range(passes) for case in range(min(count, len(data)))]
    loader = DataLoader(data, batch_size=64, sampler=keys)
    features = []
    with torch.inference_mode():
        for batch in loader:
            hands = batch.targets[:, 0] == HAND
            features.append(network(batch.views)[3][hands])
    network.knows(torch.cat(features))
