"""From predictions to an evaluation: every figure of its page and of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from boneage.assessment import NOTICE
from boneage.evaluation.bootstrap import LEVEL, RESAMPLES
from boneage.evaluation.localization import Localization, Truths, evaluate_localization
from boneage.evaluation.measuring import as_json
from boneage.evaluation.metrics import (
    Comparison,
    ConstantWidth,
    Metrics,
    compare,
    constant_width,
    evaluate_predictions,
    scored_only,
)
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.regional_metrics import RegionalAccuracy, evaluate_regional
from boneage.evaluation.stress.figures import Stress, evaluate_stress
from boneage.evaluation.stress.table import StressRow

WORST: Final = 20
"""Cases with the largest errors that the page lists."""


@dataclass(frozen=True)
class Provenance:
    """What was evaluated on what.

    Attributes:
        model, model_sha256: the model that answered.
        data: the data set's name.
        splits: which splits of it are scored ("test", "validation", "train" or "all").
        code_version: of this package.
        created: when, ISO 8601 with time zone; empty where it does not matter.
        notice: research use only; phantom-trained models say more.
        dropped: rows of the data set that became no case, {reason: number}.
    """

    model: str
    model_sha256: str
    data: str
    splits: str
    code_version: str = ""
    created: str = ""
    notice: str = NOTICE
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Everything that goes into the files.

    Attributes:
        worst: scored cases by falling absolute error, `WORST` at most.
        not_assessed: rejected and failed cases.
        localization: {truth: {"all" | "outside_train": figures}}; empty without boxes.
        comparison: against another predictions table, where one was given.
        stress: how answers move when the radiograph is changed, where measured.
        constant: an interval of constant width, where the model was calibrated with one beside its own.
        regional: carpal and tubular bone age, where the model gives them.
        resamples, seed: of every bootstrap interval.
    """

    provenance: Provenance
    predictions: Sequence[Prediction]
    metrics: Metrics
    worst: Sequence[Prediction]
    not_assessed: Sequence[Prediction]
    localization: Mapping[str, Mapping[str, Localization]]
    comparison: Comparison | None
    stress: Stress | None
    constant: ConstantWidth | None
    regional: RegionalAccuracy | None
    resamples: int
    seed: int

    @classmethod
    def of(
        cls,
        predictions: Sequence[Prediction],
        provenance: Provenance,
        *,
        localized: Sequence[Prediction] = (),
        truths: Truths | None = None,
        against: Sequence[Prediction] | None = None,
        stress: Sequence[StressRow] | None = None,
        constant_half_width_months: float | None = None,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> Evaluation:
        """Make every figure.

        Args:
            predictions: the cases that are scored.
            provenance: what was evaluated on what.
            localized: boxed cases beyond `predictions`; they enter the localization alone.
            truths: readers' boxes (`evaluate_localization`).
            against: another model's predictions of the same data, for a paired comparison.
            stress: rows of the stress table.
            constant_half_width_months: half the width of the constant interval to compare with.

        Raises:
            UsageError: as `compare` and `evaluate_localization`.
        """
        scored = scored_only(predictions)
        return cls(
            provenance=provenance,
            predictions=predictions,
            metrics=evaluate_predictions(predictions, resamples=resamples, seed=seed),
            worst=sorted(scored, key=lambda row: (-abs(row.error_months or 0.0), row.id))[:WORST],
            not_assessed=[row for row in predictions if row.status != "assessed"],
            localization=evaluate_localization([*predictions, *localized], truths, resamples=resamples, seed=seed)
            if truths
            else {},
            comparison=None if against is None else compare(predictions, against, resamples=resamples, seed=seed),
            stress=None if stress is None else evaluate_stress(stress, resamples=resamples, seed=seed),
            constant=None
            if constant_half_width_months is None
            else constant_width(predictions, constant_half_width_months, resamples=resamples, seed=seed),
            regional=evaluate_regional(predictions, resamples=resamples, seed=seed),
            resamples=resamples,
            seed=seed,
        )

    def summary(self) -> str:
        """A few lines for the terminal."""
        counts, overall = self.metrics.counts, self.metrics.overall
        lines = [
            f"{counts.cases} cases: {counts.assessed} assessed, {counts.rejected} rejected, {counts.failed} failed"
        ]
        if (mae := overall.mae).value is not None:
            ends = "" if mae.lower is None else f" (95 % interval {mae.lower:.2f} to {mae.upper:.2f})"
            lines.append(f"mean absolute error {mae.value:.2f} months{ends}, n = {overall.n}")
        if self.regional is not None:
            ages = self.regional.overall
            unusual = ages.unusual.value
            lines.append(
                f"carpal bone age {ages.carpal_mae.value:.2f} months, tubular {ages.tubular_mae.value:.2f}, "
                + ("" if unusual is None else f"an unusual difference in {100 * unusual:.1f} %, ")
                + f"n = {ages.n}"
            )
        lines += [
            f"{truth}, {group}: mIoU {entry.found.miou.value:.3f}, mean-box baseline {entry.floor.miou.value:.3f}, "
            f"n = {entry.n}"
            for truth, groups in self.localization.items()
            for group, entry in groups.items()
            if entry.found.miou.value is not None and entry.floor.miou.value is not None
        ]
        if self.stress is not None:
            kept = {name: family.verdict.kept for name, family in self.stress.families.items()}
            over = ", ".join(name for name, verdict in kept.items() if verdict is False)
            unknown = ", ".join(name for name, verdict in kept.items() if verdict is None)
            found = [f"limits exceeded under {over}"] * bool(over) + [f"no figure under {unknown}"] * bool(unknown)
            lines.append(f"under stress, {self.stress.cases} cases: {'; '.join(found) or 'every limit kept'}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The content of metrics.json: no NaN, missing figures are null."""
        return {
            "format": 1,
            "notice": self.provenance.notice,
            **{name: value for name, value in asdict(self.provenance).items() if name != "notice"},
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "level": LEVEL, "method": "percentile"},
            "accuracy": self.metrics.as_dict(),
            "constant_width_interval": as_json(self.constant),
            "regional": as_json(self.regional),
            "worst_cases": [
                {
                    "id": row.id,
                    "file": row.file,
                    "sex": row.sex,
                    "age_months": row.age_months,
                    "predicted_months": round(row.predicted_months or 0.0, 3),
                    "error_months": round(row.error_months or 0.0, 3),
                }
                for row in self.worst
            ],
            "not_assessed": [
                {"id": row.id, "file": row.file, "status": row.status, "reason": row.reason, "codes": list(row.codes)}
                for row in self.not_assessed
            ],
            "localization": as_json(self.localization),
            "comparison": as_json(self.comparison),
            "stress": as_json(self.stress),
        }
