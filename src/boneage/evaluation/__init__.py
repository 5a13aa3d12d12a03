"""Evaluation: a predictions table in, figures with intervals, plots and a page out. It knows no model."""

from __future__ import annotations

from boneage.evaluation.bootstrap import Figure, figure
from boneage.evaluation.localization import Localization, evaluate_localization
from boneage.evaluation.metrics import Accuracy, Comparison, Metrics, accuracy, compare, evaluate_predictions
from boneage.evaluation.predictions import Prediction, read_predictions, write_predictions
from boneage.evaluation.report import Evaluation, Provenance, write_evaluation
from boneage.evaluation.stress.figures import Stress, UnderTransform, evaluate_stress
from boneage.evaluation.stress.table import StressRow, read_stress, write_stress
from boneage.evaluation.stress.transforms import TRANSFORMS, Transform, stressed

__all__ = [
    "TRANSFORMS",
    "Accuracy",
    "Comparison",
    "Evaluation",
    "Figure",
    "Localization",
    "Metrics",
    "Prediction",
    "Provenance",
    "Stress",
    "StressRow",
    "Transform",
    "UnderTransform",
    "accuracy",
    "compare",
    "evaluate_localization",
    "evaluate_predictions",
    "evaluate_stress",
    "figure",
    "read_predictions",
    "read_stress",
    "stressed",
    "write_evaluation",
    "write_predictions",
    "write_stress",
]
