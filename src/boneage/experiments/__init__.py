"""The paper's tables and figures, and the questions that it left open, on any data set: `boneage reproduce`."""

from __future__ import annotations

from boneage.experiments.bench import Bench
from boneage.experiments.reproduce import EXPERIMENTS, reproduce
from boneage.experiments.scales import SCALES, Scale, find_scale

__all__ = ["EXPERIMENTS", "SCALES", "Bench", "Scale", "find_scale", "reproduce"]
