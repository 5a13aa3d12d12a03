"""Evaluation: a predictions table in, figures with intervals, plots and a page out. It knows no model."""

from __future__ import annotations

from boneage.evaluation.bootstrap import Figure, figure
from boneage.evaluation.localization import Localization, evaluate_localization
from boneage.evaluation.metrics import Accuracy, Comparison, Metrics, accuracy, compare, evaluate_predictions
from boneage.evaluation.predictions import Prediction, read_predictions, write_predictions
from boneage.evaluation.report import Evaluation, Provenance, write_evaluation

__all__ = [
    "Accuracy",
    "Comparison",
    "Evaluation",
    "Figure",
    "Localization",
    "Metrics",
    "Prediction",
    "Provenance",
    "accuracy",
    "compare",
    "evaluate_localization",
    "evaluate_predictions",
    "figure",
    "read_predictions",
    "write_evaluation",
    "write_predictions",
]
