"""Evaluation: a data set and anything that assesses -> predictions -> figures with intervals, plots and a page.

predictions = run(boneage.load(), read_dataset("data"), split="test")
write_predictions("out/predictions.csv", predictions)
evaluation = Evaluation.of(predictions, Provenance(...))
write_evaluation(evaluation, "out")
"""

from __future__ import annotations

from boneage.evaluation.bootstrap import Figure, figure
from boneage.evaluation.folder import write_evaluation
from boneage.evaluation.localization import Localization, evaluate_localization
from boneage.evaluation.metrics import Accuracy, Comparison, Metrics, compare, evaluate_predictions
from boneage.evaluation.predictions import Prediction, read_predictions, write_predictions
from boneage.evaluation.report import Evaluation, Provenance
from boneage.evaluation.run import run
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
    "compare",
    "evaluate_localization",
    "evaluate_predictions",
    "evaluate_stress",
    "figure",
    "read_predictions",
    "read_stress",
    "run",
    "stressed",
    "write_evaluation",
    "write_predictions",
    "write_stress",
]
