"""Side markers: the letter of the side with the technician's initials, with or without a plate."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Layer = npt.NDArray[np.float32]

_LETTERS: Final = "ABCDEFGHJKLMNPRSTUW"


def draw_marker(side: str, height: int, rng: np.random.Generator) -> tuple[Layer, Layer]:
    """Draw a side marker.

    Args:
        side: the letter, "L" or "R".
        height: of the letter, in pixels.

    Returns:
        Coverage of each pixel by the letters and by the plate, float32 [h, w] in [0, 1] each; rotated.
    """
    height = max(height, 8)
    side_pixels = height * 6
    letters = Image.new("L", (side_pixels, side_pixels), 0)
    plate = Image.new("L", (side_pixels, side_pixels), 0)
    bottom = _write(letters, side, height=height, rng=rng)
    if rng.random() < 0.22:
        _bead(
            letters, (side_pixels / 2, bottom + height * 0.45), radius=height * float(rng.uniform(0.22, 0.36)), rng=rng
        )
    squeeze = float(rng.uniform(0.72, 1.05))
    letters = letters.resize((round(side_pixels * squeeze), side_pixels), Image.Resampling.BICUBIC)
    plate = plate.resize(letters.size)
    with_plate = rng.random() < 0.8
    if with_plate:
        x0, y0, x1, y1 = letters.getbbox() or (0, 0, *letters.size)
        margin = height * float(rng.uniform(0.15, 0.4))
        above = margin * float(rng.uniform(0.8, 2.2))
        draw = ImageDraw.Draw(plate)
        draw.rounded_rectangle((x0 - margin, y0 - above, x1 + margin, y1 + margin), radius=margin * 0.5, fill=200)
        if rng.random() < 0.35:
            hole = 0.16 * height
            x, y = (x0 + x1) / 2, y0 - above * 0.55
            draw.ellipse((x - hole, y - hole, x + hole, y + hole), fill=90)
    turn = float(rng.normal(0.0, 4.0)) if rng.random() < 0.5 else float(rng.uniform(-60.0, 60.0))
    # A cassette that is read from its back shows the letter mirrored.
    mirrored = rng.random() < 0.04
    layers = []
    for layer in (letters, plate):
        turned = layer.rotate(turn, Image.Resampling.BICUBIC, expand=True)
        layers.append(turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else turned)
    box = (layers[1] if with_plate else layers[0]).getbbox() or (0, 0, *letters.size)
    cut = [np.asarray(layer.crop(box), dtype=np.float32) / np.float32(255) for layer in layers]
    return cut[0], cut[1]


def _write(letters: Image.Image, side: str, height: int, rng: np.random.Generator) -> float:
    """Write the letter with initials below, beside, or one under the other; returns the y where they end."""
    count = int(rng.choice((0, 2, 3), p=(0.12, 0.38, 0.5)))
    initials = "".join(_LETTERS[int(index)] for index in rng.integers(0, len(_LETTERS), count))
    size = height * float(rng.uniform(0.45, 0.75))
    big, small = ImageFont.load_default(height * 1.25), ImageFont.load_default(max(6.0, size))
    pen = max(1, round(height * float(rng.uniform(0.05, 0.12))))
    draw = ImageDraw.Draw(letters)
    middle = letters.width // 2
    y = letters.height * 0.25
    draw.text((middle, y), side, fill=255, font=big, anchor="mm", stroke_width=pen)
    layout = rng.random()
    if not initials or layout < 0.15:
        draw.text((middle + height * 0.75, y + height * 0.2), initials, fill=255, font=small, anchor="lm")
        return y + height * 0.5
    if layout < 0.72:
        draw.text(
            (middle, y + height * 0.6 + size * 0.6), initials, fill=255, font=small, anchor="mm", stroke_width=pen // 2
        )
        return y + height * 0.6 + size
    for number, letter in enumerate(initials):
        place = (middle, y + height * 0.6 + size * (0.6 + 0.95 * number))
        draw.text(place, letter, fill=255, font=small, anchor="mm", stroke_width=pen // 2)
    return y + height * 0.6 + size * len(initials)


def _bead(letters: Image.Image, middle: tuple[float, float], radius: float, rng: np.random.Generator) -> None:
    """Draw the capsule with a few steel balls that shows how a cassette stood."""
    draw = ImageDraw.Draw(letters)
    (x, y), r = middle, radius
    draw.ellipse((x - r, y - r, x + r, y + r), outline=255, width=max(1, round(r * 0.22)))
    for _ in range(int(rng.integers(1, 4))):
        u, v = x + float(rng.uniform(-0.3, 0.3)) * r, y + float(rng.uniform(-0.3, 0.3)) * r
        draw.ellipse((u - 0.2 * r, v - 0.2 * r, u + 0.2 * r, v + 0.2 * r), fill=255)
