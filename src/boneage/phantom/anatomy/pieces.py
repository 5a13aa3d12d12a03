"""The parts of a hand's skeleton: pieces of bone with their structure, in millimetres of an adult hand."""

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
    """The structure along a long bone: float64 [n] each, at `at` millimetres from `base` in direction `degrees`.

    Attributes:
        half, aside: half width, and the distance of the middle from the axis, to the thumb's side.
        depth: half of the bone's depth, towards the X-ray tube.
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
    """One ossified piece, as projected.

    Attributes:
        centre: the name of its ossification centre.
        part: "shaft", "epiphysis", "whole" (fused), "body" (carpal bones, sesamoid), "hook" or "line" (closed plate).
        outline: closed polygon, float64 [n, 2].
        depth: half of the greatest depth, for pieces without a shaft.
        edge: millimetres from the outline over which the depth rises.
        cortex, marrow: as in `Shaft`.
        shaft: the structure along it, for long bones.
        weight: 1; less while a plate closes, when the open and the fused bone overlap.
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
    """All pieces of a hand, the states of its ossification centres, and its key points by name."""

    pieces: list[Piece] = field(default_factory=list)
    states: dict[str, CentreState] = field(default_factory=dict)
    key_points: dict[str, Place] = field(default_factory=dict)
    ends: dict[str, Points] = field(default_factory=dict)
    """Adult outlines of the distal ends of radius and ulna, at any age."""


_WOBBLE_DEGREES: Final = np.array([(1.0, 6.0, 9.0, 0.0)] + 4 * [(1.0, 2.4, 3.0, 3.0)])
"""Standard deviation at each joint of each finger, the mobile thumb first."""


@dataclass(frozen=True)
class Posture:
    """How the hand lies. `spread` scales the angles between the fingers; degrees are towards the thumb."""

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
    """What shapes every bone of one child at one age: growth, stoutness and random numbers."""

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
        """Share of a bone end without epiphysis that has not ossified yet."""
        return max(0.0, 1.0 - (self.growth - 0.3) / 0.6)


def along(start: Place, degrees: float, length: float, aside: float = 0.0) -> Place:
    """The point `length` millimetres from `start`; 0 degrees points to the fingertips, 90 to the thumb."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return start[0] + length * sine + aside * cosine, start[1] + length * cosine - aside * sine


def place_on_hand(local: Points, base: Place, degrees: float) -> Points:
    """Coordinates of a bone (u across, t along) -> coordinates of the hand, both in millimetres."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    u, t = local.T
    return np.stack([base[0] + t * sine + u * cosine, base[1] + t * cosine - u * sine], axis=1)
