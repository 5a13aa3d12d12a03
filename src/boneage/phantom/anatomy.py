"""How a drawn hand is built and when its centres ripen, in millimetres of an adult hand and in months.

The months are rounded from memory of the atlases: good for drawing, for no clinical use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from boneage.phantom.canvas import Place

# Lengths are millimetres of an adult hand, x towards the thumb, y towards the fingertips, from the capitate's base.
CARPALS: Final[dict[str, tuple[Place, tuple[float, float], tuple[float, float]]]] = {
    # centre, half axes, mean appearance in months (male, female)
    "capitate": ((2.0, 15.5), (6.0, 9.5), (3, 2)),
    "hamate": ((-8.0, 15.5), (6.3, 7.6), (4, 2)),
    "triquetrum": ((-11.5, 5.5), (5.6, 4.8), (29, 21)),
    "lunate": ((-1.0, 2.0), (6.0, 5.3), (49, 31)),
    "trapezium": ((18.5, 16.5), (5.8, 5.6), (70, 49)),
    "trapezoid": ((11.0, 19.5), (4.6, 4.8), (75, 50)),
    "scaphoid": ((11.5, 6.5), (5.4, 7.4), (68, 49)),
    "pisiform": ((-14.0, 8.0), (3.2, 3.4), (132, 102)),
}


@dataclass(frozen=True)
class Ray:
    """One finger: the metacarpal's base, its direction, and what lies along it from base to tip."""

    base: Place
    degrees: float
    fan: float
    lengths: tuple[float, ...]
    widths: tuple[float, ...]


RAYS: Final = (
    Ray((20.5, 22.5), 36.0, -3.0, (44.0, 30.0, 21.0), (9.0, 8.2, 6.8)),
    Ray((12.0, 27.0), 9.0, 2.0, (66.0, 40.0, 23.5, 16.5), (8.2, 8.0, 6.8, 5.6)),
    Ray((3.5, 27.5), 1.0, 0.5, (63.0, 44.0, 28.0, 17.5), (8.2, 8.2, 7.2, 5.8)),
    Ray((-5.5, 26.0), -6.5, -1.5, (57.0, 41.5, 27.0, 17.5), (7.0, 7.6, 6.8, 5.6)),
    Ray((-13.0, 23.5), -14.0, -4.0, (53.0, 33.0, 19.0, 15.5), (7.0, 6.8, 5.8, 5.0)),
)

# Months (male, female): the epiphysis appears; its plate begins to close; it is closed.
METACARPAL: Final = ((21, 14), (186, 164), (204, 180))
FIRST_METACARPAL: Final = ((31, 19), (180, 162), (192, 174))
PHALANX: Final = (
    ((17, 11), (180, 162), (204, 180)),
    ((25, 16), (180, 166), (204, 180)),
    ((29, 18), (176, 154), (190, 166)),
)
RADIUS: Final = ((13, 10), (200, 178), (226, 204))
ULNA: Final = ((85, 64), (196, 174), (216, 196))

GROWTH: Final = ((0, 12, 36, 72, 120, 168, 216, 240), (0.40, 0.50, 0.60, 0.70, 0.82, 0.93, 1.0, 1.0))


@dataclass(frozen=True)
class Maturity:
    """How far each centre is, at one bone age, for one sex and one child."""

    age_months: float
    column: int
    tempo: float

    def since(self, pair: tuple[float, float]) -> float:
        """Months since an event; negative before it."""
        return self.age_months - pair[self.column] * self.tempo

    def share(self, begin: tuple[float, float], end: tuple[float, float]) -> float:
        """0 before `begin`, 1 after `end`, smooth between."""
        span = (end[self.column] - begin[self.column]) * self.tempo
        t = min(1.0, max(0.0, self.since(begin) / span))
        return t * t * (3.0 - 2.0 * t)
