"""How well the regions were found, against readers' boxes and against always answering the mean box."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from boneage.errors import UsageError
from boneage.evaluation.bootstrap import RESAMPLES, Figure, figure
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
class BoxFigures:
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

    def as_dict(self) -> dict[str, object]:
        return {item.name: getattr(self, item.name).as_dict() for item in fields(self)}


@dataclass(frozen=True)
class Localization:
    """One truth on one group of cases.

    Attributes:
        region: which predicted box was compared.
        n: boxed cases in the predictions table; all are scored.
        without_box: those of them that were rejected or failed: they count as missed (0 overlap, nothing covered).
        found: the predicted boxes.
        floor: the mean box of all other truths, in fractions of width and height.
        gain: mean of IoU(predicted) - IoU(floor), paired by case; positive where attention beats the mean box.
    """

    region: Region
    n: int
    without_box: int
    found: BoxFigures
    floor: BoxFigures
    gain: Figure

    def as_dict(self) -> dict[str, object]:
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

    IoU and covered share are the same in pixels and in fractions of width and height. Centre distances are
    measured in pixels and divided by the width of the hand: of the truth itself where that is a hand box, else of
    the *predicted* hand box, since readers who boxed bones boxed no hand. The mean box is taken over all cases
    with that truth (but the case itself), whatever their split, so that both groups face the same floor.

    Args:
        predictions: rows with boxes in pixels; cases without a truth are ignored.
        truths: as `boneage.datasets.boxes.read_boxes` gives them; names as in `REGION_OF_TRUTH`.

    Returns:
        {truth: {"all": ..., "outside_train": ...}}.

    Raises:
        UsageError: a truth's name is not known, or a case comes twice.
    """
    rows: dict[str, Prediction] = {}
    for row in predictions:
        if row.id in rows:
            raise UsageError(f"case {row.id} comes twice among the predictions. Give one row a case.")
        rows[row.id] = row
    result: dict[str, dict[str, Localization]] = {}
    for name, given in truths.items():
        if name not in REGION_OF_TRUTH:
            raise UsageError(f"'{name}' is no truth that is known here. Known: {', '.join(REGION_OF_TRUTH)}.")
        boxes = {case: box for case, corners in given.items() if (box := clipped(corners)) is not None}
        floors = mean_boxes(boxes)
        seen = [
            _Case.of(rows[case], boxes[case], floors.get(case), REGION_OF_TRUTH[name]) for case in boxes if case in rows
        ]
        result[name] = {
            "all": _figures(seen, REGION_OF_TRUTH[name], resamples, seed),
            "outside_train": _figures(
                [case for case in seen if case.split != "train"], REGION_OF_TRUTH[name], resamples, seed
            ),
        }
    return result


@dataclass(frozen=True)
class _Match:
    """One box against its truth; the distance is missing where there is no box or no hand to measure with."""

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
        return cls(row.split, _Match.of(found, truth, ruler), beside, found is not None)


def _figures(cases: list[_Case], region: Region, resamples: int, seed: int) -> Localization:
    def over(matches: list[_Match]) -> BoxFigures:
        iou = np.array([match.iou for match in matches])
        return BoxFigures(
            miou=figure(iou, resamples=resamples, seed=seed),
            ap50=figure(iou > AP_THRESHOLD, resamples=resamples, seed=seed),
            centre_distance=figure(
                [match.distance for match in matches if match.distance is not None], resamples=resamples, seed=seed
            ),
            covered=figure([match.covered for match in matches], resamples=resamples, seed=seed),
        )

    return Localization(
        region=region,
        n=len(cases),
        without_box=sum(not case.boxed for case in cases),
        found=over([case.found for case in cases]),
        floor=over([case.floor for case in cases if case.floor is not None]),
        gain=figure(
            [case.found.iou - case.floor.iou for case in cases if case.floor is not None],
            resamples=resamples,
            seed=seed,
        ),
    )
