"""Augmentation of what is not the hand: plates, text and rulers on a training image, and the field around the hand.

The drawing is the stress suite's (`boneage.evaluation.stress.overlays` and `.fields`); here its strengths and places
are drawn at random, wider than the suite's.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from boneage.evaluation.stress.fields import (
    Moved,
    background_of,
    collimate,
    field_around,
    lengthen_forearm,
    pad,
    zoom_out,
)
from boneage.evaluation.stress.overlays import EDGES, Site, draw_patient_line, draw_plates, draw_ruler, draw_text
from boneage.pipeline.localization import Localization
from boneage.radiograph import WINDOW_PERCENTILES
from boneage.regions import Box, Region
from boneage.training.recipes.settings import Augmentation
from boneage.views import ImageArray

Pixels = npt.NDArray[np.float32]
Rng = np.random.Generator

_SELDOM: Final = 0.07
"""Chance that plates may lie anywhere, over region 1 and the fingers as well."""
_BRIGHTEST: Final = 1.9
"""White over bone: in a tenth of the RSNA training radiographs it is more."""


class Surrounded(NamedTuple):
    """A training image in other surroundings.

    Attributes:
        image: float32 [h, w], bones bright; not windowed where something was drawn.
        found: its regions, in its pixels.
        changed: something was drawn.
    """

    image: Pixels
    found: Localization
    changed: bool


def augment_surroundings(
    image: ImageArray, found: Localization, rng: Rng, within: Augmentation
) -> tuple[ImageArray, Localization]:
    """Draw plates, text, rulers and another field around the hand, with the chances `overlays` and `fields`.

    Where something was drawn the result is windowed like a radiograph that is read. Nothing is taken from `rng` for a
    chance of 0.

    Args:
        image: uint8 [h, w] in canonical orientation.
        found: its regions. Plates keep off regions 1 and 2, except on one in fourteen of the images with plates.

    Returns:
        uint8 [h, w], larger or smaller than before where the field changed, and the regions in its pixels.
    """
    if not (within.overlays or within.fields):
        return image, found
    made = surround(
        image.astype(np.float32) / np.float32(255), found, rng, overlays=within.overlays, fields=within.fields
    )
    if not made.changed:
        return image, found
    low, high = np.percentile(made.image, WINDOW_PERCENTILES)
    gray = (made.image - np.float32(low)) * np.float32(255.0 / max(float(high - low), 1e-3))
    return np.asarray(np.rint(gray.clip(0.0, 255.0)), dtype=np.uint8), made.found


def surround(image: Pixels, found: Localization, rng: Rng, *, overlays: float, fields: float) -> Surrounded:
    """The same on float32 [h, w] in [0, 1], without the window.

    What lies on the cassette is exposed with the hand: it comes before the field. What is burnt in comes last.
    """
    with_overlays = bool(overlays) and bool(rng.random() < overlays)
    with_field = bool(fields) and bool(rng.random() < fields)
    if with_overlays:
        image = _lay_plates(image, found, rng)
    if with_field:
        image, found = _change_field(image, found, rng)
    if with_overlays:
        image = _burn_in(image, rng)
    return Surrounded(image, found, with_overlays or with_field)


def _lay_plates(image: Pixels, found: Localization, rng: Rng) -> Pixels:
    """One to four plates on 80 % of the images, of .5 to 15 % of the area in total, small ones more often."""
    if rng.random() < 0.2:
        return image
    sites: tuple[Site, ...] = ("anywhere",) if rng.random() < _SELDOM else ("beside", "beside", "forearm")
    return draw_plates(
        image,
        _hand_of(image, found),
        rng,
        area=float(np.exp(rng.uniform(np.log(0.005), np.log(0.15)))),
        level=_draw_level(rng, dark=0.35),
        count=int(rng.choice((1, 2, 3, 4), p=(0.55, 0.25, 0.13, 0.07))),
        sites=sites,
        avoid=[box for region, box in found.boxes.items() if region is not Region.HAND],
    )


def _burn_in(image: Pixels, rng: Rng) -> Pixels:
    """Text in up to two corners, a line along an edge, a ruler: each by itself, often none."""
    level = _draw_level(rng, dark=0.05)
    corners = rng.permutation(4)
    for corner in corners[: int(rng.choice((0, 1, 2), p=(0.6, 0.3, 0.1)))]:
        height = float(rng.uniform(0.014, 0.032))
        image = draw_text(image, rng, lines=int(rng.integers(1, 11)), level=level, corner=int(corner), height=height)
    if rng.random() < 0.15:
        image = draw_patient_line(image, rng, edge="top" if rng.random() < 0.5 else "bottom", level=level)
    if rng.random() < 0.15:
        image = draw_ruler(image, rng, edge=EDGES[int(rng.integers(4))], level=level)
    return image


def _change_field(image: Pixels, found: Localization, rng: Rng) -> tuple[Pixels, Localization]:
    """One of: collimation (45 %), padding (20 %), a small hand (15 %), a long forearm (10 %), a border (10 %)."""
    kind = int(rng.choice(5, p=(0.45, 0.2, 0.15, 0.1, 0.1)))
    height, width = image.shape
    if kind == 0:
        return _collimate(image, found, rng)
    if kind == 1:
        left, top, right, bottom = rng.uniform(0.0, 0.7, 4) * (width, height, width, height)
        return _moved(pad(image, (round(left), round(top), round(right), round(bottom))), found)
    if kind == 2:
        return _moved(zoom_out(image, float(rng.uniform(0.4, 0.85)), rng, across=float(rng.uniform(0.1, 0.9))), found)
    if kind == 3:
        return lengthen_forearm(image, _hand_of(image, found), share=float(rng.uniform(0.1, 0.7)), rng=rng), found
    # A border: that of a print, or of a sheet that lay a little askew on the scanner.
    level = _draw_level(rng, dark=0.4)
    if rng.random() < 0.5:
        rows, columns = (max(1, round(side * rng.uniform(0.01, 0.1))) for side in image.shape)
        return _moved(pad(image, (columns, rows, columns, rows), level=level), found)
    everything = Box(0.0, 0.0, float(width), float(height))
    field = everything.grown(-float(rng.uniform(0.01, 0.05)))
    return collimate(image, field, level=level, degrees=float(rng.normal(0.0, 1.0)), scatter=0.0), found


def _collimate(image: Pixels, found: Localization, rng: Rng) -> tuple[Pixels, Localization]:
    """One or two rectangles around the hand, half of them tilted, often on a detector that is larger than the image."""
    moved = Moved(image)
    if rng.random() < 0.6:
        rows, columns = (rng.uniform(0.0, 0.35, 2) * side for side in image.shape)
        margins = (round(columns[0]), round(rows[0]), round(columns[1]), round(rows[1]))
        moved = pad(image, margins, level=background_of(image))
    image, found = _moved(moved, found)
    hand = _hand_of(image, found)
    tilt = float(rng.uniform(-18.0, 18.0)) if rng.random() < 0.5 else 0.0
    scatter = float(rng.uniform(0.0, 0.12))
    left, top, right, bottom = (float(share) for share in rng.uniform(0.02, 0.25, 4))
    for step in range(2 if rng.random() < 0.25 else 1):
        # A second step is wider than the first: what lies between is gray, what lies outside differs.
        more = 0.25 * step
        field = field_around(
            hand, (image.shape[0], image.shape[1]), (left + more, top + more, right + more, bottom + more + 0.2)
        )
        image = collimate(image, field, level=_draw_level(rng, dark=0.35), degrees=tilt, scatter=scatter)
    return image, found


def _draw_level(rng: Rng, *, dark: float) -> float:
    """Black or nearly (with the chance `dark`), otherwise gray (a third) or from bone to the brightest white."""
    if rng.random() < dark:
        return float(rng.choice((0.0, rng.uniform(0.0, 0.2))))
    return float(rng.uniform(0.2, 0.9) if rng.random() < 1 / 3 else rng.uniform(0.9, _BRIGHTEST))


def _hand_of(image: Pixels, found: Localization) -> Box:
    """The hand's box; without one the whole image."""
    return found.boxes.get(Region.HAND) or Box(0.0, 0.0, float(image.shape[1]), float(image.shape[0]))


def _moved(moved: Moved, found: Localization) -> tuple[Pixels, Localization]:
    boxes = {region: moved.follow(box) for region, box in found.boxes.items()}
    # Maps of attention belong to the image before.
    return moved.image, Localization(boxes, {}, found.missing, found.remarks)
