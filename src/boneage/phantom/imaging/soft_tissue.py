"""Soft tissue: fingers, palm and forearm as bodies of muscle and fat with their skin outline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from boneage.phantom.anatomy.outlines import Place, round_corners
from boneage.phantom.anatomy.pieces import Skeleton, along
from boneage.phantom.imaging.projection import Placement

Layer = npt.NDArray[np.float32]

TISSUE_PER_MM: Final = 0.044
"""Linear attenuation of soft tissue at the 50 to 55 kV of hand radiographs."""

_GRID: Final = 170
"""Pixels; tissue is smooth, so it is drawn at most about so wide, then enlarged to the image."""

_BEYOND: Final = 30
"""Coarse pixels; bodies that leave the image continue so far beyond it, without a rounded border."""

# Half widths of the fingers in millimetres: at the knuckle, the middle of the first phalanx, each joint, near the tip.
_FINGERS: Final = {
    1: (14.0, 12.3, 12.0, 11.0, 9.2),
    2: (12.4, 11.4, 11.2, 10.3, 8.5),
    3: (12.4, 11.6, 11.5, 10.5, 8.7),
    4: (12.0, 11.1, 10.9, 10.0, 8.3),
    5: (11.4, 10.1, 9.7, 8.9, 7.4),
}


@dataclass(frozen=True)
class SoftTissue:
    """The soft tissue of a hand.

    Attributes:
        attenuation: float32 [height, width].
        outline: bool [height, width], the pixels of the hand.
    """

    attenuation: Layer
    outline: npt.NDArray[np.bool_]


class _Slab:
    """A coarse grid of thickness in millimetres."""

    def __init__(self, shape: tuple[int, int], placement: Placement) -> None:
        self.placement = placement
        self.coarse = max(1, round(min(shape) / _GRID))
        self.height, self.width = (math.ceil(side / self.coarse) + 1 for side in shape)
        self.thickness = np.zeros((self.height, self.width), dtype=np.float32)

    def pixels(self, places: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return self.placement.to_pixels(places) / self.coarse

    @property
    def pixels_per_mm(self) -> float:
        return self.placement.pixels_per_mm / self.coarse

    def capsule(self, start: Place, end: Place, radii: tuple[float, float], flat: float) -> None:
        """A round-ended tapered limb segment; `flat` is its depth over its width."""
        scale = self.pixels_per_mm
        p, q = self.pixels([start, end])
        reach = max(radii) * scale + 2
        x0, y0 = np.maximum(np.floor(np.minimum(p, q) - reach), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(np.maximum(p, q) + reach), (self.width, self.height)).astype(int)
        if x1 <= x0 or y1 <= y0:
            return
        x = (np.arange(x0, x1, dtype=np.float32) + 0.5 - p[0])[None, :]
        y = (np.arange(y0, y1, dtype=np.float32) + 0.5 - p[1])[:, None]
        dx, dy = (np.float32(side) for side in q - p)
        share = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, np.float32(1e-6)), 0, 1)
        radius = (np.float32(radii[0]) + share * np.float32(radii[1] - radii[0])) * np.float32(scale)
        off = ((x - share * dx) ** 2 + (y - share * dy) ** 2) / (radius * radius)
        body = np.sqrt(np.maximum(0, 1 - off)) * radius * np.float32(2 * flat / scale)
        there = self.thickness[y0:y1, x0:x1]
        np.maximum(there, body, out=there)

    def body(
        self, outline: npt.ArrayLike, half_depth: float, edge: float, *, added: bool = False, deeper: float = 0.0
    ) -> None:
        """Draw a flat body with rounded borders: `added` to the thickness, else the thicker of both counts.

        The body gets deeper towards the elbow: by the share `deeper` for each millimetre below the wrist.
        """
        image = Image.new("L", (self.width, self.height), 0)
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in self.pixels(outline)], fill=1)
        mask = np.pad(np.asarray(image), _BEYOND, mode="edge")
        signed = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(1 - mask)
        # Smoothing removes the stairs along the outline.
        smooth = ndimage.gaussian_filter(signed, max(1.0, 1.2 * self.pixels_per_mm))[_BEYOND:-_BEYOND, _BEYOND:-_BEYOND]
        deep = np.maximum(smooth, 0.0) / self.pixels_per_mm
        rise = 1.0 - np.clip(deep / edge, 0.0, 1.0)
        body = (2 * half_depth * np.sqrt(1.0 - rise * rise)).astype(np.float32)
        if deeper:
            wrist, elbow = self.pixels([(0.0, -30.0), (0.0, -31.0)])
            x, y = np.arange(self.width)[None, :] - wrist[0], np.arange(self.height)[:, None] - wrist[1]
            down, across = (elbow - wrist)[::-1] / self.pixels_per_mm**2
            body *= (1.0 + deeper * np.clip(x * across + y * down, 0.0, 120.0)).astype(np.float32)
        if added:
            self.thickness += body
        else:
            np.maximum(self.thickness, body, out=self.thickness)


def render_soft_tissue(
    hand: Skeleton, placement: Placement, shape: tuple[int, int], chubby: float, rng: np.random.Generator
) -> SoftTissue:
    """Render the soft tissue of a hand, without holes for the bones.

    Args:
        hand: its skeleton.
        placement: of the hand in the image.
        shape: (height, width) of the image in pixels.
        chubby: widths over those of an adult hand of the same length.
        rng: for muscles, fat and folds.
    """
    slab = _Slab(shape, placement)
    points = hand.key_points
    for number, radii in _FINGERS.items():
        _finger(slab, points, number=number, radii=[radius * chubby for radius in radii])
    palm = _palm(points, chubby)
    slab.body(palm, 14.0, 17.0)
    slab.body(_forearm(points, chubby), 17.0, 24.0, deeper=0.003)
    # The webs between the fingers and the sides of the wrist are smooth.
    soft = ndimage.gaussian_filter(slab.thickness, 1.1 * slab.pixels_per_mm)
    slab.thickness = np.maximum(np.clip(2.0 * soft - 4.0, 0.0, soft), slab.thickness * np.float32(0.75))
    _muscles(slab, points, rng)
    texture = _texture(slab, rng)
    thickness = slab.thickness * texture
    size = (shape[1], shape[0])
    box = (0.0, 0.0, shape[1] / slab.coarse, shape[0] / slab.coarse)
    full = np.asarray(Image.fromarray(thickness).resize(size, Image.Resampling.BICUBIC, box=box))
    full = np.maximum(full, 0.0)
    # Skin: a thin shell, seen edge on along the outline.
    return SoftTissue(np.asarray(full * np.float32(TISSUE_PER_MM), dtype=np.float32), full > 0.8)


def _finger(slab: _Slab, points: dict[str, Place], number: int, radii: list[float]) -> None:
    names = ["MC", "PP", "MP", "DP"] if number > 1 else ["MC", "PP", "DP"]
    heads = [points[f"{name}{number}_head"] for name in names]
    base, last = points[f"DP{number}_base"], heads[-1]
    length = math.dist(base, last)
    # The soft fingertip reaches beyond the bone.
    beyond = (radii[-1] - 2.6) / length
    tip = (last[0] - (last[0] - base[0]) * beyond * 0.55, last[1] - (last[1] - base[1]) * beyond * 0.55)
    middle = tuple((a + b) / 2 for a, b in zip(heads[0], heads[1], strict=True))
    chain = [heads[0], (middle[0], middle[1]), *heads[1:-1], tip]
    widths = [*radii[:2], *radii[2 : 2 + len(heads) - 2], radii[-1]]
    for (start, end), pair in zip(pairwise(chain), pairwise(widths), strict=True):
        slab.capsule(start, end, radii=pair, flat=0.86)
    if number == 1:
        slab.capsule(points["MC1_base"], heads[0], radii=(16.0, radii[0]), flat=0.85)
    else:
        slab.capsule(points[f"MC{number}_base"], heads[0], radii=(13.0, radii[0]), flat=0.9)


def _between(a: Place, b: Place, share: float) -> Place:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _palm(points: dict[str, Place], chubby: float) -> npt.NDArray[np.float64]:
    """The outline of the palm: from the wrist along the little finger's side and the webs to the ball of the thumb."""
    wide = 10.0 * chubby
    little = points["MC5_head"]
    webs = []
    for one, other in ((5, 4), (4, 3), (3, 2)):
        middles = [_between(points[f"PP{n}_base"], points[f"PP{n}_head"], 0.42) for n in (one, other)]
        webs.append(_between(middles[0], middles[1], 0.5))
    index, thumb = points["MC2_head"], points["MC1_head"]
    web = _between(points["PP1_base"], index, 0.42)
    forearm = points["distal_radius"], points["distal_ulna"]
    corners = [
        (forearm[1][0] - 2 * chubby, forearm[1][1] - 12),
        (forearm[1][0] - 12 * chubby, forearm[1][1] + 4),
        (-27.5 - wide * 0.7, -8.0),
        (-27.0 - wide, 14.0),
        _between((-27.0 - wide, 14.0), (little[0] - wide, little[1]), 0.55),
        (little[0] - wide * 1.02, little[1]),
        (little[0] - wide * 0.7, little[1] + 7),
        *webs,
        (index[0] + wide * 0.9, index[1] + 5),
        (index[0] + wide * 1.05, index[1] - 9),
        (web[0], web[1] - 13),
        (thumb[0] - 2, thumb[1] + 4),
        (thumb[0] + 10 * chubby, thumb[1] - 5),
        (points["MC1_base"][0] + 13.5 * chubby, points["MC1_base"][1] + 3),
        (25.0 + wide * 0.9, -8.0),
        (forearm[0][0] + 24 * chubby, forearm[0][1] + 4),
        (forearm[0][0] + 8 * chubby, forearm[0][1] - 12),
    ]
    return np.asarray(round_corners(corners, 3))


def _forearm(points: dict[str, Place], chubby: float) -> npt.NDArray[np.float64]:
    radius, ulna = points["distal_radius_shaft"], points["distal_ulna_shaft"]
    down = np.array([radius[0] + ulna[0], radius[1] + ulna[1]]) / 2
    top = (np.asarray(points["distal_radius"]) + np.asarray(points["distal_ulna"])) / 2
    axis = (top - down) / np.linalg.norm(top - down)
    across = np.array([axis[1], -axis[0]])
    # The radius extends further from the middle of the plates than the ulna.
    top = top + 4.0 * across
    wide = 0.5 + 0.5 * chubby
    at = np.array([34.0, 30.0, 22.0, 10.0, 0.0, -15.0, -35.0, -60.0, -100.0, -150.0, -250.0])
    half = np.array([7.0, 18.0, 26.5, 31.0, 33.0, 33.2, 32.0, 32.0, 35.0, 40.0, 44.0]) * wide
    right = top + at[:, None] * axis + half[:, None] * across
    left = top + at[:, None] * axis - half[:, None] * across
    return np.asarray(round_corners(np.concatenate([left[::-1], right]), 2))


def _muscles(slab: _Slab, points: dict[str, Place], rng: np.random.Generator) -> None:
    """Add the muscles of the palm: the balls of thumb and little finger, and the first web."""
    thumb, index = points["MC1_head"], points["MC2_head"]
    foot = points["MC2_base"]
    web = [
        _between(foot, index, 0.18), _between(foot, index, 0.5), _between(foot, index, 0.80),
        _between(index, thumb, 0.32), _between(index, thumb, 0.70), _between(points["MC1_base"], thumb, 0.75),
        _between(points["MC1_base"], thumb, 0.35),
    ]  # fmt: skip
    slab.body(round_corners(web), rng.uniform(0.2, 1.6), 8.0, added=True)
    scale = slab.pixels_per_mm
    inside = slab.thickness > 0
    lumps = (
        ((18.0, 14.0), 17.0, 5.0), ((-24.0, 8.0), 15.0, 4.0), ((0.0, -8.0), 26.0, 3.0),
        (_between(points["MC3_head"], points["MC4_head"], 0.5), 18.0, -4.5),
    )  # fmt: skip
    for place, radius, height in lumps:
        x, y = slab.pixels([along(place, float(rng.uniform(0, 360)), 3.0)])[0]
        spread = (radius * scale) ** 2
        falls_x = np.exp(-((np.arange(slab.width) - x) ** 2) / (2 * spread))
        falls_y = np.exp(-((np.arange(slab.height) - y) ** 2) / (2 * spread))
        lump = (height * rng.uniform(0.6, 1.3) * falls_y[:, None] * falls_x[None, :]).astype(np.float32)
        slab.thickness += np.where(inside, lump, 0) * np.clip(slab.thickness / 12.0, 0, 1)


def _texture(slab: _Slab, rng: np.random.Generator) -> Layer:
    """The texture of fat between muscles: streaks of a few per cent, mostly along the hand."""
    scale = slab.pixels_per_mm
    texture = np.ones((slab.height, slab.width), dtype=np.float32)
    for (along_mm, across_mm), strength in (((16.0, 2.6), 0.022), ((5.0, 4.0), 0.018), ((1.8, 0.9), 0.012)):
        # Drawn on a coarse grid of the streaks' size, then enlarged, to save time.
        rows = max(2, math.ceil(slab.height / (along_mm * scale)) + 1)
        columns = max(2, math.ceil(slab.width / (across_mm * scale)) + 1)
        small = rng.standard_normal((rows, columns), dtype=np.float32)
        large = Image.fromarray(small).resize((slab.width, slab.height), Image.Resampling.BICUBIC)
        texture += np.float32(strength) * np.asarray(large)
    return texture
