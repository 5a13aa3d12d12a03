"""Outlines of bones as they mature: from a dot to a body with facets, from a disc to a cap.

All lengths are millimetres of an adult male hand. An outline is a closed polygon, float64 [n, 2], of (x, y).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

Points = npt.NDArray[np.float64]
Place = tuple[float, float]

# Half width of a long bone along it, in half widths of its shaft; t = 0 at the base, 1 at the tip.
PROFILES: Final[dict[str, tuple[tuple[float, float], ...]]] = {
    "metacarpal": (
        (0.0, 1.34), (0.03, 1.64), (0.09, 1.66), (0.2, 1.24), (0.36, 0.98), (0.5, 0.96), (0.65, 1.14), (0.76, 1.48),
        (0.83, 1.77), (0.88, 1.94), (0.92, 1.91), (0.96, 1.60), (0.985, 1.15), (1.0, 0.62),
    ),
    "first_metacarpal": (
        (0.0, 1.00), (0.03, 1.32), (0.09, 1.46), (0.16, 1.40), (0.3, 1.12), (0.5, 0.99), (0.68, 1.04), (0.8, 1.22),
        (0.88, 1.38), (0.94, 1.34), (0.98, 1.05), (1.0, 0.62),
    ),
    "proximal_phalanx": (
        (0.0, 1.22), (0.025, 1.50), (0.07, 1.60), (0.12, 1.54), (0.2, 1.30), (0.35, 1.09), (0.55, 0.97), (0.7, 0.94),
        (0.8, 1.00), (0.88, 1.17), (0.94, 1.24), (0.98, 1.08), (1.0, 0.84),
    ),
    "middle_phalanx": (
        (0.0, 1.25), (0.03, 1.56), (0.1, 1.66), (0.17, 1.52), (0.3, 1.20), (0.5, 0.98), (0.65, 0.94), (0.78, 1.04),
        (0.88, 1.25), (0.94, 1.28), (0.98, 1.08), (1.0, 0.82),
    ),
    "distal_phalanx": (
        (0.0, 1.55), (0.04, 1.98), (0.12, 2.05), (0.2, 1.78), (0.34, 1.26), (0.5, 0.98), (0.63, 0.90), (0.74, 1.05),
        (0.83, 1.40), (0.90, 1.46), (0.96, 1.15), (0.985, 0.8), (1.0, 0.4),
    ),
}  # fmt: skip
PLATES: Final = {
    "metacarpal": 0.835,
    "first_metacarpal": 0.15,
    "proximal_phalanx": 0.090,
    "middle_phalanx": 0.118,
    "distal_phalanx": 0.165,
}
"""Position of the growth plate along the bone, 0 at the base to 1 at the tip."""

_CURVES: Final = {name: PchipInterpolator(*np.array(points).T) for name, points in PROFILES.items()}


def half_width(kind: str, t: Points, flare: float) -> Points:
    """Half width in half widths of the shaft, [n]; `flare` 1 for an adult, less for the tubular bones of a child."""
    curve = np.asarray(_CURVES[kind](np.clip(t, 0.0, 1.0)))
    end = np.where((t < 0.04) | (t > 0.95), 1.0, flare)
    return np.where(curve > 1.0, 1.0 + (curve - 1.0) * end, curve)


def round_corners(points: npt.ArrayLike, times: int = 3) -> Points:
    """Round the corners of a closed polygon (Chaikin), towards a quadratic B-spline."""
    outline = np.asarray(points, dtype=np.float64)
    for _ in range(times):
        following = np.roll(outline, -1, axis=0)
        pair = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1)
        outline = pair.reshape(-1, 2)
    return outline


def resample(outline: Points, count: int) -> Points:
    """Resample a closed polygon to `count` points at equal distances."""
    closed = np.concatenate([outline, outline[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0.0, along[-1], count, endpoint=False)
    return np.stack([np.interp(at, along, closed[:, 0]), np.interp(at, along, closed[:, 1])], axis=1)


def ripen(mature: Points, centre: Place, size: float, shape: float) -> Points:
    """The outline of a carpal bone on the way to its adult outline.

    Args:
        mature: the adult outline.
        centre: the point where ossification starts.
        size: 0 to 1 of the adult length.
        shape: 0 the ellipse that fits best, 1 the adult outline.
    """
    middle = mature.mean(axis=0)
    offsets = mature - middle
    covariance = offsets.T @ offsets / len(offsets)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors @ np.diag(np.sqrt(np.maximum(values, 1e-9))) @ vectors.T
    white = offsets @ np.linalg.inv(root)
    radius = np.hypot(*white.T)[:, None]
    ellipse = (white / radius * 1.38) @ root
    start = np.asarray(centre)
    here = start + (middle - start) * size
    return np.asarray(here + size * ((1.0 - shape) * ellipse + shape * offsets))


def grow_disc(mature: Points, plate_side: float, width: float, height: float, shape: float) -> Points:
    """The outline of an epiphysis on the way to its adult outline; coordinates (u across, v away from the plate).

    Args:
        mature: the adult outline; v = 0 at the plate.
        plate_side: v of its side towards the plate, in millimetres.
        width, height: 0 to 1 of the adult size.
        shape: 0 an oval disc, 1 the adult outline.
    """
    low, high = mature.min(axis=0), mature.max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2
    unit = (mature - centre) / half
    # Interpolated point by point between both outlines: scaled towards its middle, an adult outline with a hollow would
    # fold.
    first, turn = math.atan2(unit[0, 1], unit[0, 0]), np.linspace(0.0, 2 * math.pi, len(unit), endpoint=False)
    area = unit[:, 0] * np.roll(unit[:, 1], -1) - np.roll(unit[:, 0], -1) * unit[:, 1]
    angle = first + math.copysign(1.0, float(area.sum())) * turn
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ring = resample(ring / (np.abs(ring) ** 2.3).sum(axis=1, keepdims=True) ** (1 / 2.3) * half, len(ring)) / half
    form = (1.0 - shape) * ring + shape * unit
    now = half * (width, height)
    return np.asarray((centre[0], plate_side + now[1]) + form * now)


def clip_to_side(outline: Points, place: Place, normal: Place) -> Points:
    """Clip a closed polygon to one side of a line through `place`: the side to which `normal` points."""
    side = (outline - np.asarray(place)) @ np.asarray(normal)
    following = np.roll(side, -1)
    inside = side >= 0
    crosses = inside != (following >= 0)
    share = side / np.where(crosses, side - following, 1.0)
    between = outline + share[:, None] * (np.roll(outline, -1, axis=0) - outline)
    both = np.stack([outline, between], axis=1).reshape(-1, 2)
    return np.asarray(both[np.stack([inside, crosses], axis=1).reshape(-1)])
