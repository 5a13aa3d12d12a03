"""The paper's tables and figures, and the questions that it left open, on any data set: `boneage reproduce`."""

from __future__ import annotations

from boneage.research.reproduce import EXPERIMENTS, reproduce
from boneage.research.runner import ExperimentRunner
from boneage.research.scales import SCALES, Scale, find_scale

__all__ = ["EXPERIMENTS", "SCALES", "ExperimentRunner", "Scale", "find_scale", "reproduce"]
