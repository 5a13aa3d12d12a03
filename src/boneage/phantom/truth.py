"""What is known of a phantom: ages, regions, bones, key points, and the state of every centre."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from boneage.ages import Sex
from boneage.phantom.anatomy.development import CARPALS, CentreState
from boneage.phantom.anatomy.outlines import Points, resampled
from boneage.phantom.anatomy.pieces import Skeleton
from boneage.phantom.anatomy.skeleton_plan import CARPAL_PLAN
from boneage.phantom.imaging.projection import Placement
from boneage.phantom.runs import as_runs
from boneage.radiograph import Laterality
from boneage.regions import Box, Region

NOTICE: Final = (
    "A phantom: a synthetic radiograph of nobody. Research use only, not a medical device; not for diagnosis, "
    "treatment, or age determination of asylum seekers or athletes."
)
_FINE: Final = 5
"""Outlines are filled so many times as fine as the film."""
_KNUCKLE_MM: Final = 9.5
"""Half a side of the box around a metacarpal's head and neck, millimetres of an adult hand."""
_READERS_MM: Final = {"wrist": (13.0, 7.5), "radius": (3.5, 3.7), "ulna": (3.5, 3.7), "mcp": (0.5, 3.5)}
"""How far a reader's box goes beyond the bones, to the sides and along the hand, millimetres of an adult hand.

So that the boxes have, on the median hand, the proportions of those on 226 radiographs of RSNA (sides over the distance
between the centres of regions 1 and 2: wrist 1.06 x 0.70, radius 0.53 x 0.41, mcp 0.29 x 0.37).
"""
_READERS_HAND_MM: Final = (2.0, 5.0)
"""How far a reader's box of the hand goes beyond its skin, and along the forearm beyond region 1, millimetres of an
adult hand.

Readers who box the hand leave the forearm out: on 93 radiographs of RSNA the box ends 7.6 % of the film's height above
the end of the tight box with forearm, and is wider by 0.9 % of the film's width on either side; on 150 it ends 2 % of
the film's height below region 1.
"""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bone:
    """The ossified pieces of one bone.

    Attributes:
        outlines: closed polygons in pixels of the film (edges), each float64 [n, 2] of (x, y); may leave the film.
        box: around what lies on the film, or None where nothing does.
    """

    outlines: tuple[Points, ...]
    box: Box | None


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand on the film.

    Attributes:
        laterality: which hand it is.
        regions: hand (with what is seen of the forearm), region 1 (carpus with the ends of radius and ulna, whether
            ossified or not), region 2 (heads and necks of the five metacarpals); a region off the film is left out.
        parts: boxes as readers draw them, with a margin around what regions 1 and 2 consist of, by the labels of
            their tables: wrist, radius, ulna and up to five mcp; hand, which ends below region 1; hand_mask, tight
            around the hand with what is seen of the forearm.
        bones: by the name of the centre; those that have not appeared have only their shaft, or are not there.
        key_points: (x, y) in pixels of the film: bases, heads, starting points of the carpals.
        centres: state of every ossification centre.
    """

    laterality: Laterality
    regions: Mapping[Region, Box]
    parts: Mapping[str, tuple[Box, ...]]
    masks: Mapping[Region, Mask]
    bones: Mapping[str, Bone]
    key_points: Mapping[str, tuple[float, float]]
    centres: Mapping[str, CentreState]


@dataclass(frozen=True, eq=False)
class Truth:
    """Everything that is known of a phantom.

    Attributes:
        bone_age_months: what the bones show, on average over children.
        chronological_age_months: the calendar's age; differs by the child's tempo.
        sex: of the child.
        tempo: standard deviations by which the child is ahead.
        seed: that made it.
        width, height: of the film in pixels.
        spacing_mm: side of a pixel in millimetres.
        inverted: bones are dark.
        hands: one or two, from left to right on the film.
    """

    bone_age_months: float
    chronological_age_months: float
    sex: Sex
    tempo: float
    seed: int
    width: int
    height: int
    spacing_mm: float
    inverted: bool
    hands: tuple[Hand, ...]

    @property
    def regions(self) -> Mapping[Region, Box]:
        """Regions of the first hand."""
        return self.hands[0].regions

    def mask(self, bone: str, hand: int = 0) -> Mask:
        """Where a bone lies on the film, bool [height, width].

        Raises:
            KeyError: this hand has no such bone (yet).
        """
        mask = np.zeros((self.height, self.width), dtype=bool)
        shown = self.hands[hand].bones[bone]
        if shown.box is not None:
            _fill(mask, shown.outlines, shown.box)
        return mask

    def as_record(self) -> dict[str, Any]:
        """The truth as what JSON can hold; coordinates in pixels, rounded to a hundredth; outlines have 36 points,
        rounded to a tenth; masks are run lengths (`boneage.phantom.runs`)."""
        return {
            "notice": NOTICE,
            "bone_age_months": self.bone_age_months,
            "chronological_age_months": round(self.chronological_age_months, 2),
            "sex": self.sex.value,
            "tempo": round(self.tempo, 3),
            "seed": self.seed,
            "width": self.width,
            "height": self.height,
            "spacing_mm": round(self.spacing_mm, 5),
            "inverted": self.inverted,
            "hands": [_hand_record(hand) for hand in self.hands],
        }


_RECORDED_POINTS: Final = 36


def _short(outline: Points) -> list[list[float]]:
    points: list[list[float]] = np.round(resampled(outline, _RECORDED_POINTS), 1).tolist()
    return points


def _hand_record(hand: Hand) -> dict[str, Any]:
    def corners(box: Box | None) -> list[float] | None:
        return None if box is None else [round(value, 2) for value in box.as_list()]

    return {
        "laterality": hand.laterality,
        "regions": {region.value: corners(box) for region, box in hand.regions.items()},
        "parts": {label: [corners(box) for box in boxes] for label, boxes in hand.parts.items()},
        "masks": {region.value: as_runs(mask) for region, mask in hand.masks.items()},
        "bones": {
            name: {"box": corners(bone.box), "outlines": [_short(outline) for outline in bone.outlines]}
            for name, bone in hand.bones.items()
        },
        "key_points": {name: [round(value, 2) for value in place] for name, place in hand.key_points.items()},
        "centres": {
            name: {
                "appears_months": round(state.appears_months, 2),
                "appeared": state.appeared,
                "maturity": round(state.maturity, 4),
                "fused": round(state.fused, 4),
            }
            for name, state in hand.centres.items()
        },
    }


def hand_truth(skeleton: Skeleton, placement: Placement, outline: Mask, laterality: Laterality) -> Hand:
    """The truth of one hand that has been placed on a film; `outline` is its soft tissue, bool [height, width]."""
    height, width = outline.shape

    def box(places: npt.ArrayLike) -> Box | None:
        pixels = placement.to_pixels(places)
        return Box(*(float(value) for value in (*pixels.min(axis=0), *pixels.max(axis=0)))).within(width, height)

    pieces: dict[str, list[Points]] = {}
    for piece in skeleton.pieces:
        # A plate that the film half hides is still open: its gap is no bone until it is mostly closed.
        if piece.part != "line" and piece.weight >= 0.5:
            pieces.setdefault(piece.centre, []).append(piece.outline)
    bones = {
        name: Bone(tuple(placement.to_pixels(outline) for outline in outlines), box(np.concatenate(outlines)))
        for name, outlines in pieces.items()
    }
    # The carpus is a place before it is bone.
    around = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    heads = [skeleton.key_points[f"MC{number}_head"] + around * _KNUCKLE_MM for number in range(1, 6)]
    places = {
        "wrist": [np.concatenate([np.asarray(CARPAL_PLAN[name].corners) for name in CARPALS])],
        "radius": [skeleton.ends["distal_radius"]],
        "ulna": [skeleton.ends["distal_ulna"]],
        "mcp": heads,
    }
    tight = {label: [box(place) for place in of_label] for label, of_label in places.items()}
    parts: dict[str, tuple[Box, ...]] = {}
    for label, of_label in places.items():
        # A reader boxes what is seen: the margin alone is nothing.
        drawn = (
            box(_framed(place, _READERS_MM[label])) for place, seen in zip(of_label, tight[label], strict=True) if seen
        )
        parts[label] = tuple(part for part in drawn if part is not None)
    regions = {}
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    if rows.size:
        regions[Region.HAND] = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        parts["hand_mask"] = (regions[Region.HAND],)
        drawn_hand = _readers_hand(outline, placement, np.concatenate(places["radius"] + places["ulna"]))
        if drawn_hand is not None:
            parts["hand"] = (drawn_hand,)
    for region, labels in ((Region.REGION_1, ("wrist", "radius", "ulna")), (Region.REGION_2, ("mcp",))):
        found = [part for label in labels for part in tight[label] if part is not None]
        if found:
            regions[region] = around_all(found)
    masks = {region: outline if region is Region.HAND else np.zeros_like(outline) for region in regions}
    if Region.REGION_1 in regions:
        wrist = [bones[name].outlines for name in (*CARPALS, "distal_radius", "distal_ulna") if name in bones]
        _fill(masks[Region.REGION_1], [part for parts in wrist for part in parts], regions[Region.REGION_1])
    if Region.REGION_2 in regions:
        for number, knuckle in enumerate(tight["mcp"], start=1):
            if knuckle is not None:
                _fill(masks[Region.REGION_2], bones[f"MC{number}"].outlines, knuckle)
    points = {name: placement.to_pixels([place])[0] for name, place in skeleton.key_points.items()}
    return Hand(
        laterality,
        regions,
        parts,
        masks,
        bones,
        {name: (float(x), float(y)) for name, (x, y) in points.items()},
        dict(skeleton.states),
    )


def _readers_hand(outline: Mask, placement: Placement, forearm: Points) -> Box | None:
    """The box of the soft tissue down to a little below radius and ulna, as readers draw it; None off the film."""
    margin, below = _READERS_HAND_MM
    height, width = outline.shape
    inverse = np.linalg.inv(placement.matrix)
    rows, columns = np.nonzero(outline)
    along = (np.stack([columns + 0.5, rows + 0.5], axis=1) - placement.origin) @ inverse.T[:, 1]
    inside = along >= forearm[:, 1].min() - _READERS_MM["radius"][1] - below
    if not inside.any():
        return None
    x, y, more = columns[inside], rows[inside], margin * placement.pixels_per_mm
    return Box(x.min() - more, y.min() - more, x.max() + 1 + more, y.max() + 1 + more).within(width, height)


def _framed(place: Points, margin: tuple[float, float]) -> Points:
    """Corners of the box around a place of the hand, with a margin; millimetres of an adult hand."""
    low, high = place.min(axis=0) - margin, place.max(axis=0) + margin
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])])


def _fill(mask: Mask, outlines: Sequence[Points], box: Box) -> None:
    """Set what lies within the outlines and, up to whole pixels, in the box; in place."""
    x0, y0, x1, y1 = math.floor(box.x0), math.floor(box.y0), math.ceil(box.x1), math.ceil(box.y1)
    # Pillow fills every pixel that an outline touches: drawn finer, then asked at the pixels' centres.
    image = Image.new("1", ((x1 - x0) * _FINE, (y1 - y0) * _FINE))
    for outline in outlines:
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in (outline - (x0, y0)) * _FINE - 0.5], fill=1)
    mask[y0:y1, x0:x1] |= np.array(image, dtype=bool)[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE]


def around_all(boxes: list[Box]) -> Box:
    """The smallest box around all of them."""
    return Box(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )
