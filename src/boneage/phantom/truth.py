"""The truth of a phantom: ages, regions, bones, key points, and the state of every ossification centre."""

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
from boneage.phantom.anatomy.outlines import Points, resample
from boneage.phantom.anatomy.pieces import Skeleton
from boneage.phantom.anatomy.skeleton_plan import CARPAL_PLAN
from boneage.phantom.imaging.projection import Placement
from boneage.phantom.run_lengths import encode_runs
from boneage.radiograph import Laterality
from boneage.regions import Box, Region

NOTICE: Final = (
    "A phantom: a synthetic radiograph of nobody. Research use only, not a medical device; not for diagnosis, "
    "treatment, or age determination of asylum seekers or athletes."
)
_FINE: Final = 5
"""Outlines are filled on a grid so many times finer than the image."""
_KNUCKLE_MM: Final = 9.5
"""Half a side of the box around a metacarpal's head and neck, millimetres of an adult hand."""
_READERS_MM: Final = {"wrist": (13.0, 7.5), "radius": (3.5, 3.7), "ulna": (3.5, 3.7), "mcp": (0.5, 3.5)}
"""Margin of a reader's box around the bones, to the sides and along the hand, in millimetres of an adult hand.

With these margins the boxes have, on the median hand, the proportions of readers' boxes on 226 radiographs of RSNA:
sides over the distance between the centres of regions 1 and 2 are wrist 1.06 x 0.70, radius 0.53 x 0.41, mcp 0.29 x
0.37.
"""
_READERS_HAND_MM: Final = (2.0, 5.0)
"""Margin of a reader's box of the hand around the skin, and along the forearm below region 1, in millimetres of an
adult hand.

Readers leave the forearm out of the hand. On 93 radiographs of RSNA their box ends 7.6 % of the image's height above
the end of the tight box with forearm, and is wider by 0.9 % of the image's width on either side. On 150 radiographs it
ends 2 % of the image's height below region 1.
"""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bone:
    """The ossified pieces of one bone.

    Attributes:
        outlines: closed polygons in pixels (measured at pixel edges), each float64 [n, 2] of (x, y); parts of them may
            lie outside the image.
        box: around the part inside the image, or None where nothing is inside.
    """

    outlines: tuple[Points, ...]
    box: Box | None


@dataclass(frozen=True, eq=False)
class Hand:
    """The truth of one hand.

    Attributes:
        laterality: which hand it is.
        regions: tight boxes of the hand (with the visible forearm), region 1 (carpus with the ends of radius and ulna,
            ossified or not) and region 2 (heads and necks of the five metacarpals). A region outside the image is
            left out.
        readers_boxes: boxes with the margins of readers, by the labels of their tables: wrist, radius, ulna and up to
            five mcp; hand, which ends below region 1; hand_mask, tight around the hand with the visible forearm.
        masks: bool [height, width] of each region.
        bones: by the name of the ossification centre. A centre that has not appeared has only its shaft, or no bone.
        key_points: (x, y) in pixels: bases, heads, starting points of the carpals; some may lie outside the image.
        centres: state of every ossification centre.
    """

    laterality: Laterality
    regions: Mapping[Region, Box]
    readers_boxes: Mapping[str, tuple[Box, ...]]
    masks: Mapping[Region, Mask]
    bones: Mapping[str, Bone]
    key_points: Mapping[str, tuple[float, float]]
    centres: Mapping[str, CentreState]


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a phantom.

    Attributes:
        bone_age_months: the age that the bones show, on average over children.
        chronological_age_months: differs from the bone age by the child's tempo.
        sex: of the child.
        tempo: standard deviations by which bone age is ahead of chronological age.
        seed: of the phantom.
        width, height: of the image in pixels.
        spacing_mm: side of a pixel in millimetres.
        inverted: bones are dark.
        hands: one or two, from left to right in the image.
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
        """The regions of the first hand."""
        return self.hands[0].regions

    def mask(self, bone: str, hand: int = 0) -> Mask:
        """The mask of a bone, bool [height, width].

        Raises:
            KeyError: the hand has no such bone (yet).
        """
        mask = np.zeros((self.height, self.width), dtype=bool)
        shown = self.hands[hand].bones[bone]
        if shown.box is not None:
            _fill(mask, shown.outlines, shown.box)
        return mask

    def as_record(self) -> dict[str, Any]:
        """The truth as JSON values.

        Coordinates are pixels, rounded to a hundredth. Outlines have 36 points, rounded to a tenth. Masks are run
        lengths (`boneage.phantom.run_lengths`).
        """
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


def _shorten(outline: Points) -> list[list[float]]:
    points: list[list[float]] = np.round(resample(outline, _RECORDED_POINTS), 1).tolist()
    return points


def _hand_record(hand: Hand) -> dict[str, Any]:
    def corners(box: Box | None) -> list[float] | None:
        return None if box is None else [round(value, 2) for value in box.as_list()]

    return {
        "laterality": hand.laterality,
        "regions": {region.value: corners(box) for region, box in hand.regions.items()},
        "readers_boxes": {label: [corners(box) for box in boxes] for label, boxes in hand.readers_boxes.items()},
        "masks": {region.value: encode_runs(mask) for region, mask in hand.masks.items()},
        "bones": {
            name: {"box": corners(bone.box), "outlines": [_shorten(outline) for outline in bone.outlines]}
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


def describe_hand(skeleton: Skeleton, placement: Placement, outline: Mask, laterality: Laterality) -> Hand:
    """Derive the truth of a hand from its skeleton.

    Args:
        skeleton: its bones.
        placement: of the hand in the image.
        outline: its soft tissue, bool [height, width].
        laterality: which hand it is.
    """
    height, width = outline.shape

    def box(places: npt.ArrayLike) -> Box | None:
        pixels = placement.to_pixels(places)
        return Box(*(float(value) for value in (*pixels.min(axis=0), *pixels.max(axis=0)))).within(width, height)

    pieces: dict[str, list[Points]] = {}
    for piece in skeleton.pieces:
        # A plate that is half hidden is still open: its gap counts as bone once it is mostly closed.
        if piece.part != "line" and piece.weight >= 0.5:
            pieces.setdefault(piece.centre, []).append(piece.outline)
    bones = {
        name: Bone(tuple(placement.to_pixels(outline) for outline in outlines), box(np.concatenate(outlines)))
        for name, outlines in pieces.items()
    }
    # Region 1 includes the carpus before it has ossified.
    around = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    heads = [skeleton.key_points[f"MC{number}_head"] + around * _KNUCKLE_MM for number in range(1, 6)]
    places = {
        "wrist": [np.concatenate([np.asarray(CARPAL_PLAN[name].corners) for name in CARPALS])],
        "radius": [skeleton.ends["distal_radius"]],
        "ulna": [skeleton.ends["distal_ulna"]],
        "mcp": heads,
    }
    tight = {label: [box(place) for place in of_label] for label, of_label in places.items()}
    readers_boxes: dict[str, tuple[Box, ...]] = {}
    for label, of_label in places.items():
        # Readers box visible bones only: a box of which only the margin is inside the image is left out.
        drawn = (
            box(_frame(place, _READERS_MM[label])) for place, seen in zip(of_label, tight[label], strict=True) if seen
        )
        readers_boxes[label] = tuple(part for part in drawn if part is not None)
    regions = {}
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    if rows.size:
        regions[Region.HAND] = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        readers_boxes["hand_mask"] = (regions[Region.HAND],)
        drawn_hand = _box_hand_as_readers_do(outline, placement, np.concatenate(places["radius"] + places["ulna"]))
        if drawn_hand is not None:
            readers_boxes["hand"] = (drawn_hand,)
    for region, labels in ((Region.REGION_1, ("wrist", "radius", "ulna")), (Region.REGION_2, ("mcp",))):
        found = [part for label in labels for part in tight[label] if part is not None]
        if found:
            regions[region] = bounding_box(found)
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
        laterality=laterality,
        regions=regions,
        readers_boxes=readers_boxes,
        masks=masks,
        bones=bones,
        key_points={name: (float(x), float(y)) for name, (x, y) in points.items()},
        centres=dict(skeleton.states),
    )


def _box_hand_as_readers_do(outline: Mask, placement: Placement, forearm: Points) -> Box | None:
    """The box of the soft tissue down to a little below radius and ulna; None outside the image."""
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


def _frame(place: Points, margin: tuple[float, float]) -> Points:
    """Corners of the box around points of the hand, with a margin; millimetres of an adult hand."""
    low, high = place.min(axis=0) - margin, place.max(axis=0) + margin
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])])


def _fill(mask: Mask, outlines: Sequence[Points], box: Box) -> None:
    """Set the pixels of `mask` that lie in the outlines and, up to whole pixels, in the box."""
    x0, y0, x1, y1 = math.floor(box.x0), math.floor(box.y0), math.ceil(box.x1), math.ceil(box.y1)
    # Pillow fills every pixel that an outline touches: drawn finer, then sampled at the pixels' centres.
    image = Image.new("1", ((x1 - x0) * _FINE, (y1 - y0) * _FINE))
    for outline in outlines:
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in (outline - (x0, y0)) * _FINE - 0.5], fill=1)
    mask[y0:y1, x0:x1] |= np.array(image, dtype=bool)[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE]


def bounding_box(boxes: list[Box]) -> Box:
    """The smallest box around all of them."""
    return Box(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )
