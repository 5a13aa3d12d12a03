"""Canonical orientation: how a radiograph is rotated and inverted before it is assessed, and the inverse transform."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.assessment import Attention
from boneage.radiograph import SMALLEST_SIDE, Radiograph
from boneage.regions import Box
from boneage.remarks import Remark

_MAP_SIDE: Final = 512
"""Side of a map while it is rotated."""
_EMPTY: Final = 0.02
"""Gray value up to which rows and columns at the edge count as the ground that rotation adds."""


@dataclass(frozen=True)
class Orientation:
    """How a radiograph is rotated and inverted so that fingers point up and bones are bright.

    Attributes:
        quarters: rotation by quarters, clockwise, 0..3.
        degrees: or rotation by any angle, clockwise, about the centre; 0 for none.
        inverted: gray values are inverted.
    """

    quarters: int = 0
    degrees: float = 0.0
    inverted: bool = False

    def __bool__(self) -> bool:
        return bool(self.quarters or self.degrees or self.inverted)

    @property
    def turned_degrees(self) -> float:
        """Clockwise, in (-180, 180]."""
        angle = 90.0 * self.quarters if self.quarters else self.degrees
        return angle - 360.0 if angle > 180.0 else angle

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What a reader has to be told."""
        made = []
        if self.quarters or self.degrees:
            way = "clockwise" if self.turned_degrees > 0 else "counter-clockwise"
            degrees = abs(self.turned_degrees)
            made.append(Remark.of("rotated", f"The radiograph was rotated by {degrees:.0f} degrees {way} first."))
        if self.inverted:
            made.append(Remark.of("inverted", "Bones are dark on this radiograph; it was inverted first."))
        return tuple(made)

    def apply(self, radiograph: Radiograph) -> tuple[Radiograph, InverseTransform]:
        """The radiograph in canonical orientation, and the transform back to the one that was given."""
        pixels = np.float32(1.0) - radiograph.pixels if self.inverted else radiograph.pixels
        shape = (radiograph.width, radiograph.height)
        if not self.degrees:
            rotated = np.ascontiguousarray(np.rot90(pixels, -self.quarters))
            return replace(radiograph, pixels=rotated), InverseTransform(
                orientation=self, given=shape, rotated=(rotated.shape[1], rotated.shape[0]), corner=(0, 0)
            )
        image = Image.fromarray(pixels).rotate(-self.degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=0.0)
        rotated = np.clip(np.asarray(image, dtype=np.float32), 0.0, 1.0, dtype=np.float32)
        rows, columns = (np.flatnonzero((rotated > _EMPTY).any(axis=axis)) for axis in (1, 0))
        top, bottom, left, right = 0, rotated.shape[0], 0, rotated.shape[1]
        if min(np.ptp(rows) if rows.size else 0, np.ptp(columns) if columns.size else 0) >= SMALLEST_SIDE:
            top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        trimmed = np.ascontiguousarray(rotated[top:bottom, left:right])
        inverse = InverseTransform(
            orientation=self, given=shape, rotated=(image.width, image.height), corner=(int(left), int(top))
        )
        return replace(radiograph, pixels=trimmed), inverse


@dataclass(frozen=True)
class InverseTransform:
    """From pixels of the radiograph in canonical orientation to pixels of the one that was given.

    Attributes:
        orientation: what was applied.
        given, rotated: (width, height) before and after the rotation.
        corner: (x, y) in the rotated picture at which the canonical radiograph begins.
    """

    orientation: Orientation
    given: tuple[int, int]
    rotated: tuple[int, int]
    corner: tuple[int, int]

    def points(self, places: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """float64 [n, 2] of (x, y), measured at pixel edges."""
        angle = math.radians(90.0 * self.orientation.quarters + self.orientation.degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        from_centre = np.asarray(places, dtype=np.float64) + self.corner - np.array(self.rotated) / 2
        # Clockwise as seen, with y pointing down, is (x, y) -> (cos x - sin y, sin x + cos y); this is its inverse.
        return np.asarray(from_centre @ np.array([[cos, -sin], [sin, cos]]) + np.array(self.given) / 2)

    def box(self, box: Box) -> Box:
        """The box around the ellipse in a box, within the radiograph; exact after quarter turns.

        What a box holds seldom reaches its corners: the box around those would be far too large.
        """
        angle = math.radians(90.0 * self.orientation.quarters + self.orientation.degrees)
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        ((x, y),) = self.points([box.center]).tolist()
        half_width = math.hypot(box.width * cos, box.height * sin) / 2
        half_height = math.hypot(box.width * sin, box.height * cos) / 2
        around = Box(x - half_width, y - half_height, x + half_width, y + half_height)
        inside = around.within(*self.given)
        if inside is not None:
            return inside
        # Found on the ground that rotation added: the nearest pixel of the radiograph.
        left, top = min(max(x, 0.0), self.given[0] - 1.0), min(max(y, 0.0), self.given[1] - 1.0)
        return Box(left, top, left + 1.0, top + 1.0)

    def attention(self, attention: Attention) -> Attention:
        """The same map, rotated back, over the square around its place."""
        box = attention.box
        corners = self.points([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])
        around = Box(*(float(value) for value in (*corners.min(axis=0), *corners.max(axis=0))))
        if not self.orientation.degrees:
            return Attention(np.ascontiguousarray(np.rot90(attention.map, self.orientation.quarters)), around)
        cells = attention.map.shape[0]
        # Rotated large: Pillow rounds the size of a rotated picture up to whole cells.
        image = Image.fromarray(attention.map.astype(np.float32)).resize(
            (_MAP_SIDE, _MAP_SIDE), Image.Resampling.BILINEAR
        )
        rotated = image.rotate(self.orientation.degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=0.0)
        return Attention(np.asarray(rotated.resize((cells, cells), Image.Resampling.BILINEAR)).clip(0.0, 1.0), around)
