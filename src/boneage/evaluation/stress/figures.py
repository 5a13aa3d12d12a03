"""How far answers move when a film is turned, mirrored, marked or compressed: figures of the stress table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from boneage.clinical import brush_sd_months
from boneage.evaluation.bootstrap import RESAMPLES, Figure, Values, figure, median
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
"""How a film is hung or saved says nothing about the child: there the mean absolute error may hardly rise."""
UNANSWERED_BAR: Final = 0.05
"""Share of the cases that may lose their answer."""
FAR_MONTHS: Final = 12.0


def mae_rise_bar(family: str) -> float:
    """How much the mean absolute error may rise under a family of transforms, as a share of what it was."""
    return STRICT_MAE_RISE_BAR if family in STRICT_FAMILIES else MAE_RISE_BAR


@dataclass(frozen=True)
class Verdict:
    """Which bars are kept; None where there is no figure."""

    median: bool | None
    percentile_95: bool | None
    mae_rise: bool | None
    answered: bool | None = None

    @property
    def kept(self) -> bool | None:
        """All of them; None where none has a figure."""
        known = [bar for bar in (self.median, self.percentile_95, self.mae_rise, self.answered) if bar is not None]
        return all(known) if known else None

    def as_dict(self) -> dict[str, bool | None]:
        return {
            "median": self.median,
            "percentile_95": self.percentile_95,
            "mae_rise": self.mae_rise,
            "answered": self.answered,
        }


@dataclass(frozen=True)
class UnderTransform:
    """One transform. The change of a case is its answer under the transform minus its answer without, in months.

    Attributes:
        transform: which.
        rejected, failed: cases that had an answer without the transform and none under it; they enter no figure.
        changes: float64 [n] in months, of the cases that have both answers.
        mae_before, mae_after: of those of them that have a label.
        mae_change: mean of |error under the transform| - |error without|, paired by case.
        mae_rise: `mae_change` as a share of `mae_before`; None without labels or without an error to begin with.
        mean_change: signed; positive where the transform makes hands look older.
        median_change, percentile_95_change: of the absolute change.
        over_12_months: share of cases that move by more than 12 months.
        over_one_sd: share of cases that move by more than one standard deviation of healthy children of that age
            and sex (`boneage.clinical.brush_sd_months` at the answer without the transform).
        sd_not_tabulated: cases left out of `over_one_sd` since their age or sex is not in that table.
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
        return Verdict(
            _at_most(self.median_change.value, MEDIAN_BAR),
            _at_most(self.percentile_95_change.value, PERCENTILE_95_BAR),
            _at_most(self.mae_rise, mae_rise_bar(self.transform.family)),
            _at_most(self.unanswered, UNANSWERED_BAR),
        )

    def as_dict(self) -> dict[str, object]:
        figures = (
            *("mae_before", "mae_after", "mae_change", "mean_change", "median_change", "percentile_95_change"),
            *("over_12_months", "over_one_sd"),
        )
        return {
            "family": self.transform.family,
            "n": self.n,
            "rejected": self.rejected,
            "failed": self.failed,
            **{name: getattr(self, name).as_dict() for name in figures},
            "sd_not_tabulated": self.sd_not_tabulated,
            "mae_rise_percent": None if self.mae_rise is None else round(100 * self.mae_rise, 3),
            "kept": self.verdict.as_dict(),
        }


@dataclass(frozen=True)
class Family:
    """Transforms that differ in strength alone; each of its figures is that of the level where it is worst."""

    name: str
    levels: Sequence[UnderTransform]

    def worst(self, name: str) -> float | None:
        """The largest value of a figure ("median_change", "mae_rise", ...) over the levels."""
        found = [getattr(level, name) for level in self.levels]
        values = [entry.value if isinstance(entry, Figure) else entry for entry in found]
        return max((value for value in values if value is not None), default=None)

    @property
    def broken(self) -> list[UnderTransform]:
        """The levels over at least one bar."""
        return [level for level in self.levels if level.verdict.kept is False]

    @property
    def verdict(self) -> Verdict:
        """Kept only where every level keeps it."""
        return Verdict(
            _at_most(self.worst("median_change"), MEDIAN_BAR),
            _at_most(self.worst("percentile_95_change"), PERCENTILE_95_BAR),
            _at_most(self.worst("mae_rise"), mae_rise_bar(self.name)),
            _at_most(self.worst("unanswered"), UNANSWERED_BAR),
        )

    def as_dict(self) -> dict[str, object]:
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
        without_answer: those of them that have no single answer even without a transform; they enter no figure.
        under: by name of the transform, in the order of `TRANSFORMS`, the mask among them.
        attention_in_hand: mean share of each region's attention inside the hand's box, films as they are.
    """

    cases: int
    without_answer: int
    under: Mapping[str, UnderTransform]
    attention_in_hand: Mapping[Region, Figure]

    @property
    def families(self) -> dict[str, Family]:
        """All but the mask, which is a question about shortcuts, not about the way of a film."""
        found: dict[str, list[UnderTransform]] = {}
        for name, entry in self.under.items():
            if name != MASKED:
                found.setdefault(entry.transform.family, []).append(entry)
        return {name: Family(name, levels) for name, levels in found.items()}

    @property
    def masked(self) -> UnderTransform | None:
        """Under the mask of all that is not the hand."""
        return self.under.get(MASKED)

    def as_dict(self) -> dict[str, object]:
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
            "families": {name: family.as_dict() for name, family in self.families.items()},
            "transforms": {name: entry.as_dict() for name, entry in self.under.items()},
            "attention_in_hand": {str(region): share.as_dict() for region, share in self.attention_in_hand.items()},
        }


def evaluate_stress(rows: Iterable[StressRow], *, resamples: int = RESAMPLES, seed: int = 0) -> Stress:
    """Every figure of a stress table. Transforms that the table does not hold are left out."""
    by_transform: dict[str, dict[str, StressRow]] = {}
    for row in rows:
        by_transform.setdefault(row.transform, {})[row.prediction.id] = row
    plain = by_transform.get(UNTRANSFORMED, {})
    answered = {case: row.prediction for case, row in plain.items() if row.prediction.predicted_months is not None}
    return Stress(
        cases=len(plain),
        without_answer=len(plain) - len(answered),
        under={
            transform.name: _under(
                transform,
                [(answered[case], row.prediction) for case, row in found.items() if case in answered],
                partial(figure, resamples=resamples, seed=seed),
            )
            for transform in TRANSFORMS
            if (found := by_transform.get(transform.name)) is not None
        },
        attention_in_hand={
            region: figure(
                [row.attention_in_hand[region] for row in plain.values() if region in row.attention_in_hand],
                resamples=resamples,
                seed=seed,
            )
            for region in Region
        },
    )


def _under(
    transform: Transform, pairs: Sequence[tuple[Prediction, Prediction]], over: Callable[..., Figure]
) -> UnderTransform:
    """Figures of (prediction without, prediction under the transform) of the same cases."""
    moved: list[float] = []
    before: list[float] = []
    after: list[float] = []
    over_sd: list[bool] = []
    for plain, under in pairs:
        if plain.predicted_months is None or under.predicted_months is None:
            continue
        change = under.predicted_months - plain.predicted_months
        moved.append(change)
        if plain.age_months is not None:
            before.append(abs(plain.predicted_months - plain.age_months))
            after.append(abs(under.predicted_months - plain.age_months))
        sd = None if plain.sex is None else brush_sd_months(plain.sex, plain.predicted_months)
        if sd is not None:
            over_sd.append(abs(change) > sd)
    changes = np.array(moved, dtype=np.float64)
    size = np.abs(changes)
    mae_before, mae_change = over(before), over(np.subtract(after, before))
    rise = None
    if mae_before.value and mae_change.value is not None:
        rise = mae_change.value / mae_before.value
    return UnderTransform(
        transform=transform,
        rejected=sum(under.status == "rejected" for _, under in pairs),
        failed=sum(under.status == "failed" for _, under in pairs),
        changes=changes,
        mae_before=mae_before,
        mae_after=over(after),
        mae_change=mae_change,
        mae_rise=rise,
        mean_change=over(changes),
        median_change=over(size, median),
        percentile_95_change=over(size, _percentile_95),
        over_12_months=over(size > FAR_MONTHS),
        over_one_sd=over(over_sd),
        sd_not_tabulated=len(moved) - len(over_sd),
    )


def _percentile_95(values: Values) -> Values:
    return np.asarray(np.quantile(values, 0.95, axis=-1))


def _at_most(value: float | None, bar: float) -> bool | None:
    return None if value is None else value <= bar


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
