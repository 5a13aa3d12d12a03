"""How a child's hand matures: tempo, the appearance of ossification centres, the closing of growth plates, growth.

Bone age is the common cause. Tempo is how far bone age is ahead of chronological age. It moves all centres of a child
together, so one radiograph cannot show it. At one bone age only the smaller individual part of each centre varies. The
months come from the tables in `data/`; their NOTE.md lists the unsourced ones.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np

from boneage.ages import Sex

INDIVIDUAL: Final = 0.4
"""Individual standard deviation of a centre over that of its table; the rest is tempo, common to all centres."""

FUSION_SD_MONTHS: Final = 3.5
"""Individual standard deviation of a growth plate around the month at which its group closes."""

_P5: Final = 1.645
"""Standard deviations from the median to the 5th and the 95th percentile of a normal distribution."""

SESAMOID: Final = "sesamoid_adductor_pollicis"
CARPALS: Final = (
    "capitate", "hamate", "triquetrum", "lunate", "trapezium", "trapezoid", "scaphoid", "pisiform",
)  # fmt: skip

# Percent of the adult length of the hand at a bone age in months, rounded from the growth of stature.
_GROWTH: Final[Mapping[Sex, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    Sex.MALE: (
        (0, 6, 12, 24, 36, 48, 72, 96, 120, 144, 156, 168, 180, 192, 216),
        (0.30, 0.385, 0.435, 0.505, 0.555, 0.60, 0.68, 0.73, 0.79, 0.85, 0.885, 0.935, 0.97, 0.985, 1.0),
    ),
    Sex.FEMALE: (
        (0, 6, 12, 24, 36, 48, 72, 96, 120, 132, 144, 156, 168, 180, 204),
        (0.32, 0.41, 0.465, 0.54, 0.595, 0.64, 0.72, 0.79, 0.862, 0.905, 0.935, 0.96, 0.98, 0.99, 1.0),
    ),
}
_ADULT: Final[Mapping[Sex, float]] = {Sex.MALE: 1.0, Sex.FEMALE: 0.92}

# Standard deviation of bone age among healthy children of one age, rounded from the Brush Foundation's.
_TEMPO_SD: Final = ((0.0, 12.0, 24.0, 48.0, 72.0, 120.0, 156.0, 204.0), (0.5, 1.9, 4.2, 7.5, 9.5, 10.5, 10.6, 11.5))


@dataclass(frozen=True)
class Event:
    """The month of an event: median, and the standard deviations below and above it."""

    median: float
    earlier: float
    later: float


@cache
def appearances(sex: Sex) -> Mapping[str, Event]:
    """Centre -> its appearance, in the order of the table."""
    letter = "M" if sex is Sex.MALE else "F"
    found = {}
    for row in _table("ossification_appearance_months.csv"):
        p5, p50, p95 = (float(row[f"{letter}_{part}_mem"]) for part in ("p5", "p50", "p95"))
        found[row["center"]] = Event(p50, (p50 - p5) / _P5, (p95 - p50) / _P5)
    return found


@cache
def fusions(sex: Sex) -> Mapping[str, tuple[float, float]]:
    """Centre with a growth plate -> the months at which the plate begins to close and is closed."""
    letter = "M" if sex is Sex.MALE else "F"
    groups = {
        row["group"]: (float(row[f"{letter}_begin_approx"]), float(row[f"{letter}_complete"]))
        for row in _table("epiphyseal_fusion_months.csv")
    }
    members = {
        "distal_phalanges": [f"DP{finger}" for finger in range(1, 6)],
        "MC1": ["MC1"],
        "proximal_phalanges": [f"PP{finger}" for finger in range(1, 6)],
        "middle_phalanges": [f"MP{finger}" for finger in range(2, 6)],
        "MC2_5": [f"MC{finger}" for finger in range(2, 6)],
        "distal_ulna": ["distal_ulna"],
        "distal_radius": ["distal_radius"],
    }
    return {centre: groups[group] for group, centres in members.items() for centre in centres}


def _table(name: str) -> list[dict[str, str]]:
    text = (files(__package__) / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@dataclass(frozen=True)
class CentreState:
    """One ossification centre at one bone age.

    Attributes:
        appears_months: bone age at which this child's centre is first seen.
        appeared: whether it is there.
        maturity: 0 (just appeared) to 1 (adult shape; of an epiphysis: about to fuse). It never falls with age.
        fused: 0 (open growth plate) to 1 (closed); 0 for centres without a plate.
    """

    appears_months: float
    appeared: bool
    maturity: float
    fused: float


@dataclass(frozen=True)
class Child:
    """One child at every age: the same random draws hold at every bone age.

    Attributes:
        sex: of the child.
        tempo: standard deviations by which bone age is ahead of chronological age.
        appears_months: centre -> bone age at its appearance.
        closes_months: centre with a growth plate -> bone ages at which it begins to close and is closed.
        stature: length of this hand over the average at its bone age and sex.
    """

    sex: Sex
    tempo: float
    appears_months: Mapping[str, float]
    closes_months: Mapping[str, tuple[float, float]]
    stature: float

    @classmethod
    def drawn(cls, sex: Sex, rng: np.random.Generator) -> Child:
        """Draw a child; the number of draws does not depend on the sex."""
        tempo = float(np.clip(rng.normal(), -2.5, 2.5))
        stature = float(np.clip(rng.normal(1.0, 0.03), 0.9, 1.1))
        appears = {}
        for centre, event in appearances(sex).items():
            z = INDIVIDUAL * float(np.clip(rng.normal(), -2.0, 2.0))
            appears[centre] = max(0.0, event.median + z * (event.earlier if z < 0 else event.later))
        closes = {}
        for centre, (begin, end) in fusions(sex).items():
            shift = FUSION_SD_MONTHS * float(np.clip(rng.normal(), -2.0, 2.0))
            closes[centre] = (begin + shift, end + shift)
        return cls(sex=sex, tempo=tempo, appears_months=appears, closes_months=closes, stature=stature)

    def chronological_age_months(self, bone_age_months: float) -> float:
        """The chronological age of this child at a bone age, at least half a month."""
        return max(0.5, bone_age_months - self.tempo * float(np.interp(bone_age_months, *_TEMPO_SD)))

    def length_scale(self, bone_age_months: float) -> float:
        """Length of this hand over that of the average adult male hand."""
        return _ADULT[self.sex] * self.growth(bone_age_months) * self.stature

    def growth(self, bone_age_months: float) -> float:
        """Length of the hand over its adult length, 0.3 to 1."""
        return float(np.interp(bone_age_months, *_GROWTH[self.sex]))

    def centre(self, name: str, bone_age_months: float) -> CentreState:
        """The state of a centre at a bone age."""
        appears = self.appears_months[name]
        since = bone_age_months - appears
        fused = 0.0
        if name in self.closes_months:
            begin, end = self.closes_months[name]
            maturity = since / max(begin - appears, 1.0)
            fused = smooth_step((bone_age_months - begin) / (end - begin))
        elif name == SESAMOID:
            maturity = since / 30.0
        else:
            # A carpal bone reaches most of its size within five years, and its adult shape at the growth spurt.
            adult = 162.0 if self.sex is Sex.MALE else 144.0
            quick = 1.0 - np.exp(-since / 52.0) if since > 0 else 0.0
            slow = since / max(adult - appears, 40.0)
            maturity = 0.6 * float(quick) + 0.4 * min(1.0, slow)
            if slow >= 1.0:
                maturity = max(maturity, 0.96 + 0.04 * min(1.0, slow - 1.0))
        return CentreState(
            appears_months=appears, appeared=since >= 0.0, maturity=float(np.clip(maturity, 0.0, 1.0)), fused=fused
        )


def smooth_step(t: float) -> float:
    """0 up to t = 0, 1 from t = 1, smooth between."""
    t = min(1.0, max(0.0, t))
    return t * t * (3.0 - 2.0 * t)
