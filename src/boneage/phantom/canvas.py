"""A film to draw on in millimetres: soft tissue and bone as layers of thickness."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from boneage.regions import Box

Place = tuple[float, float]
"""(x, y) in millimetres of an adult hand: x towards the thumb, y towards the fingertips."""

_FINE: Final = 3
"""Drawn so many times as large as the film, then shrunk: smooth edges."""


def along(start: Place, degrees: float, length: float) -> Place:
    """The place `length` millimetres from `start`; 0 degrees points to the fingertips, 90 to the thumb."""
    angle = math.radians(degrees)
    return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)


def spindle(
    base: Place, degrees: float, at: npt.NDArray[np.float64], half: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Outline [2n, 2] of a body about an axis: `half` its half width at `at` millimetres from the base."""
    angle = math.radians(degrees)
    forward, aside = np.array([math.sin(angle), math.cos(angle)]), np.array([math.cos(angle), -math.sin(angle)])
    line = np.asarray(base) + at[:, None] * forward
    return np.concatenate([line + half[:, None] * aside, (line - half[:, None] * aside)[::-1]])


class Canvas:
    """Two layers, bone and tissue, and the step from millimetres to pixels of the film.

    Args:
        width, height: of the film, in pixels.
        pixels_per_mm: size of this hand on this film.
        origin: the pixel where millimetre (0, 0) lies.
        degrees: the hand is turned by this, clockwise as seen, about the origin.
    """

    def __init__(self, width: int, height: int, *, pixels_per_mm: float, origin: Place, degrees: float) -> None:
        self._size = (width, height)
        self._scale = pixels_per_mm
        self._origin = np.asarray(origin)
        angle = math.radians(degrees)
        self._turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        self._bone = np.zeros((height * _FINE, width * _FINE), dtype=np.float32)
        self._tissue = np.zeros_like(self._bone)

    def to_film(self, places: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Millimetres [n, 2] -> pixels [n, 2] of the film, measured at pixel edges."""
        turned = np.asarray(places, dtype=np.float64) @ self._turn.T
        return np.asarray(self._origin + self._scale * turned * (1.0, -1.0))

    def box(self, centre: Place, half: float) -> Box:
        """The box of `half` millimetres about a place, upright on the film."""
        x, y = self.to_film([centre])[0]
        reach = half * self._scale
        return Box(float(x - reach), float(y - reach), float(x + reach), float(y + reach))

    def bone(self, outline: npt.NDArray[np.float64], cortex: float, marrow: float, rim: float = 0.0) -> None:
        """A bone with a dense rim about `rim` millimetres wide; where bones overlap the denser one counts."""
        pixels = self.to_film(outline) * _FINE
        corner = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 2, 0)
        far = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 3, self._bone.shape[::-1])
        if (far <= corner).any():
            return
        mask = Image.new("L", (int(far[0] - corner[0]), int(far[1] - corner[1])), 0)
        ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in pixels - corner], fill=255)
        body = np.asarray(mask, dtype=np.float32) / 255
        thickness = cortex * body
        if rim > 0:
            # A blurred mask is low near the outline: that is where the cortex is seen edge on.
            depth = np.asarray(mask.filter(ImageFilter.GaussianBlur(rim * self._scale * _FINE)), dtype=np.float32) / 255
            core = np.clip((depth - 0.5) / 0.5, 0.0, 1.0)
            thickness = body * (cortex + (marrow - cortex) * core)
        there = self._bone[corner[1] : far[1], corner[0] : far[0]]
        np.maximum(there, thickness, out=there)

    def tissue(self, outline: npt.NDArray[np.float64], thickness: float) -> None:
        """Soft tissue; parts that overlap do not add up."""
        mask = Image.fromarray(self._tissue)
        ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in self.to_film(outline) * _FINE], fill=thickness)
        self._tissue = np.array(mask, dtype=np.float32)

    def extent(self) -> Box:
        """The box of all soft tissue that lies on the film."""
        drawn = self._tissue > 0
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
        return Box(float(x0), float(y0), float(x1), float(y1)).scaled(1 / _FINE, 1 / _FINE)

    def film(self) -> npt.NDArray[np.float64]:
        """Thickness [height, width], about 0 to 1.1: tissue thins out towards the skin, everything slightly blurred."""
        depth = _blurred(self._tissue / max(float(self._tissue.max()), 1e-6), 3.0 * self._scale * _FINE)
        tissue = self._tissue * np.clip(0.35 + 0.95 * (2 * depth - 0.9), 0.25, 1.0)
        bone = _blurred(self._bone, 0.25 * self._scale * _FINE)
        small = [Image.fromarray(layer).resize(self._size, Image.Resampling.BOX) for layer in (tissue, bone)]
        return np.asarray(small[0], dtype=np.float64) + np.asarray(small[1], dtype=np.float64)


def _blurred(layer: npt.NDArray[np.float32], radius: float) -> npt.NDArray[np.float32]:
    image = Image.fromarray(np.asarray(np.clip(layer, 0.0, 1.0) * 255, dtype=np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / np.float32(255)
