"""How well the regions were found: readers' boxes against the predicted boxes and against the mean-box baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from boneage.errors import UsageError
from boneage.evaluation.bootstrap import RESAMPLES, Bootstrap, Figure
from boneage.evaluation.measuring import Bin, Figures, Metric, measure_all
from boneage.evaluation.predictions import Prediction
from boneage.regions import Box, Region

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of the radiograph's width and height."""
Truths = Mapping[str, Mapping[str, Corners]]
"""Truth name -> case id -> box."""

REGION_OF_TRUTH: Final[Mapping[str, Region]] = {
    "hand_mask": Region.HAND,
    "hand": Region.HAND,
    "region_1": Region.REGION_1,
    "wrist": Region.REGION_1,
    "region_2": Region.REGION_2,
}
AP_THRESHOLD: Final = 0.5


@dataclass(frozen=True)
class BoxFigures(Figures):
    """How well boxes meet their truths.

    Attributes:
        miou: mean intersection over union.
        ap50: share of cases with an intersection over union above 0.5 (one box a case, so this is AP50).
        centre_distance: mean distance of the centres, in hand widths.
        covered: mean share of the truth's area that lies inside the box.
    """

    miou: Figure
    ap50: Figure
    centre_distance: Figure
    covered: Figure


@dataclass(frozen=True)
class Localization:
    """One truth on one group of cases.

    Attributes:
        region: which predicted box was compared.
        n: boxed cases in the predictions table; all are scored.
        without_box: those of them without a predicted box (rejected, failed): they count as missed (no overlap).
        found: the predicted boxes.
        floor: the mean-box baseline: the mean box of all other truths, in fractions of width and height.
        gain: mean of IoU(predicted) - IoU(baseline), paired by case; positive where attention beats the baseline.
    """

    region: Region
    n: int
    without_box: int
    found: BoxFigures
    floor: BoxFigures
    gain: Figure

    def as_dict(self) -> dict[str, Any]:
        return {
            "region": str(self.region),
            "n": self.n,
            "without_box": self.without_box,
            **self.found.as_dict(),
            "mean_box": self.floor.as_dict(),
            "iou_gain_over_mean_box": self.gain.as_dict(),
        }


def clipped(corners: Corners) -> Box | None:
    """A truth in fractions, cut to the radiograph (readers reach a little beyond); None where nothing is left."""
    x0, y0, x1, y1 = corners
    return Box(x0, y0, x1, y1).within(1.0, 1.0) if x1 > x0 and y1 > y0 else None


def mean_boxes(truths: Mapping[str, Box]) -> dict[str, Box]:
    """For each case the mean corners of all *other* cases' boxes (leave-one-out); empty with fewer than two."""
    if len(truths) < 2:
        return {}
    corners = np.array([box.as_list() for box in truths.values()])
    others = (corners.sum(axis=0) - corners) / (len(corners) - 1)
    return {case: Box(*map(float, row)) for case, row in zip(truths, others, strict=True)}


def covered_share(truth: Box, box: Box) -> float:
    """Share of the truth's area inside `box`, in [0, 1]."""
    width = min(truth.x1, box.x1) - max(truth.x0, box.x0)
    height = min(truth.y1, box.y1) - max(truth.y0, box.y0)
    return max(0.0, width) * max(0.0, height) / truth.area


def evaluate_localization(
    predictions: Iterable[Prediction], truths: Truths, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, Localization]]:
    """Localization of every truth, for all boxed cases ("all") and for those outside training ("outside_train").

    IoU and covered share are the same in pixels and in fractions of width and height. Centre distances are measured in
    pixels and divided by the width of the hand: of the truth itself where that is a hand box, else of the *predicted*
    hand box, since readers who boxed bones boxed no hand. The mean box is taken over all other cases with that truth,
    whatever their split, so that both groups have the same baseline.

    Args:
        predictions: rows with boxes in pixels; cases without a truth are ignored.
        truths: as `boneage.datasets.boxes.read_boxes` gives them; names as in `REGION_OF_TRUTH`.

    Returns:
        {truth: {"all": ..., "outside_train": ...}}.

    Raises:
        UsageError: a truth's name is not known ("unknown_truth"), or a case comes twice ("duplicate_id").
    """
    rows: dict[str, Prediction] = {}
    for row in predictions:
        if row.id in rows:
            message = f"case {row.id} comes twice among the predictions. Give one row a case."
            raise UsageError(message, code="duplicate_id")
        rows[row.id] = row
    bootstrap = Bootstrap(resamples, seed)
    result: dict[str, dict[str, Localization]] = {}
    for name, given in truths.items():
        if name not in REGION_OF_TRUTH:
            known = ", ".join(REGION_OF_TRUTH)
            raise UsageError(f"'{name}' is not the name of a known truth. Known: {known}.", code="unknown_truth")
        region = REGION_OF_TRUTH[name]
        boxes = {case: box for case, corners in given.items() if (box := clipped(corners)) is not None}
        floors = mean_boxes(boxes)
        cases = [_Case.of(rows[case], boxes[case], floors.get(case), region) for case in boxes if case in rows]
        groups = {"all": cases, **_OUTSIDE_TRAIN.split(cases)}
        result[name] = {group: _localize(region, members, bootstrap) for group, members in groups.items()}
    return result


@dataclass(frozen=True)
class _Match:
    """One box against its truth; `distance` is None where a box is missing, or a hand to measure with."""

    iou: float
    distance: float | None
    covered: float

    @classmethod
    def of(cls, box: Box | None, truth: Box, ruler: tuple[float, float] | None) -> _Match:
        if box is None:
            return cls(0.0, None, 0.0)
        distance = None
        if ruler is not None:
            (x, y), (true_x, true_y) = box.center, truth.center
            distance = math.hypot((x - true_x) / ruler[0], (y - true_y) / ruler[1])
        return cls(box.intersection_over_union(truth), distance, covered_share(truth, box))


@dataclass(frozen=True)
class _Case:
    split: str
    found: _Match
    floor: _Match | None
    boxed: bool

    @classmethod
    def of(cls, row: Prediction, truth: Box, floor: Box | None, region: Region) -> _Case:
        found, ruler = None, None
        if row.width is not None and row.height is not None:
            box, hand = row.regions.get(region), row.regions.get(Region.HAND)
            found = None if box is None else box.scaled(1 / row.width, 1 / row.height)
            pixels = truth.width * row.width if region is Region.HAND else None if hand is None else hand.width
            # Fractions of width and height that one hand width spans: distances come out in hand widths.
            ruler = None if pixels is None else (pixels / row.width, pixels / row.height)
        beside = None if floor is None else _Match.of(floor, truth, ruler)
        return cls(row.split, _Match.of(found, truth, ruler), floor=beside, boxed=found is not None)


_OUTSIDE_TRAIN: Final = Bin[_Case](("outside_train",), lambda case: None if case.split == "train" else "outside_train")
_BOXES: Final[Mapping[str, Metric[_Match]]] = {
    "miou": Metric(lambda match: match.iou),
    "ap50": Metric(lambda match: match.iou > AP_THRESHOLD),
    "centre_distance": Metric(lambda match: match.distance),
    "covered": Metric(lambda match: match.covered),
}
_GAIN: Final = Metric[_Case](lambda case: None if case.floor is None else case.found.iou - case.floor.iou)


def _localize(region: Region, cases: list[_Case], bootstrap: Bootstrap) -> Localization:
    return Localization(
        region=region,
        n=len(cases),
        without_box=sum(not case.boxed for case in cases),
        found=BoxFigures(**measure_all(_BOXES, [case.found for case in cases], bootstrap)),
        floor=BoxFigures(**measure_all(_BOXES, [case.floor for case in cases if case.floor is not None], bootstrap)),
        gain=_GAIN.measure(cases, bootstrap),
    )
