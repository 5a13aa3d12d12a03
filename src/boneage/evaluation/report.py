"""From predictions to the files of an evaluation: metrics.json, the plots, and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from boneage.assessment import NOTICE
from boneage.atomic import write_atomically
from boneage.evaluation import plots
from boneage.evaluation.bootstrap import LEVEL, RESAMPLES
from boneage.evaluation.localization import Localization, Truths, evaluate_localization
from boneage.evaluation.metrics import (
    Comparison,
    ConstantWidth,
    Metrics,
    compare,
    constant_width,
    evaluate_predictions,
    scored_only,
)
from boneage.evaluation.page import page
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.regional_metrics import RegionalAccuracy, evaluate_regional
from boneage.evaluation.stress.figures import Stress, evaluate_stress
from boneage.evaluation.stress.table import StressRow

METRICS_FILE: Final = "metrics.json"
PAGE_FILE: Final = "report.html"
WORST: Final = 20
"""Cases with the largest errors that the page lists."""


@dataclass(frozen=True)
class Provenance:
    """What was evaluated on what.

    Attributes:
        model, model_sha256: the model that answered.
        data: the data set's name.
        splits: which parts of it are scored ("test", or "train, validation, test", ...).
        code_version: of this package.
        created: when, ISO 8601 with time zone; empty where it does not matter.
        notice: research use only; phantom-trained models say more.
        dropped: cases that the data set could not offer, {reason: number}.
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
    """Everything that the files say, before it is written.

    Attributes:
        worst: scored cases by falling absolute error, `WORST` at most.
        not_assessed: rejected and failed cases.
        localization: {truth: {"all" | "outside_train": figures}}; empty without boxes.
        comparison: against another predictions table, where one was given.
        stress: how answers move when the film is changed, where that was measured.
        regional: carpal and tubular bone age, where the model tells them.
        constant: an interval of constant width, where the model was calibrated with one beside its own.
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
            provenance: what stands above the figures.
            localized: boxed cases beyond `predictions`; they enter the localization and nothing else.
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

    def as_dict(self) -> dict[str, object]:
        """What metrics.json holds; no NaN, missing figures are null."""
        return {
            "format": 1,
            "notice": self.provenance.notice,
            **{name: value for name, value in asdict(self.provenance).items() if name != "notice"},
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "level": LEVEL, "method": "percentile"},
            "accuracy": self.metrics.as_dict(),
            "constant_width_interval": None if self.constant is None else self.constant.as_dict(),
            "regional": None if self.regional is None else self.regional.as_dict(),
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
                {"id": row.id, "file": row.file, "status": row.status, "reason": row.reason}
                for row in self.not_assessed
            ],
            "localization": {
                truth: {group: entry.as_dict() for group, entry in groups.items()}
                for truth, groups in self.localization.items()
            },
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
            "stress": None if self.stress is None else self.stress.as_dict(),
        }


def write_evaluation(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Write the plots, report.html and metrics.json (each file atomically) into `folder`.

    The page holds its plots inside itself; the PNG files beside it are for slides and papers. The figures come last:
    where they are, all is.

    Returns:
        The paths written, in that order.

    Raises:
        OutputError: the folder cannot be written to.
    """
    folder = Path(folder)
    pictures: dict[str, bytes] = {}
    if evaluation.metrics.overall.n:
        pictures["scatter"] = plots.png(plots.scatter(evaluation.predictions))
        pictures["bland_altman"] = plots.png(plots.bland_altman(evaluation.predictions))
        pictures["error_by_age"] = plots.png(plots.error_by_age(evaluation.predictions, evaluation.metrics))
    if any(entry.n for groups in evaluation.localization.values() for entry in groups.values()):
        pictures["localization"] = plots.png(plots.localization_gain(evaluation.localization))
    if evaluation.stress is not None and any(entry.n for entry in evaluation.stress.under.values()):
        pictures["stress"] = plots.png(plots.stress_changes(evaluation.stress))
    contents: dict[str, str | bytes] = {
        **{f"{name}.png": picture for name, picture in pictures.items()},
        PAGE_FILE: page(evaluation, pictures),
        METRICS_FILE: json.dumps(evaluation.as_dict(), indent=2, allow_nan=False) + "\n",
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]
