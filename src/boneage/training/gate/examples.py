"""The examples of the gate: training images rotated, inverted, cut off and spoiled at random, and negatives."""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from boneage.pipeline.gate import KINDS
from boneage.pipeline.localization import Localization
from boneage.radiograph import WINDOW_PERCENTILES
from boneage.regions import Region
from boneage.training.data.surroundings import surround
from boneage.training.data.views_data import Example, Key, ViewsData
from boneage.training.gate.negatives import Picture, Rng, blur_away, draw_negative, shuffle
from boneage.views import GeometricAugmentation, ImageArray, cut, whole

HAND, NEGATIVE, TWO, CUT_OFF, EXPOSURE = range(len(KINDS))
_SHARES: Final = (0.55, 0.18, 0.08, 0.1, 0.09)
_SIDE: Final = 224
"""Long side of an image while it is changed: a little finer than the view of the gate."""
_UPRIGHT_SHARE: Final = 0.4
"""Share of examples that are rotated by a few degrees only: most radiographs arrive in canonical orientation."""


class GateData(ViewsData):
    """Images that were rotated, inverted, cut off and spoiled; `targets` float32 [4]: kind, cosine, sine, inverted.

    Negatives have no orientation: their cosine and sine are 0.
    """

    def __getitem__(self, key: Key | int) -> Example:
        epoch, index, size = key if isinstance(key, tuple) else (0, key, self.size)
        rng = np.random.default_rng([self.seed, epoch, index])
        case, other = self.cases[index], self.cases[int(rng.integers(len(self.cases)))]
        kind = int(rng.choice(len(KINDS), p=_SHARES))
        picture = self._picture(kind, case.id, other.id, rng)
        view, degrees, inverted = photograph(picture, size, rng)
        pose = (0.0, 0.0) if kind == NEGATIVE else (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
        return Example(
            views=torch.from_numpy(view[None].copy()),
            age_months=torch.tensor(case.age_months, dtype=torch.float32),
            sex=torch.tensor([case.sex.sign], dtype=torch.float32),
            targets=torch.tensor([kind, *pose, inverted], dtype=torch.float32),
        )

    def _picture(self, kind: int, case_id: str, other_id: str, rng: Rng) -> Picture:
        image, scale = _shrink(self.images.image(case_id))
        found = self.regions_of(case_id, None).scaled(scale, scale)
        if kind == NEGATIVE:
            return self._surround(self._negative(image, rng), Localization(), rng)[0]
        if kind == TWO:
            both = join_side_by_side(image, _shrink(self.images.image(other_id))[0], rng)
            return self._surround(both, Localization(), rng)[0]
        if kind == CUT_OFF and Region.REGION_1 in found.boxes:
            return self._surround(cut_off(image, found, rng), Localization(), rng)[0]
        picture = trim(*self._surround(image, found, rng), rng)
        return spoil(picture, rng) if kind == EXPOSURE else picture

    def _negative(self, image: Picture, rng: Rng) -> Picture:
        drawn = rng.random()
        if drawn < 0.12:
            return shuffle(rng, image)
        if drawn < 0.2:
            return blur_away(rng, image)
        return draw_negative(rng, _SIDE)

    def _surround(self, picture: Picture, found: Localization, rng: Rng) -> tuple[Picture, Localization]:
        """Draw overlays and another field around a picture of any kind: a plate or a border does not mark a hand."""
        if self.augmentation is None:
            return picture, found
        chances = self.augmentation
        made = surround(picture, found, rng, overlays=chances.overlays, fields=chances.fields)
        if not made.changed:
            return picture, found
        return made.image / np.float32(max(1.0, float(made.image.max()))), made.found


def _shrink(image: ImageArray) -> tuple[Picture, float]:
    """An image with a long side of `_SIDE` pixels, float32 in [0, 1], and its scale."""
    scale = _SIDE / max(image.shape)
    size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
    shrunk = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(shrunk, dtype=np.float32) / np.float32(255), scale


def trim(image: Picture, found: Localization, rng: Rng) -> Picture:
    """Cut a random part of the border away; the regions stay inside."""
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
    """Cut the image off within the upper part of region 1 or above it, or (15 %) keep what lies below it."""
    box = found.boxes[Region.REGION_1]
    if rng.random() < 0.15:
        below = int(box.y0 + rng.uniform(0.75, 1.0) * box.height)
        if image.shape[0] - below > 20:
            return image[below:]
    end = int(box.y0 + rng.uniform(-0.5, 0.3) * box.height)
    return image[: max(24, end)]


def join_side_by_side(image: Picture, other: Picture, rng: Rng) -> Picture:
    """Join two hands in one image; the second is mirrored, as the other hand of a child would be."""
    height = image.shape[0]
    width = max(8, round(other.shape[1] * height / other.shape[0]))
    second = np.asarray(Image.fromarray(other[:, ::-1]).resize((width, height), Image.Resampling.BILINEAR))
    if rng.random() < 0.5:
        second = image[:, ::-1]
    return np.concatenate([image, second] if rng.random() < 0.5 else [second, image], axis=1)


def spoil(image: Picture, rng: Rng) -> Picture:
    """Overexpose the image, underexpose it, bury it in noise, or leave it a few gray values."""
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


def photograph(picture: Picture, size: int, rng: Rng) -> tuple[npt.NDArray[np.uint8], float, float]:
    """A picture as it may arrive: other gray scale, noise, borders, markers, JPEG, inverted, mirrored, rotated.

    Returns:
        View uint8 [size, size], degrees counter-clockwise by which it was rotated, and 1.0 where it was inverted.
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
        gray = _recode(gray, rng)
    inverted = bool(rng.random() < 0.3)
    before = bool(rng.random() < 0.5)
    if inverted and before:
        gray = 255 - gray
    degrees = float(rng.normal(0, 10) if rng.random() < _UPRIGHT_SHARE else rng.uniform(-180, 180))
    if rng.random() < 0.2:
        degrees = float(rng.choice([-90, 90, 180]) + rng.normal(0, 6))
    zoom = math.exp(rng.uniform(-0.15, 0.15)) * (1.0 if rng.random() < 0.6 else rng.uniform(0.62, 1.0))
    shift_x, shift_y = (float(shift) for shift in rng.uniform(-0.06, 0.06, 2))
    augmentation = GeometricAugmentation(degrees=degrees, zoom=zoom, shift_x=shift_x, shift_y=shift_y)
    view = cut(np.ascontiguousarray(gray), whole(gray), size, augmentation=augmentation)
    if inverted and not before:
        view = 255 - view
    return view, degrees, float(inverted)


def _mark(picture: Picture, rng: Rng) -> None:
    """Draw a bright or dark block near a corner, in place."""
    height, width = (max(2, int(side * rng.uniform(0.02, 0.14))) for side in picture.shape)
    top = int(rng.choice([0.03, 0.85]) * picture.shape[0])
    left = int(rng.choice([0.03, 0.85]) * picture.shape[1])
    picture[top : top + height, left : left + width] = rng.choice([0.0, 1.0, 1.0])


def _recode(gray: npt.NDArray[np.uint8], rng: Rng) -> npt.NDArray[np.uint8]:
    """Save as JPEG, or reduce to fewer pixels and back."""
    shrunk = Image.fromarray(np.ascontiguousarray(gray))
    if rng.random() < 0.5:
        stream = io.BytesIO()
        shrunk.save(stream, "JPEG", quality=int(rng.integers(8, 60)))
        return np.asarray(Image.open(stream))
    share = rng.uniform(0.25, 0.7)
    small = shrunk.resize((max(8, int(shrunk.width * share)), max(8, int(shrunk.height * share))))
    return np.asarray(small.resize(shrunk.size, Image.Resampling.BILINEAR))
