"""A phantom as the shipped model assesses it: `docs/images/assessed-phantom.jpg`.

    python examples/assessed_phantom.py docs/images/assessed-phantom.jpg

Only a phantom is shown. The model has learned from radiographs and never saw one: the picture shows what an answer
consists of, and its bone age says nothing about children.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

import boneage
from boneage.atomic import replacing
from boneage.phantom import phantom
from boneage.radiograph import Radiograph
from boneage.reports.figure import figure_png

AGE_MONTHS, SEX, SEED = 144, "female", 3
WIDTH = 1400


def main(target: Path) -> None:
    made = phantom(AGE_MONTHS, SEX, SEED, 900, laterality="left")
    radiograph = Radiograph.from_values(made.pixels, phantom=True, file=f"phantom-{AGE_MONTHS}-months.png")
    assessment = boneage.load().assess(radiograph, SEX)
    print(f"bone age {AGE_MONTHS}, answer {assessment.bone_age_months:.1f} months")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "figure.png"
        whole.write_bytes(figure_png(assessment))
        picture = Image.open(whole).convert("RGB")
        picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    with replacing(target) as waiting:
        picture.save(waiting, "JPEG", quality=86, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/assessed-phantom.jpg"))
