"""What technicians lay on the film: the side's letter with initials, on a plate or without."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Layer = npt.NDArray[np.float32]

_LETTERS: Final = "ABCDEFGHJKLMNPRSTUW"


def marker(side: str, height: int, rng: np.random.Generator) -> tuple[Layer, Layer]:
    """A side marker.

    Args:
        side: its letter, "L" or "R".
        height: of the letter, in pixels.

    Returns:
        The letters' and the plate's cover of each pixel, float32 [h, w] in [0, 1]; already turned.
    """
    height = max(height, 8)
    initials = "".join(_LETTERS[int(index)] for index in rng.integers(0, len(_LETTERS), int(rng.integers(0, 4))))
    below = rng.random() < 0.7
    big, small = ImageFont.load_default(height * 1.25), ImageFont.load_default(max(6.0, height * 0.55))
    pen = max(1, round(height * float(rng.uniform(0.06, 0.12))))
    side_pixels = height * 4
    letters = Image.new("L", (side_pixels, side_pixels), 0)
    plate = Image.new("L", (side_pixels, side_pixels), 0)
    draw = ImageDraw.Draw(letters)
    middle = side_pixels // 2
    draw.text((middle, middle), side, fill=255, font=big, anchor="mm", stroke_width=pen)
    if initials:
        place = (middle, middle + height * 0.95) if below else (middle + height * 0.75, middle + height * 0.2)
        draw.text(place, initials, fill=255, font=small, anchor="mm" if below else "lm", stroke_width=pen // 2)
    with_plate = rng.random() < 0.65
    if with_plate:
        box = letters.getbbox() or (0, 0, side_pixels, side_pixels)
        margin = height * float(rng.uniform(0.15, 0.4))
        ImageDraw.Draw(plate).rounded_rectangle(
            (box[0] - margin, box[1] - margin * 1.6, box[2] + margin, box[3] + margin), radius=margin * 0.6, fill=255
        )
    turn = float(rng.normal(0.0, 4.0)) if rng.random() < 0.5 else float(rng.uniform(-60.0, 60.0))
    # A cassette read from its other side shows the letter mirrored.
    mirrored = rng.random() < 0.04
    layers = []
    for layer in (letters, plate):
        turned = layer.rotate(turn, Image.Resampling.BICUBIC)
        layers.append(turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else turned)
    box = (layers[1] if with_plate else layers[0]).getbbox() or (0, 0, side_pixels, side_pixels)
    cut = [np.asarray(layer.crop(box), dtype=np.float32) / np.float32(255) for layer in layers]
    return cut[0], cut[1]
