"""What a hand's skeleton is made of: pieces of bone with what is inside, in millimetres of an adult hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from boneage.phantom.anatomy.development import CentreState, Child, smooth_step
from boneage.phantom.anatomy.outlines import Place, Points

SUBCHONDRAL_MM: Final = 0.34
"""Thickness of the thin plate of dense bone at the ends and around small bones."""


@dataclass(frozen=True)
class Shaft:
    """What lies along a long bone, each float64 [n] over `at` millimetres from `base` in direction `degrees`.

    Attributes:
        half, aside: half width, and how far the middle lies to the thumb's side of the axis.
        depth: half of the bone's depth towards the tube.
        cortex: thickness of the dense wall.
        marrow: share of bone in the marrow space, 0 to 1.
    """

    base: Place
    degrees: float
    at: Points
    half: Points
    aside: Points
    depth: Points
    cortex: Points
    marrow: Points


@dataclass(frozen=True)
class Piece:
    """One ossified piece as the film sees it.

    Attributes:
        centre: the name of its ossification centre.
        part: "shaft", "epiphysis", "whole" (fused), "body" (carpal bones, sesamoid) or "line" (where a plate was).
        outline: closed polygon, float64 [n, 2].
        depth: half of the greatest depth, for pieces without a shaft.
        edge: over how many millimetres from the outline the depth rises.
        cortex, marrow: as in `Shaft`.
        shaft: what lies along it, for long bones.
        weight: 1, or less while a plate closes and the open and the fused bone are both partly there.
    """

    centre: str
    part: str
    outline: Points
    depth: float = 5.0
    edge: float = 2.0
    cortex: float = SUBCHONDRAL_MM
    marrow: float = 0.26
    shaft: Shaft | None = None
    weight: float = 1.0


@dataclass
class Skeleton:
    """All pieces of a hand, the states of its centres, and its key points (names -> places)."""

    pieces: list[Piece] = field(default_factory=list)
    states: dict[str, CentreState] = field(default_factory=dict)
    key_points: dict[str, Place] = field(default_factory=dict)
    ends: dict[str, Points] = field(default_factory=dict)
    """Adult outline of the distal end of radius and ulna, where it will be."""


_WOBBLE_DEGREES: Final = np.array([(1.0, 6.0, 9.0, 0.0)] + 4 * [(1.0, 2.4, 3.0, 3.0)])
"""Standard deviation at each joint of each finger, the mobile thumb first."""


@dataclass(frozen=True)
class Posture:
    """How the hand lies: `spread` stretches the angles between the fingers, degrees are towards the thumb."""

    spread: float
    thumb_degrees: float
    wrist_degrees: float
    wobble: Points
    """float64 [5, 4]: degrees added at each joint."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Posture:
        return cls(
            spread=float(np.clip(rng.normal(1.45, 0.6), 0.2, 2.8)),
            thumb_degrees=float(np.clip(rng.normal(0.0, 12.0), -22, 24)),
            wrist_degrees=float(np.clip(rng.normal(0.0, 7.0), -15, 15)),
            wobble=np.clip(rng.normal(0.0, 1.0, (5, 4)), -2.3, 2.3) * _WOBBLE_DEGREES,
        )


@dataclass(frozen=True)
class Build:
    """What shapes every bone of one child at one age: how grown, how stout, and its own random numbers."""

    child: Child
    age_months: float
    growth: float
    stout: float
    rng: np.random.Generator

    @property
    def flare(self) -> float:
        return 0.90 + 0.10 * smooth_step((self.growth - 0.45) / 0.5)

    @property
    def cartilage(self) -> float:
        """Share of an end without epiphysis that has not ossified yet."""
        return max(0.0, 1.0 - (self.growth - 0.3) / 0.6)


def along(start: Place, degrees: float, length: float, aside: float = 0.0) -> Place:
    """The place `length` millimetres from `start`; 0 degrees points to the fingertips, 90 to the thumb."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return start[0] + length * sine + aside * cosine, start[1] + length * cosine - aside * sine


def placed(local: Points, base: Place, degrees: float) -> Points:
    """(u across, t along) of a bone -> the hand's millimetres."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    u, t = local.T
    return np.stack([base[0] + t * sine + u * cosine, base[1] + t * cosine - u * sine], axis=1)
