"""Regions of a hand, their boxes, and the step from an attention map to a box."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage


class Region(StrEnum):
    """What phase I finds. The values are the names in every file that `boneage` writes."""

    HAND = "hand"
    REGION_1 = "region_1"
    REGION_2 = "region_2"


@dataclass(frozen=True)
class Box:
    """A box in pixels measured at pixel edges: x to the right, y down, (x0, y0) inside, (x1, y1) the far edge."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (self.x1 > self.x0 and self.y1 > self.y0):
            raise ValueError(f"a box needs x0 < x1 and y0 < y1, not {self.as_list()}")

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def center(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def area(self) -> float:
        return self.width * self.height

    def as_list(self) -> list[float]:
        return [self.x0, self.y0, self.x1, self.y1]

    def scaled(self, horizontally: float, vertically: float) -> Box:
        """The same box in an image that is wider and higher by these factors."""
        return Box(self.x0 * horizontally, self.y0 * vertically, self.x1 * horizontally, self.y1 * vertically)

    def shifted(self, x: float, y: float) -> Box:
        return Box(self.x0 + x, self.y0 + y, self.x1 + x, self.y1 + y)

    def grown(self, margin: float) -> Box:
        """Wider and higher by the fraction `margin` of its own size, about its centre (negative: smaller)."""
        dx, dy = self.width * margin / 2, self.height * margin / 2
        return Box(self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy)

    def at_least(self, side: float) -> Box:
        """Grown about its centre until neither side is under `side`."""
        dx, dy = max(0.0, side - self.width) / 2, max(0.0, side - self.height) / 2
        return Box(self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy)

    def within(self, width: float, height: float) -> Box | None:
        """The part inside a picture of that size, or None where nothing of it is inside."""
        x0, y0, x1, y1 = max(self.x0, 0.0), max(self.y0, 0.0), min(self.x1, width), min(self.y1, height)
        return Box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    def intersection_over_union(self, other: Box) -> float:
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        shared = max(0.0, width) * max(0.0, height)
        return shared / (self.area + other.area - shared)


MAP_SIDE: Final = 224
"""Pixels a side to which a coarse attention map is enlarged (bilinear) before it is thresholded."""


def normalised_map(attention: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Negative evidence clipped, then scaled to [0, 1] by the maximum; a map without evidence is all zeros."""
    positive = np.nan_to_num(np.clip(np.asarray(attention, dtype=np.float32), 0.0, None), posinf=0.0)
    peak = float(positive.max(initial=0.0))
    return np.asarray(positive / peak if peak > 0 else np.zeros_like(positive), dtype=np.float32)


Components = Literal["largest", "all"]
"""Which connected components of a thresholded map a box spans."""

_SPECK: Final = 0.1
"""A component smaller than this fraction of the largest is not counted to a region."""


def box_of_map(attention: npt.NDArray[np.floating], tau: float, components: Components = "largest") -> Box | None:
    """The bounding box of the largest connected component of `attention >= tau * max` (the paper's Eq. 4).

    Args:
        attention: float [h, w], any range; negative values count as none.
        tau: fraction of the maximum, in (0, 1].
        components: "all" spans every component of at least a tenth of the largest one's area: for a region that
            consists of several bones, if something else excludes the rest of the image.

    Returns:
        The box in pixels of the map, or None if the map holds no evidence
        (an empty map, one without a positive value, or of one value throughout).
    """
    evidence = normalised_map(attention)
    if evidence.size == 0 or float(evidence.max()) <= 0.0 or float(evidence.min()) == float(evidence.max()):
        return None
    labels, _ = ndimage.label(evidence >= tau)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    kept = np.arange(len(sizes)) == largest if components == "largest" else sizes >= _SPECK * sizes[largest]
    kept[0] = False
    rows, columns = ndimage.find_objects(kept[labels].astype(np.int8))[0]
    return Box(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
