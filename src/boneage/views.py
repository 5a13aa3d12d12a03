"""Views: the square images that networks see, cut from an image.

Training and assessment cut views with the same functions; training adds geometric augmentation.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.regions import Box, Region

ImageArray = npt.NDArray[np.uint8]


class View(StrEnum):
    """What a network sees.

    O: the whole image; H: the hand; R1: region 1 (carpal bones); R2: region 2 (metacarpal bones); E: the image with
    region 1 erased; HE, R2E: hand and region 2 of that.
    """

    O = "O"  # noqa: E741
    H = "H"
    R1 = "R1"
    R2 = "R2"
    E = "E"
    HE = "HE"
    R2E = "R2E"

    @property
    def needs(self) -> frozenset[Region]:
        """The regions that must be found before the view can be cut."""
        return _NEEDS[self]


_NEEDS: Final = {
    View.O: frozenset[Region](),
    View.H: frozenset({Region.HAND}),
    View.R1: frozenset({Region.REGION_1}),
    View.R2: frozenset({Region.REGION_2}),
    View.E: frozenset({Region.REGION_1}),
    View.HE: frozenset({Region.HAND, Region.REGION_1}),
    View.R2E: frozenset({Region.REGION_1, Region.REGION_2}),
}


@dataclass(frozen=True)
class GeometricAugmentation:
    """A geometric change of a view in training: rotation about the box's centre, then shift along the image's axes.

    Attributes:
        degrees: rotation, counter-clockwise as seen.
        zoom: more than 1 shows less of the image, larger.
        shift_x, shift_y: shift as a fraction of the view's side.
        mirror: left and right are swapped.
    """

    degrees: float = 0.0
    zoom: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    mirror: bool = False


@dataclass(frozen=True)
class Frame:
    """Where a square view of `size` pixels lies on the image (without augmentation).

    A point (u, v) of the view is (left + u * step_x, top + v * step_y) of the image.
    """

    left: float
    top: float
    step_x: float
    step_y: float
    size: int

    @classmethod
    def around(cls, box: Box, size: int, *, squash: bool = False) -> Frame:
        """The frame that shows all of `box`: letterboxed about its centre, or squashed to a square."""
        if squash:
            return cls(left=box.x0, top=box.y0, step_x=box.width / size, step_y=box.height / size, size=size)
        side = max(box.width, box.height)
        x, y = box.center
        return cls(left=x - side / 2, top=y - side / 2, step_x=side / size, step_y=side / size, size=size)

    def to_image(self, box: Box, view_side: float | None = None) -> Box:
        """A box of the view (of a map of the view, `view_side` cells a side) as a box of the image."""
        k = 1.0 if view_side is None else self.size / view_side
        return box.scaled(k * self.step_x, k * self.step_y).shifted(self.left, self.top)

    def shows_image(self, cells: int, image_width: int, image_height: int) -> npt.NDArray[np.bool_]:
        """bool [cells, cells]: which cells of a map of this view have their centre on the image, not on padding."""
        at = (np.arange(cells) + 0.5) * self.size / cells
        x, y = self.left + at * self.step_x, self.top + at * self.step_y
        return ((y >= 0) & (y < image_height))[:, None] & ((x >= 0) & (x < image_width))[None, :]


def whole(image: ImageArray) -> Box:
    """The box of the whole image."""
    return Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0]))


_Pair = tuple[float, float]


def _placed(
    box: Box, size: int, squash: bool, augmentation: GeometricAugmentation | None
) -> tuple[_Pair, tuple[_Pair, _Pair], _Pair]:
    """Where a view lies: (x, y), ((a, b), (d, e)) and pixels of the image for one of the view, along x and y.

    A point (u, v) of the view, from its centre, is (x + a u + b v, y + d u + e v) of the image.
    """
    frame = Frame.around(box, size, squash=squash)
    augmentation = augmentation or GeometricAugmentation()
    step_x, step_y = frame.step_x / augmentation.zoom, frame.step_y / augmentation.zoom
    angle = math.radians(augmentation.degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    flip = -1.0 if augmentation.mirror else 1.0
    x, y = box.center
    x += augmentation.shift_x * size * frame.step_x
    y += augmentation.shift_y * size * frame.step_y
    a, b = flip * cos * step_x, -sin * step_x
    d, e = flip * sin * step_y, cos * step_y
    return (x, y), ((a, b), (d, e)), (step_x, step_y)


def points_in_view(
    points: npt.ArrayLike,
    box: Box,
    size: int,
    *,
    squash: bool = False,
    augmentation: GeometricAugmentation | None = None,
) -> npt.NDArray[np.float64]:
    """Where `cut`, with the same arguments, shows points of the image.

    Args:
        points: float [n, 2], (x, y) in pixels of the image (edges).

    Returns:
        float64 [n, 2] in pixels of the view (edges); points that the view does not show lie outside 0..size.
    """
    center, matrix, _ = _placed(box, size, squash=squash, augmentation=augmentation)
    away = np.asarray(points, dtype=np.float64).reshape(-1, 2) - center
    return np.asarray(away @ np.linalg.inv(np.array(matrix)).T + size / 2, dtype=np.float64)


def cut(
    image: ImageArray, box: Box, size: int, *, squash: bool = False, augmentation: GeometricAugmentation | None = None
) -> npt.NDArray[np.uint8]:
    """Cut a square view out of an image: antialiased when shrinking, bilinear, black outside the image.

    Args:
        image: uint8 [h, w].
        box: in pixels of the image; it may reach beyond the image.
        size: side of the view in pixels.
        squash: ignore the aspect ratio (the paper's way) instead of letterboxing.
        augmentation: in training.

    Returns:
        uint8 [size, size].
    """
    (x, y), ((a, b), (d, e)), (step_x, step_y) = _placed(box, size, squash=squash, augmentation=augmentation)
    half = size / 2
    reach_x = (abs(a) + abs(b)) * half + 2 * max(1.0, step_x)
    reach_y = (abs(d) + abs(e)) * half + 2 * max(1.0, step_y)
    left, right = max(0, math.floor(x - reach_x)), min(image.shape[1], math.ceil(x + reach_x))
    top, bottom = max(0, math.floor(y - reach_y)), min(image.shape[0], math.ceil(y + reach_y))
    if right <= left or bottom <= top:
        return np.zeros((size, size), dtype=np.uint8)
    # Pillow's affine transform does not antialias: shrink first, then move at a step of about one pixel.
    drawn = Image.fromarray(image[top:bottom, left:right])
    width = max(1, round((right - left) / max(1.0, step_x)))
    height = max(1, round((bottom - top) / max(1.0, step_y)))
    if (width, height) != drawn.size:
        drawn = drawn.resize((width, height), Image.Resampling.BILINEAR)
    to_x, to_y = width / (right - left), height / (bottom - top)
    matrix = (
        a * to_x,
        b * to_x,
        (x - left - (a + b) * half) * to_x,
        d * to_y,
        e * to_y,
        (y - top - (d + e) * half) * to_y,
    )
    drawn = drawn.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(drawn, dtype=np.uint8)


def erase(image: ImageArray, box: Box) -> ImageArray:
    """View E: the image with a box filled with random values (the paper's erased image).

    The seed is taken from the image's content, so that the same image always gets the same answer.
    """
    seed = int.from_bytes(hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()[:8], "little")
    height, width = image.shape
    x0, x1 = (int(np.clip(round(x), 0, width)) for x in (box.x0, box.x1))
    y0, y1 = (int(np.clip(round(y), 0, height)) for y in (box.y0, box.y1))
    result = image.copy()
    result[y0:y1, x0:x1] = np.random.default_rng(seed).integers(0, 256, (y1 - y0, x1 - x0), dtype=np.uint8)
    return result
