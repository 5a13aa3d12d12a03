"""How far answers move when a radiograph is rotated, mirrored, marked or compressed."""

from __future__ import annotations

from boneage.evaluation.stress.figures import Stress, UnderTransform, evaluate_stress
from boneage.evaluation.stress.run import run
from boneage.evaluation.stress.table import StressRow, read_stress, write_stress
from boneage.evaluation.stress.transforms import TRANSFORMS, Transform, stressed

__all__ = [
    "TRANSFORMS",
    "Stress",
    "StressRow",
    "Transform",
    "UnderTransform",
    "evaluate_stress",
    "read_stress",
    "run",
    "stressed",
    "write_stress",
]
