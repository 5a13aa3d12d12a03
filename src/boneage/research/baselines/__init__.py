"""Baselines: other methods' designs, trained on the same data with the same budget and backbone.

    whole_image      the 2017 winner, Deeplasia, a classifier of 240 classes, Spampinato et al.
    iglovikov_2018   mask, key points, three regions in a registered frame
    escobar_2019     box, heat maps of key points, and a network that reads both
    sources          what they see and learn from: masks, the truth of phantoms
    baseline         the interface that all of them share

Each is written anew from its publication (`Baseline.citation`), and `Baseline.differs` lists the differences. Figures
compare designs under equal means, not the published systems.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from boneage.research.baselines.baseline import (
    Baseline,
    BaselineLearner,
    LinearCorrection,
    decode_months,
    predict_months,
)
from boneage.research.baselines.escobar_2019 import ESCOBAR_2019
from boneage.research.baselines.iglovikov_2018 import IGLOVIKOV_2018
from boneage.research.baselines.sources import FromTruth, HandTruth, MaskedSource, TruthData, WithHandMaps
from boneage.research.baselines.whole_image import (
    CLASSIFIER_240,
    DEEPLASIA_ATTENTION,
    DEEPLASIA_BOX,
    DEEPLASIA_TRUE_MASK,
    SPAMPINATO_2017,
    WINNER_2017,
)

BASELINES: Final[Mapping[str, Baseline]] = {
    baseline.name: baseline
    for baseline in (
        WINNER_2017,
        DEEPLASIA_BOX,
        DEEPLASIA_ATTENTION,
        DEEPLASIA_TRUE_MASK,
        CLASSIFIER_240,
        SPAMPINATO_2017,
        IGLOVIKOV_2018,
        ESCOBAR_2019,
    )
}
"""By name."""

__all__ = [
    "BASELINES",
    "Baseline",
    "BaselineLearner",
    "FromTruth",
    "HandTruth",
    "LinearCorrection",
    "MaskedSource",
    "TruthData",
    "WithHandMaps",
    "decode_months",
    "predict_months",
]  # fmt: skip
