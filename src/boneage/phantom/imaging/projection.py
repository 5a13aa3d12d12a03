"""Bones -> attenuation along each ray, on the grid of the detector.

A bone is a tube of dense cortex around marrow with little bone in it. Its depth follows an elliptical cross-section, so
that walls are bright where rays pass along them. Attenuations of overlapping bones add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from boneage.phantom.anatomy.outlines import Points
from boneage.phantom.anatomy.pieces import Piece, Shaft
from boneage.phantom.imaging.texture import Grain

Layer = npt.NDArray[np.float32]

CORTEX_PER_MM: Final = 0.093
"""Linear attenuation of dense bone above that of the soft tissue that it replaces, at 50 to 55 kV."""

_FINE: Final = 2
"""Bones are drawn on a grid so many times finer than the image, then averaged, for smooth edges."""
_MARGIN: Final = 16
"""Pixels of the image."""


@dataclass(frozen=True)
class Placement:
    """The map from millimetres of an adult hand to pixels of the image (measured at pixel edges).

    Attributes:
        matrix: float64 [2, 2]; pixels = matrix @ millimetres + origin.
        origin: float64 [2].
    """

    matrix: Points
    origin: Points

    def to_pixels(self, places: npt.ArrayLike) -> Points:
        """float64 [n, 2] of millimetres -> float64 [n, 2] of pixels."""
        return np.asarray(np.asarray(places, dtype=np.float64) @ self.matrix.T + self.origin)

    @property
    def pixels_per_mm(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))


def draw_bone(image: Layer, piece: Piece, placement: Placement, grain: Grain) -> None:
    """Add a piece's attenuation to `image`, float32 [height, width], in place."""
    pixels = placement.to_pixels(piece.outline)
    height, width = image.shape
    # A margin beyond the image: a piece that the border cuts has no wall there.
    x0, y0 = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, -_MARGIN)
    x1, y1 = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, (width + _MARGIN, height + _MARGIN))
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if right <= left or bottom <= top:
        return
    canvas = Image.new("L", (int(x1 - x0) * _FINE, int(y1 - y0) * _FINE), 0)
    corners = (pixels - (x0, y0)) * _FINE - 0.5
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    mask = np.asarray(canvas)
    step = placement.pixels_per_mm * _FINE
    deep = ndimage.distance_transform_edt(mask)
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return
    depth = ((deep[rows, columns] - 0.5) / step).astype(np.float32)
    inverse = np.linalg.inv(placement.matrix)
    place = np.stack([(columns + 0.5) / _FINE + x0, (rows + 0.5) / _FINE + y0], axis=1) - placement.origin
    places = (place @ inverse.T).astype(np.float32)
    attenuation = (
        _render_solid(piece, depth, places=places, grain=grain)
        if piece.shaft is None
        else _render_tube(piece, piece.shaft, depth=depth, places=places, grain=grain)
    )
    fine = np.zeros(mask.shape, dtype=np.float32)
    fine[rows, columns] = attenuation * np.float32(piece.weight)
    small = np.float32(0.25) * (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2])
    image[top:bottom, left:right] += small[top - y0 : bottom - y0, left - x0 : right - x0]


def _chord(outside: Layer) -> Layer:
    """Depth of an ellipse at a distance from its middle, both in half axes; 0 outside it."""
    return np.asarray(np.sqrt(np.maximum(0.0, 1.0 - outside * outside)), dtype=np.float32)


def _rise(depth: Layer, over: float) -> Layer:
    return _chord(1.0 - np.clip(depth / np.float32(over), 0.0, 1.0))


def _render_solid(piece: Piece, depth: Layer, places: Layer, grain: Grain) -> Layer:
    outer = np.float32(2 * piece.depth) * _rise(depth, piece.edge)
    wall = np.float32(piece.cortex) * grain.wall(places[:, 0], places[:, 1])
    inside = np.maximum(np.float32(piece.depth) - wall, np.float32(0.1))
    inner = 2 * inside * _rise(np.maximum(depth - wall, 0.0), max(piece.edge - piece.cortex, 0.3))
    inner = np.minimum(inner, outer)
    net = grain.net(places[:, 0], places[:, 1])
    return np.asarray(np.float32(CORTEX_PER_MM) * ((outer - inner) + inner * np.float32(piece.marrow) * net))


def _render_tube(piece: Piece, shaft: Shaft, depth: Layer, places: Layer, grain: Grain) -> Layer:
    angle = np.radians(shaft.degrees)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    x, y = places[:, 0] - np.float32(shaft.base[0]), places[:, 1] - np.float32(shaft.base[1])
    t, u = x * sine + y * cosine, x * cosine - y * sine
    # Looking up tables by index is far faster than interpolating five of them.
    step = shaft.at[1] - shaft.at[0]
    fine_at = np.arange(0.0, shaft.at[-1] + step, 0.2)
    index = np.clip(t / 0.2, 0, len(fine_at) - 1).astype(np.intp)

    def table(values: Points) -> Layer:
        return np.interp(fine_at, shaft.at, values).astype(np.float32)[index]

    half, wall, deep = table(shaft.half), table(shaft.cortex), table(shaft.depth)
    off = np.abs(u - table(shaft.aside))
    outer = 2 * deep * np.minimum(_chord(np.minimum(off / half, 1.0)), _rise(depth, piece.edge))
    end_wall = np.float32(piece.cortex) * grain.wall(places[:, 0], places[:, 1])
    inner_half = np.maximum(half - wall, 0.2)
    inner = (
        2
        * np.maximum(deep - wall, 0.2)
        * np.minimum(_chord(np.minimum(off / inner_half, 1.0)), _rise(np.maximum(depth - end_wall, 0.0), piece.edge))
    )
    inner = np.minimum(inner, outer)
    marrow = table(shaft.marrow) * grain.struts(t, u, shaft.base)
    return np.asarray(np.float32(CORTEX_PER_MM) * ((outer - inner) + inner * marrow))
