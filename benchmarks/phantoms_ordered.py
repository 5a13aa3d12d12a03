"""Does a model that never saw a phantom order phantoms by age? Spearman's rank correlation, with plots.

    python benchmarks/phantoms_ordered.py OUT [--count 300] [--seed 1] [--model NAME|DIR]

Phantoms of 24 to 200 months, half of each sex, once as they are and once with every hand rescaled to one length (from
the base of the middle metacarpal to the fingertip): there the size of the hand no longer gives its age away. OUT gets
`ordered.csv` and `ordered.png`. The figures describe phantoms, not children.
"""

from __future__ import annotations

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.stats import rankdata

import boneage
from boneage.evaluation.bootstrap import Values, figure
from boneage.phantom import Phantom, phantom
from boneage.progress import track
from boneage.radiograph import Radiograph

AGES_MONTHS = (24.0, 200.0)
CANVAS, LENGTH = (820, 640), 400.0
"""Height and width of a rescaled image, and length of every hand in it, pixels."""
FROM, TO = "MC3_base", "DP3_head"
_MODEL: str | None = None


def rescale(made: Phantom) -> npt.NDArray[np.uint8]:
    """The phantom with its hand at one length, in the middle of a canvas of its background."""
    points = made.truth.hands[0].key_points
    length = float(np.hypot(*np.subtract(points[FROM], points[TO])))
    factor = LENGTH / length
    height, width = made.pixels.shape
    small = Image.fromarray(made.pixels).resize((round(width * factor), round(height * factor)))
    background = int(np.median(made.pixels))
    canvas = Image.new("L", (CANVAS[1], CANVAS[0]), background)
    x, y = (factor * value for value in points[FROM])
    canvas.paste(small, (round(CANVAS[1] / 2 - x), round(0.66 * CANVAS[0] - y)))
    return np.asarray(canvas)


def assess_one(index: int, seed: int) -> tuple[float, str, float, float]:
    """Bone age, sex, answer, answer for the rescaled phantom."""
    rng = np.random.default_rng([seed, index])
    age, sex = float(rng.uniform(*AGES_MONTHS)), ("female", "male")[index % 2]
    made = phantom(age, sex, seed * 1_000_003 + index, 512)
    assessor = boneage.load(_MODEL)
    answers = []
    for image in (made.pixels, rescale(made)):
        assessment = assessor.assess(Radiograph(image.astype(np.float32) / 255, phantom=True), sex)
        assert assessment.bone_age_months is not None
        answers.append(assessment.bone_age_months)
    return age, sex, answers[0], answers[1]


def _start(model: str | None) -> None:
    global _MODEL
    _MODEL = model


def rank_correlation(truth: Values, answer: Values, axis: int = -1) -> Values:
    """Spearman's rho."""
    ranks = [rankdata(values, axis=axis) for values in (truth, answer)]
    x, y = (values - values.mean(axis=axis, keepdims=True) for values in ranks)
    return np.asarray((x * y).sum(axis=axis) / np.sqrt((x**2).sum(axis=axis) * (y**2).sum(axis=axis)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(initializer=_start, initargs=(options.model,)) as pool:
        made = pool.map(assess_one, range(options.count), [options.seed] * options.count)
        rows = list(track(made, "Assessing phantoms", options.count))
    with (options.out / "ordered.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("bone_age_months", "sex", "answer", "answer_one_length"), *rows])

    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 8), layout="constrained")
    panels = drawing.subplots(2, 2, sharex=True, sharey=True)
    for line, sex in zip(panels, ("female", "male"), strict=True):
        truth = np.array([row[0] for row in rows if row[1] == sex])
        for axes, column, what in zip(line, (2, 3), ("as it is", "every hand of one length"), strict=True):
            answer = np.array([float(row[column]) for row in rows if row[1] == sex])
            rho = figure(truth, answer, reduce=rank_correlation)
            mae = float(np.abs(answer - truth).mean())
            written = f"{rho.value:.3f} ({rho.lower:.3f} to {rho.upper:.3f})"
            print(f"{sex}, {what}: Spearman {written}, MAE {mae:.1f}, n = {len(truth)}")
            axes.plot(truth, answer, "o", markersize=3, alpha=0.6)
            axes.plot(AGES_MONTHS, AGES_MONTHS, color="gray", linewidth=0.8)
            axes.set_title(f"{sex}, {what}: Spearman {rho.value:.2f}", fontsize=10)
            axes.set_xlabel("phantom's bone age, months")
            axes.set_ylabel("answer, months")
    drawing.suptitle("A model for radiographs on phantoms. Research use only.", fontsize=10)
    drawing.savefig(options.out / "ordered.png", dpi=110)


if __name__ == "__main__":
    main()
