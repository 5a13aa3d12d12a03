"""Peers: the designs of other methods as networks here, trained on the same data, budget and small backbone.

Each follows its publication's description (citation in `Peer.citation`, deviations in `Peer.differs`), written anew; at
scale its authors' own backbone can be given. Figures compare designs under equal means, not the published systems.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from boneage.research.baselines.baseline import (
    Baseline,
    BaselineLearner,
    LinearCorrection,
    answered_months,
    baseline_months,
)
from boneage.research.baselines.posed import ESCOBAR_2019
from boneage.research.baselines.registered import IGLOVIKOV_2018
from boneage.research.baselines.seen import FromTruth, HandTruth, MaskedSource, TruthData, WithHandMaps
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
    "answered_months",
    "baseline_months",
]  # fmt: skip
