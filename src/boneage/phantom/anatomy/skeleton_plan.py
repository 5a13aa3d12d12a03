"""The adult hand towards which every phantom grows: positions and sizes of its bones.

Millimetres of an adult male left hand, palm down, as a radiograph shows it: x towards the thumb, y towards the
fingertips, from the middle of the capitate. Lengths and widths are rounded from published radiogrammetry; outlines were
drawn by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from boneage.phantom.anatomy.outlines import Place


@dataclass(frozen=True)
class Carpal:
    """A carpal bone: corners of its outline (before rounding), the point where it starts to ossify, half its depth."""

    corners: tuple[Place, ...]
    start: Place
    half_depth: float


CARPAL_PLAN: Final[dict[str, Carpal]] = {
    "capitate": Carpal(
        ((-6.8, 12.8), (-3, 13.6), (3, 13.4), (7.4, 12.4), (7.9, 7), (6.0, 2), (7.2, -4), (6.8, -9.5), (3, -13.2),
         (-2.5, -13), (-6.4, -9.5), (-6.2, -3), (-7.2, 4)),
        (0.0, 2.5), 8.6,
    ),
    "hamate": Carpal(
        ((-22.6, 11), (-15, 13.4), (-7.4, 13.2), (-6.6, 6), (-6.4, -4), (-7, -11.6), (-10.5, -9.6), (-15.5, -3.6),
         (-21, 2), (-23.8, 6)),
        (-13.0, 3.5), 7.6,
    ),
    "triquetrum": Carpal(
        ((-23.2, -1.6), (-18, -2.4), (-12.4, -9), (-11.4, -15.5), (-15.5, -18.4), (-20.6, -16), (-24.6, -9)),
        (-17.5, -9.0), 6.6,
    ),
    "lunate": Carpal(
        ((-12.8, -12), (-9, -10.4), (-4.5, -13.4), (0.6, -11.8), (2.6, -16), (1.4, -21), (-4.5, -23), (-10.6, -21.4),
         (-13.6, -16.5)),
        (-5.3, -16.2), 7.4,
    ),
    "scaphoid": Carpal(
        ((1.6, -13.6), (5.4, -8.6), (7.6, -3.4), (10, 1.2), (15.2, 2.6), (19.4, -0.6), (18.6, -7), (15, -12.8),
         (10, -18.6), (5, -21.6), (1.4, -19.4)),
        (11.5, -7.5), 6.8,
    ),
    "trapezoid": Carpal(
        ((7.6, 12.4), (13, 13.6), (17, 9.6), (16.4, 3), (11.6, 1.2), (7.2, 4)),
        (12.0, 8.0), 7.0,
    ),
    "trapezium": Carpal(
        ((12.8, 10.6), (19, 13), (25.6, 9.2), (27.6, 3), (25, -3), (18.4, -4.2), (13.6, 0), (12, 5.4)),
        (20.5, 4.0), 6.8,
    ),
    "pisiform": Carpal(
        ((-21.5, -3), (-17.2, -3.4), (-14.8, -7.4), (-16, -12.6), (-20, -14.2), (-23.4, -10.4), (-23.6, -6)),
        (-19.0, -8.5), 4.6,
    ),
}  # fmt: skip
HOOK_OF_HAMATE: Final = ((-16.8, 7.5), (-13.2, 9.2), (-10.2, 6), (-10.6, 1.4), (-13.8, -0.4), (-16.8, 2.6))


@dataclass(frozen=True)
class LongBone:
    """A metacarpal or phalanx: its centre, the kind of its profile, length and half width of the shaft."""

    centre: str
    kind: str
    length: float
    half: float


@dataclass(frozen=True)
class Ray:
    """One finger from the metacarpal's base; `fan` is the angle that each joint adds, degrees towards the thumb."""

    base: Place
    degrees: float
    fan: tuple[float, ...]
    bones: tuple[LongBone, ...]


def _ray(
    number: int,
    base: Place,
    degrees: float,
    fan: tuple[float, ...],
    lengths: tuple[float, ...],
    halves: tuple[float, ...],
) -> Ray:
    kinds = ["metacarpal", "proximal_phalanx", "middle_phalanx", "distal_phalanx"]
    names = ["MC", "PP", "MP", "DP"]
    if number == 1:
        kinds[0] = "first_metacarpal"
        del kinds[2], names[2]
    bones = tuple(
        LongBone(f"{name}{number}", kind, length, half)
        for name, kind, length, half in zip(names, kinds, lengths, halves, strict=True)
    )
    return Ray(base, degrees, fan, bones)


RAYS: Final = (
    _ray(1, (27.5, 8.0), 35.0, (-1.0, 3.0), (46.0, 31.5, 22.5), (4.9, 4.5, 3.3)),
    _ray(2, (11.0, 14.0), 2.5, (6.0, -1.5, -0.5), (67.5, 40.5, 24.0, 17.5), (3.5, 4.5, 3.9, 2.6)),
    _ray(3, (0.8, 14.6), -3.0, (3.5, 0.0, 0.5), (65.0, 45.0, 28.5, 18.0), (3.5, 4.7, 4.0, 2.7)),
    _ray(4, (-9.0, 13.8), -12.0, (5.0, 1.0, 0.5), (57.5, 42.0, 27.0, 18.0), (3.0, 4.4, 3.8, 2.6)),
    _ray(5, (-17.4, 12.0), -22.5, (5.0, 2.5, 1.0), (53.0, 33.0, 19.5, 16.5), (3.3, 4.0, 3.3, 2.3)),
)
BASES: Final[dict[str, tuple[float, ...]]] = {
    "MC1": (-0.6, 0.5, 1.2, 0.5, -0.4),
    "MC2": (-1.4, 0.6, 2.2, 0.9, -0.2),
    "MC3": (0.9, 0.2, 0.0, -0.7, -2.0),
    "MC4": (0.4, 0.0, 0.1, 0.0, 0.2),
    "MC5": (2.0, 0.9, 0.2, 0.1, 0.7),
}
"""The metacarpals' joint surfaces: millimetres along the bone, from its little finger's to its thumb's side."""

JOINT: Final = 0.95
"""Millimetres of cartilage between two bones of a finger, of an adult."""


@dataclass(frozen=True)
class ForearmBone:
    """Radius or ulna: corners of the outline from the distal end down, and the line of the growth plate."""

    corners: tuple[Place, ...]
    plate: Place
    normal: Place
    half_depth: float
    gap: float


FOREARM_END: Final = -290.0
FOREARM_PLAN: Final[dict[str, ForearmBone]] = {
    "distal_radius": ForearmBone(
        ((-12.2, -25.4), (-6, -25), (0, -24.2), (6, -22.6), (11, -20.4), (15.5, -17.6), (18.6, -16), (20.4, -18.4),
         (20.6, -23), (19.9, -29), (17.4, -38), (14.4, -50), (11.6, -70), (10, -110), (11, FOREARM_END),
         (-3, FOREARM_END), (-2.6, -110), (-2.4, -70), (-4.2, -50), (-7.8, -38), (-11.4, -31), (-12.8, -28)),
        (4.0, -31.0), (-0.08, 0.9968), 10.5, 1.7,
    ),
    "distal_ulna": ForearmBone(
        ((-16.8, -28), (-18.6, -25.8), (-23.5, -25.0), (-27.4, -24.4), (-28.6, -21.4), (-30.4, -20.6), (-31.6, -23.5),
         (-32.0, -29), (-31.6, -35), (-29, -48), (-27.6, -70), (-27, -110), (-29, FOREARM_END), (-18, FOREARM_END),
         (-18.2, -110), (-18.6, -70), (-18.4, -48), (-17.2, -36), (-16.6, -31)),
        (-24.5, -31.5), (0.0, 1.0), 7.2, 1.5,
    ),
}  # fmt: skip
