"""Which pictures the gate refuses, and why.

    python benchmarks/refusals.py --data DIR --split test photographs=DIR drawings=DIR screenshots=DIR ...

Every KIND=DIR is a folder of pictures that are no hand. From the radiographs of the split four more kinds are made:
two hands side by side, films that end above the lower part of region 1, burnt-out or drowned films, and films cut to
the forearm or to a piece without a hand. None of it was used to train the gate or to set its thresholds.
Prints a Markdown table: share refused with a 95 % interval (Wilson), and the reasons.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import boneage
from boneage.assessor import Assessor
from boneage.datasets import read_dataset
from boneage.errors import RadiographError, UnsuitableRadiograph
from boneage.formats import read_radiograph
from boneage.radiograph import Radiograph
from boneage.regions import Region


def interval(refused: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, refused / n
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def refusals(assessor: Assessor, pictures: Iterable[Radiograph | Path]) -> tuple[int, Counter[str]]:
    """How many pictures there were, and for which reasons how many were refused."""
    reasons: Counter[str] = Counter()
    count = 0
    for picture in pictures:
        try:
            assessor.gate.admit(picture if isinstance(picture, Radiograph) else read_radiograph(picture))
        except UnsuitableRadiograph as refusal:
            reasons[refusal.reason.split(" (")[0]] += 1
        except RadiographError:
            continue
        count += 1
    return count, reasons


def made(pixels: np.ndarray) -> Radiograph:
    return Radiograph.from_values(np.ascontiguousarray(pixels))


def from_films(assessor: Assessor, images: list[Radiograph]) -> dict[str, list[Radiograph]]:
    """The four kinds that are made of radiographs."""
    rng = np.random.default_rng(0)
    kinds: dict[str, list[Radiograph]] = {"two hands": [], "carpus cut off": [], "exposure": [], "no hand in frame": []}
    for image, other in zip(images, images[1:] + images[:1], strict=True):
        pixels, height = image.pixels, image.height
        second = np.asarray(other.pixels[:, ::-1])
        rows = np.linspace(0, second.shape[0] - 1, height).round().astype(int)
        kinds["two hands"].append(made(np.concatenate([pixels, second[rows]], axis=1)))
        seen = image.image(assessor.model.image_short_side)
        box = assessor.localizer.locate(seen).boxes[Region.REGION_1].scaled(1.0, height / seen.shape[0])
        end = int(box.y0 + rng.uniform(-0.3, 0.25) * box.height)
        if end >= 64:
            kinds["carpus cut off"].append(made(pixels[:end]))
        burnt = np.clip(pixels * 20, 0, 1) if rng.random() < 0.5 else pixels * 0.1 + rng.normal(0, 0.4, pixels.shape)
        kinds["exposure"].append(made(burnt))
        if height - box.y1 >= 64 and np.ptp(pixels[int(box.y1) :]) > 0:
            kinds["no hand in frame"].append(made(pixels[int(box.y1) :]))
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--split", default="test")
    parser.add_argument("--made-of", type=int, default=200, help="films of which the four made kinds are made")
    parser.add_argument("folders", nargs="*", metavar="KIND=DIR")
    asked = parser.parse_args()
    assessor = boneage.load(asked.model)
    if assessor.gate is None:
        parser.error("this model has no gate.")
    cases = read_dataset(asked.data).of(asked.split).cases
    images = [read_radiograph(case.image) for case in cases]
    table: dict[str, Iterable[Radiograph | Path]] = {f"hands ({asked.split})": images}
    table |= from_films(assessor, images[: asked.made_of])
    for entry in asked.folders:
        kind, _, folder = entry.partition("=")
        if not folder:
            parser.error(f"{entry}: write KIND=DIR.")
        table[kind] = sorted(path for path in Path(folder).iterdir() if path.is_file())
    print("| pictures | n | refused (95 %) | reasons |\n|---|---|---|---|")
    for kind, pictures in table.items():
        n, reasons = refusals(assessor, pictures)
        low, high = interval(reasons.total(), n) if n else (0.0, 1.0)
        words = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        print(f"| {kind} | {n} | {reasons.total() / max(n, 1):.1%} ({low:.1%} to {high:.1%}) | {words} |", flush=True)


if __name__ == "__main__":
    main()
