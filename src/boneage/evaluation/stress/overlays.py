"""Things that lie on a radiograph or are burnt into it: plates with letters, lines of text, rulers.

The stress suite and the augmentation of training draw them with these functions alone. Every function takes an image
and gives a new one of the same shape: float32 [height, width], bones bright, 1.0 as bright as the brightest bone.
Levels over 1.0 are brighter than bone: whoever saves the image windows it afterwards, and the bones become darker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from boneage.regions import Box

Pixels = npt.NDArray[np.float32]
Rng = np.random.Generator
Site = Literal["beside", "forearm", "anywhere"]
"""Where a block goes: beside the fingers, over the forearm, or anywhere, even over the hand."""
Edge = Literal["top", "bottom", "left", "right"]
EDGES: Final[tuple[Edge, ...]] = ("top", "bottom", "left", "right")

_CANDIDATES: Final = 40
_TALLEST: Final = 0.45
"""No side of a plate is longer than this share of the image's side."""
_WORDS: Final = (
    *("LEFT HAND", "PA", "AP", "BONE AGE", "HAND 1 VIEW", "55 KV", "2.5 MAS", "SID 100", "W 4096", "L 2048", "ERECT"),
    *("PORTABLE", "PAED RADIOLOGY", "ROOM 3", "SE 1", "IM 1/1", "ZOOM 64%", "DOB", "STUDY", "M", "F", "TABLE", "DX"),
)
_LETTERS: Final = "ABCDEFGHJKLMNPRSTUW"


def place_block(
    image: Pixels, block: tuple[int, int], *, hand: Box, rng: Rng, site: Site, avoid: Sequence[Box] = ()
) -> tuple[int, int]:
    """(row, column) of the upper left pixel of a block that lies inside the image.

    Of forty random places the one that hides least is taken: first of what is to be avoided, then of what is bright,
    then of the hand's box.

    Args:
        block: (height, width) in pixels, no larger than the image.
        hand: box of the hand, in pixels of the image.
        site: "beside" is wherever the image is dark; "forearm" lies below the hand's box, around its middle ("beside"
            takes its place where less than 60 % of the block has room); "anywhere" takes the first random place.
        avoid: further boxes, such as those of blocks that lie there.
    """
    height, width = image.shape
    free_rows, free_columns = height - block[0], width - block[1]
    rows = rng.uniform(0.0, 1.0, _CANDIDATES) * free_rows
    columns = rng.uniform(0.0, 1.0, _CANDIDATES) * free_columns
    if site == "anywhere":
        return int(rows[0]), int(columns[0])
    on_forearm = site == "forearm" and height - hand.y1 >= 0.6 * block[0]
    if on_forearm:
        low = min(max(hand.y1, 0.75 * height), float(free_rows))
        rows = low + rng.uniform(0.0, 1.0, _CANDIDATES) * (free_rows - low)
        middle = hand.center[0] - block[1] / 2
        columns = np.clip(middle + rng.uniform(-0.3, 0.3, _CANDIDATES) * hand.width, 0, free_columns)
    places = [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]

    def hidden(place: tuple[int, int]) -> float:
        row, column = place
        lies = Box(column, row, column + block[1], row + block[0])
        avoided = sum(_shared_area(lies, box) for box in avoid) / lies.area
        over_hand = _shared_area(lies, hand) / lies.area
        seen = image[row : row + block[0] : 4, column : column + block[1] : 4]
        return 20.0 * avoided + over_hand + (0.0 if on_forearm else 6.0 * float(seen.mean()))

    return min(places, key=hidden)


def draw_plates(
    image: Pixels,
    hand: Box,
    rng: Rng,
    *,
    area: float,
    level: float,
    count: int = 1,
    sites: Sequence[Site] = ("beside",),
    avoid: Sequence[Box] = (),
) -> Pixels:
    """Lay plates with letters on the image, half of them tilted.

    Args:
        hand: box of the hand, in pixels of the image.
        area: of all plates together, as a share of the image; a plate grows no higher or wider than 45 % of the image.
        level: gray of the plates; their letters are dark on light plates and light on dark ones.
        count: plates, of equal size; one plate keeps out of another's way.
        sites: one is drawn for each plate.
        avoid: boxes that plates keep off, except with the site "anywhere".
    """
    height, width = image.shape
    taken = list(avoid)
    drawn = image.copy()
    for _ in range(count):
        pixels = area * height * width / count
        plate_width = math.sqrt(pixels * float(rng.uniform(1.1, 2.4)))
        plate_width = float(np.clip(plate_width, pixels / (_TALLEST * height), _TALLEST * width))
        size = (max(3, round(plate_width)), max(3, round(pixels / plate_width)))
        degrees = float(rng.uniform(-25.0, 25.0)) if rng.random() < 0.5 else 0.0
        ground, letters = draw_plate(size, degrees, rng)
        ground, letters = (layer[:height, :width] for layer in (ground, letters))
        site = sites[int(rng.integers(len(sites)))]
        shape = (ground.shape[0], ground.shape[1])
        row, column = place_block(drawn, shape, hand=hand, rng=rng, site=site, avoid=taken)
        taken.append(Box(column, row, column + shape[1], row + shape[0]))
        ink = level * 0.2 if level > 0.4 else min(1.0, level + 0.65)
        part = drawn[row : row + shape[0], column : column + shape[1]]
        part[:] = _mixed(_mixed(part, ground, level), letters, ink)
    return drawn


def draw_plate(size: tuple[int, int], degrees: float, rng: Rng) -> tuple[Pixels, Pixels]:
    """Coverage of each pixel by a plate and by its letters, float32 [h, w] in [0, 1] each.

    Args:
        size: (width, height) of the plate in pixels, before it is rotated by `degrees`.
    """
    scale = 2 if max(size) > 60 else 4
    width, height = size[0] * scale, size[1] * scale
    ground, letters = Image.new("L", (width, height), 0), Image.new("L", (width, height), 0)
    radius = float(rng.uniform(0.0, 0.12)) * height
    ImageDraw.Draw(ground).rounded_rectangle((0, 0, width - 1, height - 1), radius=radius, fill=255)
    text = ("L", "R")[int(rng.random() < 0.2)]
    if rng.random() < 0.6 and width > height * 1.2:
        text += " " + "".join(_LETTERS[int(k)] for k in rng.integers(0, len(_LETTERS), 2))
    pen = ImageDraw.Draw(letters)
    letter_height = height * float(rng.uniform(0.4, 0.7))
    font = _font(letter_height)
    if (wide := pen.textlength(text, font)) > width * 0.85:
        font = _font(letter_height * width * 0.85 / wide)
    pen.text((width / 2, height / 2), text, fill=255, font=font, anchor="mm", stroke_width=round(height * 0.015))
    layers = []
    for layer in (ground, letters):
        turned = layer.rotate(degrees, Image.Resampling.BICUBIC, expand=True) if degrees else layer
        small = turned.resize(
            (max(1, round(turned.width / scale)), max(1, round(turned.height / scale))), Image.Resampling.BOX
        )
        layers.append(np.asarray(small, dtype=np.float32) / np.float32(255))
    return layers[0], layers[1]


def draw_text(image: Pixels, rng: Rng, *, lines: int, level: float, corner: int, height: float = 0.022) -> Pixels:
    """Burn lines of text into a corner.

    Args:
        lines: 1 or more; what has no room is cut off.
        level: gray of the letters.
        corner: 0 upper left, 1 upper right, 2 lower left, 3 lower right.
        height: of a line, as a share of the image's longer side.
    """
    rows, columns = image.shape
    size = max(5.0, height * max(rows, columns))
    gap = 0.015 * min(rows, columns)
    layer = Image.new("L", (columns, rows), 0)
    pen, font = ImageDraw.Draw(layer), _font(size)
    for line in range(lines):
        text = _line(rng, 1 if rng.random() < 0.5 else 2)
        y = gap + 1.2 * size * line if corner < 2 else rows - gap - 1.2 * size * (lines - line)
        x, anchor = (gap, "la") if corner % 2 == 0 else (columns - gap, "ra")
        pen.text((x, y), text, fill=255, font=font, anchor=anchor)
    return _mixed(image, _coverage(layer), level)


def draw_patient_line(image: Pixels, rng: Rng, *, edge: Literal["top", "bottom"], level: float) -> Pixels:
    """Burn one line along the top or the bottom: a made-up number, a date and words; half of them on a black band."""
    rows, columns = image.shape
    size = max(5.0, 0.026 * max(rows, columns))
    layer = Image.new("L", (columns, rows), 0)
    pen, font = ImageDraw.Draw(layer), _font(size)
    date = f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(1990, 2026)}"
    text = f"ID {rng.integers(10**6, 10**7)}   {date}   {_line(rng, 2)}"
    band = round(1.5 * size)
    top = 0 if edge == "top" else rows - band
    pen.text((0.01 * columns, top + 0.2 * size), text, fill=255, font=font)
    drawn = image.copy()
    if rng.random() < 0.5:
        drawn[max(0, top) : top + band] = 0.0
    return _mixed(drawn, _coverage(layer), level)


def draw_ruler(image: Pixels, rng: Rng, *, edge: Edge, level: float) -> Pixels:
    """Draw a scale along an edge: a line with short marks, each tenth one long with its number.

    It covers 40 to 90 % of the edge's length.
    """
    rows, columns = image.shape
    is_vertical = edge in ("left", "right")
    long_side = rows if is_vertical else columns
    size = 0.02 * max(rows, columns)
    length = long_side * float(rng.uniform(0.4, 0.9))
    start = (long_side - length) * float(rng.uniform(0.2, 0.8))
    inset = size * float(rng.uniform(0.4, 1.2))
    layer = Image.new("L", (columns, rows), 0)
    pen, font = ImageDraw.Draw(layer), _font(max(5.0, size))
    thick = max(1, round(size * 0.12))

    def at(along: float, deep: float) -> tuple[float, float]:
        """A point so far along the edge and so far from it."""
        if is_vertical:
            return (deep if edge == "left" else columns - 1 - deep), along
        return along, (deep if edge == "top" else rows - 1 - deep)

    marks = 10 * int(rng.integers(3, 9))
    pen.line([at(start, inset), at(start + length, inset)], fill=255, width=thick)
    for mark in range(marks + 1):
        along = start + length * mark / marks
        deep = size * (1.0 if mark % 10 == 0 else 0.65 if mark % 5 == 0 else 0.4)
        pen.line([at(along, inset), at(along, inset + deep)], fill=255, width=thick)
        if mark % 10 == 0:
            pen.text(at(along, inset + 1.8 * size), str(mark // 10), fill=255, font=font, anchor="mm")
    return _mixed(image, _coverage(layer), level)


def _line(rng: Rng, words: int) -> str:
    drawn = [_WORDS[int(k)] for k in rng.integers(0, len(_WORDS), words)]
    return " ".join([*drawn, str(rng.integers(1, 10**4))] if rng.random() < 0.4 else drawn)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(4.0, size))


def _coverage(layer: Image.Image) -> Pixels:
    return np.asarray(layer, dtype=np.float32) / np.float32(255)


def _mixed(image: Pixels, coverage: Pixels, level: float) -> Pixels:
    return np.asarray(image + coverage * (np.float32(level) - image), dtype=np.float32)


def _shared_area(one: Box, other: Box) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height)
