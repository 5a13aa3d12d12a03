"""A sheet of 24 phantoms over age and sex that shows the ossification sequence: `docs/images/phantoms.jpg`.

    python examples/phantom_sheet.py docs/images/phantoms.jpg

Capitate and hamate come first, the pisiform late; the distal phalanges fuse first, the radius last. The boy and the
girl of a column have one seed, hence one posture and one exposure. Only phantoms are shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from boneage.atomic import replacing
from boneage.phantom import phantom

AGES_MONTHS = (6, 18, 30, 45, 60, 80, 100, 125, 150, 175, 195, 225)
HEIGHT, WIDTH = 420, 330
COLUMNS = 6


def thumbnail(age_months: int, sex: str, seed: int) -> Image.Image:
    """One phantom with its label, its grays stretched as a reader would, WIDTH x HEIGHT pixels."""
    image = phantom(age_months, sex, seed, 512, laterality="left").pixels.astype(np.float32)
    low, high = np.percentile(image, (1, 99.6))
    stretched = np.clip((image - low) / max(high - low, 1.0), 0.0, 1.0) * 255
    image = Image.fromarray(stretched.astype(np.uint8))
    image.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    frame = Image.new("L", (WIDTH, HEIGHT), 0)
    frame.paste(image, ((WIDTH - image.width) // 2, (HEIGHT - image.height) // 2))
    label = f"{'boy' if sex == 'male' else 'girl'}, {age_months} months"
    draw = ImageDraw.Draw(frame)
    draw.rectangle((0, 0, 138, 22), fill=0)
    draw.text((6, 3), label, fill=255, font=ImageFont.load_default(15))
    return frame


def main(target: Path) -> None:
    tiles = [thumbnail(age, sex, 100 + age) for sex in ("male", "female") for age in AGES_MONTHS]
    sheet = Image.new("L", (COLUMNS * WIDTH, len(tiles) // COLUMNS * HEIGHT))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % COLUMNS * WIDTH, index // COLUMNS * HEIGHT))
    with replacing(target) as waiting:
        sheet.save(waiting, "JPEG", quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/phantoms.jpg"))
