"""How far answers move when a radiograph is rotated, mirrored, marked or compressed: figures of the stress table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from boneage.clinical import brush_sd_months
from boneage.evaluation.bootstrap import RESAMPLES, Bootstrap, Figure, Values
from boneage.evaluation.measuring import Figures, Metric, as_json, measure_all
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.stress.table import UNTRANSFORMED, StressRow
from boneage.evaluation.stress.transforms import MASKED, TRANSFORMS, Transform
from boneage.regions import Region

MEDIAN_BAR: Final = 2.0
"""Months that the answer of half of the cases may move."""
PERCENTILE_95_BAR: Final = 8.0
"""Months that the answer of 95 % of the cases may move."""
MAE_RISE_BAR: Final = 0.15
STRICT_MAE_RISE_BAR: Final = 0.03
STRICT_FAMILIES: Final = frozenset({"rotation", "flip", "inversion"})
"""Orientation and polarity say nothing about the child: there the mean absolute error may hardly rise."""
UNANSWERED_BAR: Final = 0.05
"""Share of the cases that may lose their answer."""
FAR_MONTHS: Final = 12.0


def mae_rise_bar(family: str) -> float:
    """How much the mean absolute error may rise under a family of transforms, as a share of what it was."""
    return STRICT_MAE_RISE_BAR if family in STRICT_FAMILIES else MAE_RISE_BAR


@dataclass(frozen=True)
class Verdict(Figures):
    """Which bars are kept; None without a figure to compare with the bar."""

    median: bool | None
    percentile_95: bool | None
    mae_rise: bool | None
    answered: bool | None

    @classmethod
    def of(cls, levels: Sequence[UnderTransform], family: str) -> Verdict:
        """A bar is kept where the largest figure of all levels keeps it."""

        def keeps(name: str, bar: float) -> bool | None:
            largest = _largest(levels, name)
            return None if largest is None else largest <= bar

        return cls(
            median=keeps("median_change", MEDIAN_BAR),
            percentile_95=keeps("percentile_95_change", PERCENTILE_95_BAR),
            mae_rise=keeps("mae_rise", mae_rise_bar(family)),
            answered=keeps("unanswered", UNANSWERED_BAR),
        )

    @property
    def kept(self) -> bool | None:
        """Whether all bars with a figure are kept; None without any."""
        known = [bar for bar in (self.median, self.percentile_95, self.mae_rise, self.answered) if bar is not None]
        return all(known) if known else None


@dataclass(frozen=True)
class UnderTransform:
    """One transform. The change of a case is its answer under the transform minus its answer without, in months.

    Attributes:
        rejected, failed: cases with an answer without the transform and none under it; they enter no figure.
        changes: float64 [n] in months, of the cases with both answers.
        mae_before, mae_after: without and under the transform, of the cases with both answers and a label.
        mae_change: mean of |error under the transform| - |error without|, paired by case.
        mae_rise: `mae_change` as a share of `mae_before`; None without labels or without an error to begin with.
        mean_change: signed; positive where the transform makes answers older.
        median_change, percentile_95_change: of the absolute change.
        over_12_months: share of cases that move by more than 12 months.
        over_one_sd: share of cases that move by more than one standard deviation of healthy children of that age
            and sex (`boneage.clinical.brush_sd_months` at the answer without the transform).
        sd_not_tabulated: cases left out of `over_one_sd`: that table has no SD for their age or sex.
    """

    transform: Transform
    rejected: int
    failed: int
    changes: Values
    mae_before: Figure
    mae_after: Figure
    mae_change: Figure
    mae_rise: float | None
    mean_change: Figure
    median_change: Figure
    percentile_95_change: Figure
    over_12_months: Figure
    over_one_sd: Figure
    sd_not_tabulated: int

    @property
    def n(self) -> int:
        return len(self.changes)

    @property
    def unanswered(self) -> float | None:
        """Share of the cases with an answer without the transform that have none under it."""
        lost = self.rejected + self.failed
        return lost / (self.n + lost) if self.n + lost else None

    @property
    def verdict(self) -> Verdict:
        return Verdict.of([self], self.transform.family)

    def as_dict(self) -> dict[str, Any]:
        return {
            "family": self.transform.family,
            "n": self.n,
            "rejected": self.rejected,
            "failed": self.failed,
            **{name: as_json(getattr(self, name)) for name in _METRICS},
            "sd_not_tabulated": self.sd_not_tabulated,
            "mae_rise_percent": None if self.mae_rise is None else round(100 * self.mae_rise, 3),
            "kept": self.verdict.as_dict(),
        }


@dataclass(frozen=True)
class Family:
    """Transforms that differ in strength alone; each figure is that of the worst level."""

    name: str
    levels: Sequence[UnderTransform]

    def worst(self, name: str) -> float | None:
        """The largest value of a figure ("median_change", "mae_rise", ...) over the levels."""
        return _largest(self.levels, name)

    @property
    def broken(self) -> list[UnderTransform]:
        """The levels over at least one bar."""
        return [level for level in self.levels if level.verdict.kept is False]

    @property
    def verdict(self) -> Verdict:
        """Kept only where every level keeps it."""
        return Verdict.of(self.levels, self.name)

    def as_dict(self) -> dict[str, Any]:
        rise = self.worst("mae_rise")
        names = ("median_change", "percentile_95_change", "over_one_sd")
        return {
            "levels": [level.transform.name for level in self.levels],
            **{f"worst_{name}": _rounded(self.worst(name)) for name in names},
            "worst_mae_rise_percent": None if rise is None else round(100 * rise, 3),
            "worst_unanswered": _rounded(self.worst("unanswered")),
            "rejected": sum(level.rejected for level in self.levels),
            "failed": sum(level.failed for level in self.levels),
            "over_a_bar": [level.transform.name for level in self.broken],
            "kept": self.verdict.as_dict(),
        }


@dataclass(frozen=True)
class Stress:
    """Everything about one stress table.

    Attributes:
        cases: drawn for the stress suite.
        without_answer: those of them without a single answer even untransformed; they enter no figure.
        under: by name of the transform, in the order of `TRANSFORMS`, the mask among them.
        attention_in_hand: mean share of each region's attention inside the hand's box, radiographs untransformed.
    """

    cases: int
    without_answer: int
    under: Mapping[str, UnderTransform]
    attention_in_hand: Mapping[Region, Figure]

    @property
    def families(self) -> dict[str, Family]:
        """All transforms but the mask: it asks about shortcuts, not about acquisition."""
        found: dict[str, list[UnderTransform]] = {}
        for name, entry in self.under.items():
            if name != MASKED:
                found.setdefault(entry.transform.family, []).append(entry)
        return {name: Family(name, levels) for name, levels in found.items()}

    @property
    def masked(self) -> UnderTransform | None:
        """Under the mask of all that is not the hand."""
        return self.under.get(MASKED)

    def as_dict(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "without_answer": self.without_answer,
            "bars": {
                "median_change_months": MEDIAN_BAR,
                "percentile_95_change_months": PERCENTILE_95_BAR,
                "mae_rise_percent": round(100 * MAE_RISE_BAR, 3),
                "mae_rise_percent_strict": round(100 * STRICT_MAE_RISE_BAR, 3),
                "unanswered_percent": round(100 * UNANSWERED_BAR, 3),
                "strict_families": sorted(STRICT_FAMILIES),
            },
            "families": as_json(self.families),
            "transforms": as_json(self.under),
            "attention_in_hand": as_json(self.attention_in_hand),
        }


def evaluate_stress(rows: Iterable[StressRow], *, resamples: int = RESAMPLES, seed: int = 0) -> Stress:
    """Every figure of a stress table. Transforms that the table does not hold are left out."""
    by_transform: dict[str, dict[str, StressRow]] = {}
    for row in rows:
        by_transform.setdefault(row.transform, {})[row.prediction.id] = row
    untransformed = by_transform.get(UNTRANSFORMED, {})
    answered = {
        case: row.prediction for case, row in untransformed.items() if row.prediction.predicted_months is not None
    }
    bootstrap = Bootstrap(resamples, seed)
    under: dict[str, UnderTransform] = {}
    for transform in TRANSFORMS:
        if (found := by_transform.get(transform.name)) is not None:
            pairs = [_Pair(answered[case], row.prediction) for case, row in found.items() if case in answered]
            under[transform.name] = _measure(transform, pairs, bootstrap)
    return Stress(
        cases=len(untransformed),
        without_answer=len(untransformed) - len(answered),
        under=under,
        attention_in_hand={
            region: bootstrap.figure(
                [row.attention_in_hand[region] for row in untransformed.values() if region in row.attention_in_hand]
            )
            for region in Region
        },
    )


@dataclass(frozen=True)
class _Pair:
    """One case without and under a transform."""

    before: Prediction
    after: Prediction

    @property
    def change(self) -> float | None:
        if self.before.predicted_months is None or self.after.predicted_months is None:
            return None
        return self.after.predicted_months - self.before.predicted_months

    @property
    def size(self) -> float | None:
        return None if self.change is None else abs(self.change)

    @property
    def errors(self) -> tuple[float, float] | None:
        """Absolute errors before and after; None without both answers and a label."""
        label, before, after = self.before.age_months, self.before.predicted_months, self.after.predicted_months
        return None if label is None or before is None or after is None else (abs(before - label), abs(after - label))

    @property
    def over_one_sd(self) -> bool | None:
        if self.size is None or self.before.sex is None or self.before.predicted_months is None:
            return None
        sd = brush_sd_months(self.before.sex, self.before.predicted_months)
        return None if sd is None else self.size > sd


def _percentile_95(values: Values, axis: int = -1) -> Values:
    return np.asarray(np.quantile(values, 0.95, axis=axis))


_METRICS: Final[Mapping[str, Metric[_Pair]]] = {
    "mae_before": Metric(lambda pair: pair.errors and pair.errors[0]),
    "mae_after": Metric(lambda pair: pair.errors and pair.errors[1]),
    "mae_change": Metric(lambda pair: pair.errors and pair.errors[1] - pair.errors[0]),
    "mean_change": Metric(lambda pair: pair.change),
    "median_change": Metric(lambda pair: pair.size, np.median),
    "percentile_95_change": Metric(lambda pair: pair.size, _percentile_95),
    "over_12_months": Metric(lambda pair: None if pair.size is None else pair.size > FAR_MONTHS),
    "over_one_sd": Metric(lambda pair: pair.over_one_sd),
}


def _measure(transform: Transform, pairs: Sequence[_Pair], bootstrap: Bootstrap) -> UnderTransform:
    changes = np.array([pair.change for pair in pairs if pair.change is not None], dtype=np.float64)
    figures = measure_all(_METRICS, pairs, bootstrap)
    before, change = figures["mae_before"].value, figures["mae_change"].value
    return UnderTransform(
        transform=transform,
        rejected=sum(pair.after.status == "rejected" for pair in pairs),
        failed=sum(pair.after.status == "failed" for pair in pairs),
        changes=changes,
        mae_rise=change / before if before and change is not None else None,
        sd_not_tabulated=len(changes) - figures["over_one_sd"].n,
        **figures,
    )


def _largest(levels: Sequence[UnderTransform], name: str) -> float | None:
    found = [getattr(level, name) for level in levels]
    values = [entry.value if isinstance(entry, Figure) else entry for entry in found]
    return max((value for value in values if value is not None), default=None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
