"""Which pictures the gate refuses, and why.

    python benchmarks/refusals.py --data DIR --split test photographs=DIR drawings=DIR screenshots=DIR ...

Every KIND=DIR is a folder of negatives: pictures without a hand. Four more kinds are made from the radiographs of the
split: two hands side by side, hands cut off above the lower part of region 1, over- or underexposed hands, and pieces
below region 1 without a hand. None of it was used to train the gate or to set its thresholds.
Prints a Markdown table: share refused with a 95 % interval (Wilson), and the codes of the refusals.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

import boneage
from boneage.assessor import Assessor
from boneage.datasets import read_dataset
from boneage.errors import RadiographError, UnsuitableRadiograph
from boneage.formats import read_radiograph
from boneage.progress import track
from boneage.radiograph import Radiograph
from boneage.regions import Region


def count_refusals(assessor: Assessor, pictures: Iterable[Radiograph | Path]) -> tuple[int, Counter[str]]:
    """How many pictures could be read, and how many of them were refused, by code."""
    codes: Counter[str] = Counter()
    count = 0
    for picture in pictures:
        try:
            assessor.gate.admit(picture if isinstance(picture, Radiograph) else read_radiograph(picture))
        except UnsuitableRadiograph as refusal:
            codes[refusal.code] += 1
        except RadiographError:
            continue
        count += 1
    return count, codes


def make(pixels: np.ndarray) -> Radiograph:
    return Radiograph.from_values(np.ascontiguousarray(pixels))


def spoil(assessor: Assessor, hands: list[Radiograph]) -> dict[str, list[Radiograph]]:
    """The four kinds that are made from radiographs."""
    rng = np.random.default_rng(0)
    kinds: dict[str, list[Radiograph]] = {"two hands": [], "carpus cut off": [], "exposure": [], "no hand in frame": []}
    for hand, other in zip(hands, hands[1:] + hands[:1], strict=True):
        pixels, height = hand.pixels, hand.height
        second = np.asarray(other.pixels[:, ::-1])
        rows = np.linspace(0, second.shape[0] - 1, height).round().astype(int)
        kinds["two hands"].append(make(np.concatenate([pixels, second[rows]], axis=1)))
        image = hand.image(assessor.model.image_short_side)
        box = assessor.localizer.locate(image).boxes[Region.REGION_1].scaled(1.0, height / image.shape[0])
        end = int(box.y0 + rng.uniform(-0.3, 0.25) * box.height)
        if end >= 64:
            kinds["carpus cut off"].append(make(pixels[:end]))
        exposed = np.clip(pixels * 20, 0, 1) if rng.random() < 0.5 else pixels * 0.1 + rng.normal(0, 0.4, pixels.shape)
        kinds["exposure"].append(make(exposed))
        if height - box.y1 >= 64 and np.ptp(pixels[int(box.y1) :]) > 0:
            kinds["no hand in frame"].append(make(pixels[int(box.y1) :]))
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--split", default="test")
    parser.add_argument("--made-of", type=int, default=200, help="radiographs from which the four kinds are made")
    parser.add_argument("folders", nargs="*", metavar="KIND=DIR")
    asked = parser.parse_args()
    assessor = boneage.load(asked.model)
    if assessor.gate is None:
        parser.error("this model has no gate.")
    cases = read_dataset(asked.data).of(asked.split).cases
    hands = [read_radiograph(case.image) for case in cases]
    table: dict[str, Sequence[Radiograph | Path]] = {f"hands ({asked.split})": hands}
    table |= spoil(assessor, hands[: asked.made_of])
    for entry in asked.folders:
        kind, _, folder = entry.partition("=")
        if not folder:
            parser.error(f"{entry}: write KIND=DIR.")
        table[kind] = sorted(path for path in Path(folder).iterdir() if path.is_file())
    print("| pictures | n | refused (95 %) | codes |\n|---|---|---|---|")
    for kind, pictures in table.items():
        n, codes = count_refusals(assessor, track(pictures, kind, len(pictures)))
        if n == 0:
            continue
        share = binomtest(codes.total(), n)
        low, high = share.proportion_ci(method="wilson")
        found = "; ".join(f"{count} `{code}`" for code, count in codes.most_common())
        print(f"| {kind} | {n} | {share.statistic:.1%} ({low:.1%} to {high:.1%}) | {found} |", flush=True)


if __name__ == "__main__":
    main()
