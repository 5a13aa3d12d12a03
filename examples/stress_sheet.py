"""A sheet of one phantom under every transform of the stress suite: `docs/images/stress.jpg`.

    python examples/stress_sheet.py docs/images/stress.jpg

What `boneage evaluate --stress` does to each radiograph, shown on a phantom.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from boneage.atomic import replacing
from boneage.evaluation import TRANSFORMS, stressed
from boneage.evaluation.names import FAMILY_NAMES
from boneage.phantom import phantom
from boneage.radiograph import Radiograph
from boneage.regions import Region

AGE_MONTHS, SEX, SEED = 108, "female", 66
SIDE = 400
WIDTH, HEIGHT, LABEL = 170, 208, 34
COLUMNS = 8


def tile(radiograph: Radiograph, family: str, level: str) -> Image.Image:
    """One radiograph as a thumbnail with two lines of label, WIDTH x (HEIGHT + LABEL) pixels."""
    image = Image.fromarray(np.rint(radiograph.pixels * 255).astype(np.uint8))
    image.thumbnail((WIDTH - 8, HEIGHT - 4), Image.Resampling.LANCZOS)
    frame = Image.new("L", (WIDTH, HEIGHT + LABEL), 255)
    frame.paste(image, ((WIDTH - image.width) // 2, LABEL + (HEIGHT - image.height) // 2))
    draw = ImageDraw.Draw(frame)
    draw.text((5, 2), family, fill=0, font=ImageFont.load_default(13))
    # Pillow's own font has no minus sign and no multiplication sign.
    plain = level.replace("\N{MINUS SIGN}", "-").replace("\N{MULTIPLICATION SIGN}", "x")
    draw.text((5, 17), plain, fill=90, font=ImageFont.load_default(12))
    return frame


def main(target: Path) -> None:
    made = phantom(AGE_MONTHS, SEX, SEED, SIDE, laterality="left")
    plain = Radiograph.from_values(made.pixels, phantom=True)
    hand = made.truth.hands[0].regions[Region.HAND]
    tiles = [tile(plain, "Phantom", "as it is")]
    for transform in TRANSFORMS:
        image = stressed(plain, transform, hand, "1")
        tiles.append(tile(image, FAMILY_NAMES[transform.family], transform.label))
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * WIDTH, rows * (HEIGHT + LABEL)), 255)
    for index, one in enumerate(tiles):
        sheet.paste(one, (index % COLUMNS * WIDTH, index // COLUMNS * (HEIGHT + LABEL)))
    with replacing(target) as waiting:
        sheet.save(waiting, "JPEG", quality=72, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/stress.jpg"))
