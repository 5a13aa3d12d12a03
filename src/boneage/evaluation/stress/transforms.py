"""What happens to radiographs on their way to a reader: rotated, mirrored, marked, compressed, collimated, ...

Every function takes an image and gives a new one: float32 [height, width] in [0, 1], bones bright. The stress suite
(`TRANSFORMS`) names them with their strengths. Randomness is seeded by the case's id, so that a case always gets the
same angle and the same noise.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from boneage.evaluation.stress.fields import background_of, collimate, field_around, lengthen_forearm, pad, zoom_out
from boneage.evaluation.stress.overlays import EDGES, draw_patient_line, draw_plates, draw_ruler, draw_text
from boneage.radiograph import Radiograph
from boneage.regions import Box

Pixels = npt.NDArray[np.float32]
Apply = Callable[[Pixels, Box, np.random.Generator], Pixels]
"""(image, box of its hand in pixels, random generator) -> changed image."""

HAND_MARGIN: Final = 0.2
"""The hand's box is widened by this fraction of its size before everything outside it is masked."""
MASKED: Final = "outside_masked"
_PLATE, _LETTER = 0.6, 1.0
WHITE: Final = 1.9
"""How many times brighter than the brightest bones a file's white is: 255 over the file's 99.5th percentile. In 40 RSNA
training radiographs it was 1.25 at the median and 1.95 at the 90th percentile; the suite takes a hard case."""


@dataclass(frozen=True)
class Transform:
    """One transform at one strength.

    Attributes:
        name: as tables and metrics.json call it.
        family: transforms that differ in strength alone.
        label: for people, within the family.
        apply: the function.
    """

    name: str
    family: str
    label: str
    apply: Apply


def stressed(radiograph: Radiograph, transform: Transform, hand: Box, case_id: str) -> Radiograph:
    """The radiograph as it would be read from an 8-bit file that was saved after the transform.

    Args:
        hand: box of its hand, in pixels of the radiograph.
        case_id: the same id and transform always give the same pixels.

    Raises:
        UnsuitableRadiograph: the changed image is too small, or has a single gray value.
    """
    seed = int.from_bytes(hashlib.sha256(f"{case_id} {transform.name}".encode()).digest()[:8], "little")
    image = transform.apply(radiograph.pixels, hand, np.random.default_rng(seed))
    return Radiograph.from_values(
        _in_8_bits(image),
        file=radiograph.file,
        sex=radiograph.sex,
        laterality=radiograph.laterality,
        source=radiograph.source,
        remarks=radiograph.remarks,
        phantom=radiograph.phantom,
    )


def rotated(image: Pixels, degrees: float) -> Pixels:
    """Rotated counter-clockwise as seen; the image grows so that no corner is lost, and is black around it.

    Quarter turns move pixels without interpolation.
    """
    quarters, rest = divmod(degrees, 90)
    if rest == 0:
        return np.ascontiguousarray(np.rot90(image, int(quarters)))
    turned = Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=0)
    return np.asarray(turned, dtype=np.float32)


def flipped(image: Pixels) -> Pixels:
    """Left and right change places."""
    return np.ascontiguousarray(image[:, ::-1])


def brightened(image: Pixels, by: float) -> Pixels:
    """Every gray value moved by a share of the whole scale; what leaves the scale is cut off."""
    return _clipped(image + np.float32(by))


def contrasted(image: Pixels, factor: float) -> Pixels:
    """Gray values moved away from middle gray (factor over 1) or towards it, and cut off at black and white."""
    return _clipped((image - np.float32(0.5)) * np.float32(factor) + np.float32(0.5))


def gamma_corrected(image: Pixels, exponent: float) -> Pixels:
    """Gray values to a power: under 1 the image becomes brighter, over 1 darker; black and white stay."""
    return np.power(image, np.float32(exponent), dtype=np.float32)


def inverted(image: Pixels) -> Pixels:
    """Bones dark, as in an image whose photometric interpretation was lost."""
    return np.float32(1.0) - image


def with_letter(image: Pixels, hand: Box, rng: np.random.Generator) -> Pixels:
    """A bright side letter on its plate, a seventh of the shorter side high, in a corner (`free_corner`)."""
    side = max(6, round(min(image.shape) / 7))
    plate = Image.new("F", (side, side), _PLATE)
    font = ImageFont.load_default(size=max(6, round(side * 0.9)))
    ImageDraw.Draw(plate).text((side / 2, side / 2), "R", fill=_LETTER, font=font, anchor="mm")
    return _laid_on(image, np.asarray(plate, dtype=np.float32), hand=hand, rng=rng)


def with_label(image: Pixels, hand: Box, rng: np.random.Generator) -> Pixels:
    """A white label, a quarter as wide as the shorter side and half as high, with a black disc, in a corner."""
    width = max(8, round(min(image.shape) / 4))
    height = max(4, width // 2)
    label = Image.new("F", (width, height), _LETTER)
    ImageDraw.Draw(label).ellipse((height * 0.2, height * 0.2, height * 0.8, height * 0.8), fill=0.0)
    return _laid_on(image, np.asarray(label, dtype=np.float32), hand=hand, rng=rng)


def resampled(image: Pixels, factor: int) -> Pixels:
    """Shrunk to a `factor`-th of each side, antialiased, and enlarged again to the same size."""
    height, width = image.shape
    small = Image.fromarray(image).resize(
        (max(1, round(width / factor)), max(1, round(height / factor))), Image.Resampling.BILINEAR
    )
    return _clipped(np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32))


def noisy(image: Pixels, sd: float, rng: np.random.Generator) -> Pixels:
    """Gaussian noise on each pixel; `sd` is a share of the whole gray scale."""
    return _clipped(image + np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32))


def jpeg(image: Pixels, quality: int) -> Pixels:
    """Saved as a JPEG of that quality (1 to 95) and read again."""
    stream = io.BytesIO()
    Image.fromarray(_in_8_bits(image)).save(stream, format="JPEG", quality=quality)
    with Image.open(stream) as decoded:
        return np.asarray(decoded, dtype=np.float32) / np.float32(255)


def bordered(image: Pixels, share: float) -> Pixels:
    """A black border at each side, as wide as a share of that side's length."""
    height, width = (round(side * share) for side in image.shape)
    return np.pad(image, ((height, height), (width, width)))


def cropped(image: Pixels, share: float) -> Pixels:
    """Each side cropped by a share of the image's length in that direction."""
    rows, columns = image.shape
    y, x = round(rows * share), round(columns * share)
    return np.ascontiguousarray(image[y : rows - y, x : columns - x])


def shifted(image: Pixels, hand: Box, share: float, axis: int) -> Pixels:
    """Shifted by a share of the image's length to the side where the hand has more room; black moves in.

    Args:
        axis: 0 shifts up or down, 1 to the left or right.
    """
    length = image.shape[axis]
    before, after = (hand.y0, length - hand.y1) if axis == 0 else (hand.x0, length - hand.x1)
    step = round(length * share)
    moved = np.zeros_like(image)
    source, target = (slice(0, length - step), slice(step, length))
    if before > after:
        source, target = target, source
    if axis == 0:
        moved[target] = image[source]
    else:
        moved[:, target] = image[:, source]
    return moved


def masked_outside(image: Pixels, hand: Box, margin: float = HAND_MARGIN) -> Pixels:
    """Everything outside the hand's box, widened by `margin` of its size, is set to the median of what was there.

    Markers, labels, collimation and most of the forearm go. Where nothing lies outside, the image stays as it is.
    """
    height, width = image.shape
    kept = hand.grown(margin).within(float(width), float(height)) or Box(0.0, 0.0, float(width), float(height))
    outside = np.ones(image.shape, dtype=bool)
    outside[int(kept.y0) : int(np.ceil(kept.y1)), int(kept.x0) : int(np.ceil(kept.x1))] = False
    masked = image.copy()
    if outside.any():
        masked[outside] = np.median(image[outside])
    return masked


def with_plates(image: Pixels, hand: Box, rng: np.random.Generator, *, area: float, light: bool) -> Pixels:
    """Plates with letters, beside the hand or over the forearm: one up to 5 % of the area, three of equal size above.

    Light plates are as white as a file allows (`WHITE`), dark ones darker than flesh.
    """
    plates = draw_plates(
        image,
        hand,
        rng,
        area=area,
        level=WHITE if light else 0.04,
        count=1 if area <= 0.05 else 3,
        sites=("beside", "forearm"),
    )
    return plates / np.float32(WHITE) if light else plates


def with_text(image: Pixels, rng: np.random.Generator, lines: int = 8) -> Pixels:
    """Lines of white text in one corner."""
    drawn = draw_text(image, rng, lines=lines, level=WHITE, corner=int(rng.integers(4)))
    return drawn / np.float32(WHITE)


def with_ruler(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A white scale along one edge."""
    return draw_ruler(image, rng, edge=EDGES[int(rng.integers(4))], level=WHITE) / np.float32(WHITE)


def with_patient_line(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A line of white text along the top or the bottom."""
    edge: Literal["top", "bottom"] = "top" if rng.random() < 0.5 else "bottom"
    return draw_patient_line(image, rng, edge=edge, level=WHITE) / np.float32(WHITE)


def collimated(image: Pixels, hand: Box, *, level: float, degrees: float = 0.0) -> Pixels:
    """Exposed only in a rectangle around the hand, on a detector that is larger by a tenth at each side.

    The rectangle is wider than the hand's box by 12 % at each side, and longer by a quarter at the forearm.

    Args:
        level: gray of what was not exposed.
        degrees: rotation of the rectangle, counter-clockwise.
    """
    height, width = image.shape
    rows, columns = (round(0.1 * side) for side in image.shape)
    field = field_around(hand, (height, width), (0.12, 0.12, 0.12, 0.25)).shifted(columns, rows)
    canvas = pad(image, (columns, rows, columns, rows), level=background_of(image)).image
    return collimate(canvas, field, level=level, degrees=degrees) / np.float32(max(1.0, level))


def padded(image: Pixels, share: float) -> Pixels:
    """On a black canvas that is wider and higher by `share` of the image at each side."""
    rows, columns = (round(side * share) for side in image.shape)
    return pad(image, (columns, rows, columns, rows)).image


def inverted_with_white_border(image: Pixels, share: float) -> Pixels:
    """Bones dark, and white around it at each side, as wide as a share of that side's length."""
    return inverted(padded(image, share))


def free_corner(image: tuple[int, int], block: tuple[int, int], hand: Box, rng: np.random.Generator) -> tuple[int, int]:
    """(row, column) of a block's upper left pixel in the corner where it covers least of the hand's box.

    Of equal corners one is drawn at random.

    Args:
        image, block: (height, width) in pixels. The block keeps a fiftieth of the image's shorter side off the edges.
        hand: in pixels of the image.
        rng: for the draw.
    """
    gap = round(min(image) / 50)
    corners = [(row, column) for row in (gap, image[0] - block[0] - gap) for column in (gap, image[1] - block[1] - gap)]

    def covered(corner: tuple[int, int]) -> float:
        row, column = corner
        height = min(hand.y1, row + block[0]) - max(hand.y0, row)
        width = min(hand.x1, column + block[1]) - max(hand.x0, column)
        return max(0.0, height) * max(0.0, width)

    least = min(map(covered, corners))
    best = [corner for corner in corners if covered(corner) == least]
    return best[int(rng.integers(len(best)))]


def _laid_on(image: Pixels, block: Pixels, hand: Box, rng: np.random.Generator) -> Pixels:
    height, width = image.shape
    row, column = free_corner((height, width), (block.shape[0], block.shape[1]), hand=hand, rng=rng)
    marked = image.copy()
    marked[row : row + block.shape[0], column : column + block.shape[1]] = block
    return marked


def _clipped(values: Pixels) -> Pixels:
    return np.asarray(np.clip(values, 0.0, 1.0), dtype=np.float32)


def _in_8_bits(image: Pixels) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(image, 0.0, 1.0) * 255.0), dtype=np.uint8)


def _suite() -> Sequence[Transform]:
    def of(family: str, name: str, label: str, apply: Apply) -> Transform:
        return Transform(name, family, label, apply)

    def turn(degrees: int) -> Transform:
        sign = "\N{MINUS SIGN}" if degrees < 0 else "" if degrees == 180 else "+"
        label = f"{sign}{abs(degrees)}\N{DEGREE SIGN}"
        return of("rotation", f"rotate_{degrees}", label, lambda image, hand, rng: rotated(image, degrees))

    def plate(area: int, *, light: bool) -> Transform:
        word = "light" if light else "dark"
        label = f"{word}, {area} % of the area"
        return of(
            f"{word} plate",
            f"plate_{word}_{area}",
            label,
            lambda p, h, rng: with_plates(p, h, rng, area=area / 100, light=light),
        )

    def tilted(image: Pixels, hand: Box, rng: np.random.Generator) -> Pixels:
        degrees = float(rng.choice([-1.0, 1.0]) * rng.uniform(6.0, 14.0))
        return collimated(image, hand, level=0.5, degrees=degrees)

    return (
        *(turn(degrees) for degrees in (15, -15, 30, -30, 45, -45, 90, -90, 180)),
        of("rotation", "rotate_any", "any angle", lambda p, hand, rng: rotated(p, float(rng.uniform(-180, 180)))),
        of("flip", "flip", "left to right", lambda p, hand, rng: flipped(p)),
        of("inversion", "invert", "bones dark", lambda p, hand, rng: inverted(p)),
        of("brightness", "brighter", "+20 % of the scale", lambda p, hand, rng: brightened(p, 0.2)),
        of("brightness", "darker", "\N{MINUS SIGN}20 % of the scale", lambda p, hand, rng: brightened(p, -0.2)),
        of("contrast", "contrast_0.6", "\N{MULTIPLICATION SIGN} 0.6", lambda p, hand, rng: contrasted(p, 0.6)),
        of("contrast", "contrast_1.6", "\N{MULTIPLICATION SIGN} 1.6", lambda p, hand, rng: contrasted(p, 1.6)),
        of("gamma", "gamma_0.6", "0.6 (brighter)", lambda p, hand, rng: gamma_corrected(p, 0.6)),
        of("gamma", "gamma_1.6", "1.6 (darker)", lambda p, hand, rng: gamma_corrected(p, 1.6)),
        of("marker", "marker_letter", "letter on a plate", with_letter),
        of("marker", "marker_label", "white label", with_label),
        of("resolution", "resolution_1/2", "1/2 and back", lambda p, hand, rng: resampled(p, 2)),
        of("resolution", "resolution_1/3", "1/3 and back", lambda p, hand, rng: resampled(p, 3)),
        of("noise", "noise_0.02", "SD 2 % of the scale", lambda p, hand, rng: noisy(p, 0.02, rng)),
        of("noise", "noise_0.05", "SD 5 % of the scale", lambda p, hand, rng: noisy(p, 0.05, rng)),
        of("jpeg", "jpeg_30", "quality 30", lambda p, hand, rng: jpeg(p, 30)),
        of("jpeg", "jpeg_10", "quality 10", lambda p, hand, rng: jpeg(p, 10)),
        of("border", "border_wider", "+15 % each side", lambda p, hand, rng: bordered(p, 0.15)),
        of("border", "border_narrower", "\N{MINUS SIGN}5 % each side", lambda p, hand, rng: cropped(p, 0.05)),
        of("translation", "shift_x", "10 % sideways", lambda p, hand, rng: shifted(p, hand, share=0.1, axis=1)),
        of("translation", "shift_y", "10 % up or down", lambda p, hand, rng: shifted(p, hand, share=0.1, axis=0)),
        *(plate(area, light=light) for light in (True, False) for area in (1, 4, 12)),
        of("text", "text_corner", "8 lines in a corner", lambda p, hand, rng: with_text(p, rng)),
        of("text", "patient_line", "line along an edge", lambda p, hand, rng: with_patient_line(p, rng)),
        of("ruler", "ruler", "along an edge", lambda p, hand, rng: with_ruler(p, rng)),
        of("collimation", "collimation_black", "black around", lambda p, hand, rng: collimated(p, hand, level=0.0)),
        of("collimation", "collimation_gray", "gray around", lambda p, hand, rng: collimated(p, hand, level=0.5)),
        of("collimation", "collimation_bright", "bright around", lambda p, hand, rng: collimated(p, hand, level=WHITE)),
        of("collimation", "collimation_tilted", "gray around, tilted", lambda p, hand, rng: tilted(p, hand, rng)),
        of("padding", "padding", "+60 % each side", lambda p, hand, rng: padded(p, 0.6)),
        of(
            "padding", "white_border", "inverted, white border", lambda p, hand, rng: inverted_with_white_border(p, 0.1)
        ),
        of("small hand", "small_hand", "half as large", lambda p, hand, rng: zoom_out(p, 0.5, rng).image),
        of(
            "forearm",
            "long_forearm",
            "+50 % of the height",
            lambda p, hand, rng: lengthen_forearm(p, hand, share=0.5, rng=rng),
        ),
        of("mask", MASKED, "outside the hand", lambda p, hand, rng: masked_outside(p, hand)),
    )


TRANSFORMS: Final = tuple(_suite())
"""The stress suite, in the order of its tables. The last one masks everything but the hand."""
