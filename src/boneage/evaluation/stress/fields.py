"""What was exposed, and what surrounds it: collimation, padding, borders, a small hand, a long forearm.

The stress suite and the augmentation of training draw them with these functions alone. Images are float32 [height,
width], bones bright, 1.0 as bright as the brightest bone; levels over 1.0 are brighter than bone.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from boneage.regions import Box

Pixels = npt.NDArray[np.float32]
Rng = np.random.Generator

_SCATTER: Final = 0.06
"""Share of the image's contrast that shows through a collimator, at its edge."""
_PENUMBRA: Final = 0.004
"""Width of the blurred edge of a collimated field, as a share of the image's shorter side."""
_GRAIN: Final = np.float32(0.008)
"""Standard deviation of the noise on an empty field."""
_FADING: Final = 0.25
"""Distance over which an image's edges fade into its background, as a share of its shorter side."""
_STRIP: Final = (0.06, 0.3)
"""Least and largest height of the strip that is stretched, as shares of the image's height."""
_EASE: Final = 0.3
"""Share of that strip over which the stretch grows."""


class Moved(NamedTuple):
    """An image and where its pixels went.

    Attributes:
        image: float32 [h, w].
        scale, x, y: a point (a, b) of the image before lies at (scale * a + x, scale * b + y).
    """

    image: Pixels
    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0

    def follow(self, box: Box) -> Box:
        """A box of the image before, in pixels of this one."""
        return box.scaled(self.scale, self.scale).shifted(self.x, self.y)


def field_around(hand: Box, shape: tuple[int, int], margins: tuple[float, float, float, float]) -> Box:
    """The hand's box, wider by shares of its own size (left, top, right, bottom), as far as the image reaches.

    Args:
        shape: (height, width) of the image.
    """
    left, top, right, bottom = margins
    wide = Box(
        hand.x0 - left * hand.width,
        hand.y0 - top * hand.height,
        hand.x1 + right * hand.width,
        hand.y1 + bottom * hand.height,
    )
    return wide.within(float(shape[1]), float(shape[0])) or Box(0.0, 0.0, float(shape[1]), float(shape[0]))


def collimate(image: Pixels, field: Box, *, level: float, degrees: float = 0.0, scatter: float = _SCATTER) -> Pixels:
    """Give everything outside a rectangle one gray value, with a little of what lies there showing through.

    Args:
        field: the rectangle, in pixels, before it is rotated by `degrees` about its centre (counter-clockwise as seen).
        level: gray outside: 0 black, 1 as bright as bone, more where what was not exposed is shown brighter.
        scatter: share of the image that shows through; 0 for a shutter that was set afterwards.
    """
    height, width = image.shape
    x, y = np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32)[:, None] + 0.5
    (middle_x, middle_y), turn = field.center, math.radians(degrees)
    along = (x - middle_x) * math.cos(turn) - (y - middle_y) * math.sin(turn)
    across = (x - middle_x) * math.sin(turn) + (y - middle_y) * math.cos(turn)
    inside = np.minimum(field.width / 2 - np.abs(along), field.height / 2 - np.abs(across))
    blurred = max(1.0, _PENUMBRA * min(height, width))
    shown = np.clip(inside / blurred + 0.5, 0.0, 1.0)
    # Through lead the image has hardly any contrast, whatever its brightness.
    faint = np.float32(level) + np.float32(scatter) * (image - np.float32(0.5 if level else 0.0))
    return np.asarray(shown * image + (1.0 - shown) * faint.clip(0.0, None), dtype=np.float32)


def pad(image: Pixels, margins: tuple[int, int, int, int], *, level: float = 0.0) -> Moved:
    """Lay the image on a larger canvas of one gray value.

    Args:
        margins: pixels added at the left, top, right and bottom.
    """
    left, top, right, bottom = margins
    canvas = np.pad(image, ((top, bottom), (left, right)), constant_values=level)
    return Moved(np.asarray(canvas, dtype=np.float32), 1.0, float(left), float(top))


def zoom_out(image: Pixels, scale: float, rng: Rng, *, across: float = 0.5) -> Moved:
    """A small hand in a large exposed field: the image shrunk, on a canvas of its own former size.

    The forearm still enters from the bottom edge. Around it the image's own left, upper and right edges go on, blurred,
    and fade into the gray of its background; noise is that of a detector.

    Args:
        scale: under 1.
        across: where it stands: 0 at the left edge, 1 at the right edge.
    """
    height, width = image.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    left, top = round((width - size[0]) * across), height - size[1]
    canvas = _continue(small, (left, top, width - size[0] - left), background_of(image))
    grain = rng.standard_normal((height // 2 + 1, width // 2 + 1), dtype=np.float32)
    canvas += _GRAIN * np.asarray(Image.fromarray(grain).resize((width, height), Image.Resampling.BILINEAR))
    fade = max(2.0, 0.02 * min(size))
    columns, rows = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)[:, None]
    weight = np.clip(np.minimum(np.minimum(columns, size[0] - 1 - columns), rows) / fade, 0.0, 1.0)
    part = canvas[top:, left : left + size[0]]
    part[:] = weight * small + (1.0 - weight) * part
    return Moved(np.clip(canvas, 0.0, None), scale, float(left), float(top))


def _continue(small: Pixels, margins: tuple[int, int, int], ground: float) -> Pixels:
    """A larger canvas over which an image's left, upper and right edges go on, blurred, and fade into `ground`.

    It is made at a quarter of the size, because it holds no detail.

    Args:
        margins: pixels added at the left, top and right.
    """
    left, top, right = margins
    width, height = small.shape[1] + left + right, small.shape[0] + top
    part = -(-small.shape[1] // 4), -(-small.shape[0] // 4)
    coarse = np.asarray(Image.fromarray(small).resize(part, Image.Resampling.BILINEAR))
    sides = ((top // 4, 0), (left // 4, right // 4))
    # A marker or a finger at the edge does not go on.
    limit = np.percentile(_edges(small), 60)
    spread = np.pad(coarse, sides, mode="edge").clip(None, max(float(limit), ground))
    away = ndimage.distance_transform_edt(np.pad(np.zeros(coarse.shape, bool), sides, constant_values=True))
    kept = np.exp(-away / (_FADING * min(part)))
    faded = ndimage.gaussian_filter(kept * spread + (1.0 - kept) * ground, 0.05 * min(part), mode="nearest")
    canvas = Image.fromarray(faded.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(canvas, dtype=np.float32)


def background_of(image: Pixels) -> float:
    """The gray of the air around a hand: the lower quartile of the left, upper and right edge."""
    return float(np.percentile(_edges(image), 25))


def _edges(image: Pixels) -> Pixels:
    return np.concatenate([image[0], image[:, 0], image[:, -1]])


def lengthen_forearm(image: Pixels, hand: Box, *, share: float, rng: Rng) -> Pixels:
    """A longer forearm, so that the hand fills less of the height: the lowest strip is stretched downwards.

    Shafts run along the strip, so they go on without a seam: the stretch grows smoothly from none at the strip's upper
    edge. Noise as strong as the strip's own is added where it was stretched out. It is a stretched picture, not more
    anatomy: whatever lies in the strip becomes longer, markers as well.

    Args:
        hand: its lower edge limits the strip from above; the strip has at least 6 % of the height and at most 30 %.
        share: height that is added, as a share of the image's.

    Returns:
        The image with new rows at the bottom; everything above the strip keeps its place.
    """
    height, width = image.shape
    added = round(height * share)
    if added < 1:
        return image.copy()
    rows = int(np.clip(height - hand.y1, max(4.0, _STRIP[0] * height), max(4.0, _STRIP[1] * height)))
    strip = image[height - rows :]
    at = np.arange(rows + added, dtype=np.float64)
    eased = _EASE * rows
    slope = (rows - eased) / (rows + added - eased)
    shown = slope * at + (1.0 - slope) * eased * (1.0 - np.exp(-at / eased))
    shown *= (rows - 1) / shown[-1]
    grid = np.meshgrid(shown, np.arange(width, dtype=np.float64), indexing="ij")
    longer = ndimage.map_coordinates(strip, grid, order=1, mode="nearest")
    residue = strip - ndimage.uniform_filter(strip, 3)
    lost = 1.0 - np.gradient(shown)[:, None].clip(0.0, 1.0)
    noise = rng.standard_normal(longer.shape, dtype=np.float32) * np.float32(1.2 * np.median(np.abs(residue)))
    longer = np.clip(longer + lost * noise, 0.0, None)
    return np.concatenate([image[: height - rows], np.asarray(longer, dtype=np.float32)])
