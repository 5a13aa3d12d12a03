"""Tables of localizer cells: mIoU and AP50 over tau, the threshold at which an attention map is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from boneage.evaluation.localization import REGION_OF_TRUTH
from boneage.regions import Region
from boneage.research.compare import Report
from boneage.research.localizer_cells import LocalizerCell, Overlap, score_overlaps, score_phase_1
from boneage.research.results import AP50, GAIN, MIOU, OUTSIDE, Line, Result
from boneage.research.runner import ExperimentRunner

PAPER_TAU: Final[Mapping[str, float]] = {
    "10": 0.0, "20": 0.047, "30": 0.127, "40": 0.144, "50": 0.160, "60": 0.177, "70": 0.194, "80": 0.211,
}  # fmt: skip
"""The paper's thresholds, positions on a JET colour scale, as fractions of the map's maximum."""
FRACTIONS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_NOTE: Final = (
    "All images with a reader's box, those of *train* included (no box was learned from); mIoU outside *train* stands "
    "beside it. The mean-box baseline is the mean of all other boxed cases. Tau is shown throughout and chosen nowhere "
    "here."
)


@dataclass(frozen=True)
class Variant:
    """One way to train a localizer or to read its map.

    Attributes:
        label: its name in the table.
        cell: what is trained.
        paper: the paper's threshold -> its mIoU and AP50; empty where the paper has none.
    """

    label: str
    cell: LocalizerCell
    paper: Mapping[str, tuple[float, float]] | None = None


def name_region(region: Region) -> str:
    """The paper's name of a region: H, R1 or R2."""
    return {Region.HAND: "H", Region.REGION_1: "R1", Region.REGION_2: "R2"}[region]


def score_over_tau(
    runner: ExperimentRunner,
    report: Report,
    *,
    name: str,
    title: str,
    column: str,
    variants: Sequence[Variant],
    with_phase_1: bool = False,
    notes: tuple[str, ...] = (),
) -> None:
    """Train the variants and score their boxes at the paper's thresholds and at `FRACTIONS`.

    Args:
        report: is called after each variant.
        name, title: of the result.
        column: what distinguishes the variants.
        with_phase_1: add lines for the runner's own phase I.
        notes: what a reader must know of the variants.
    """
    sizes = " and ".join(map(str, sorted({variant.cell.settings.size for variant in variants})))
    epochs = max(variant.cell.settings.schedule.epochs for variant in variants)
    measured = f"{len(runner.boxed):,} images with boxes"
    regions = with_phase_1 or any(variant.cell.needs for variant in variants)
    result = Result(
        name=name,
        title=title,
        setting=runner.describe(sizes, epochs, measured=measured, regions=regions),
        columns=("region", "truth", column, "tau, fraction of the maximum"),
        lines=(),
        measures=(MIOU, AP50, GAIN, OUTSIDE),
        notes=(_NOTE, *notes),
        curve="linear",
    )
    boxed = {
        REGION_OF_TRUTH[truth] for truth, boxes in runner.boxes.items() if any(case in boxes for case in runner.boxed)
    }
    variants = [variant for variant in variants if variant.cell.region in boxed]
    if not variants:
        report(replace(result, notes=("No image of this data set has a reader's box for it (--boxes).",)))
        return
    lines: list[Line] = []
    thresholds = {**{fraction: paper for paper, fraction in PAPER_TAU.items()}, **dict.fromkeys(FRACTIONS, "")}
    for variant in variants:
        runner.say(f"{name}: {variant.cell.title}")
        for truth, by_tau in score_overlaps(runner, variant.cell, sorted(thresholds)).items():
            for tau, overlap in by_tau.items():
                labels = (variant.cell.region.value, truth, variant.label, f"{tau:g}")
                paper = (variant.paper or {}).get(thresholds[tau])
                lines.append(_make_line(labels, overlap, paper=paper, threshold=thresholds[tau]))
        result = replace(result, lines=tuple(lines))
        report(result)
    if with_phase_1:
        for truth, overlap in score_phase_1(runner).items():
            labels = (REGION_OF_TRUTH[truth].value, truth, "this project's phase I", "")
            lines.append(_make_line(labels, overlap))
        report(replace(result, lines=tuple(lines)))


def _make_line(
    labels: tuple[str, ...], overlap: Overlap, paper: tuple[float, float] | None = None, threshold: str = ""
) -> Line:
    figures = {MIOU: overlap.miou, AP50: overlap.ap50, GAIN: overlap.gain, OUTSIDE: overlap.outside}
    stated = {} if paper is None else {MIOU: paper[0], AP50: paper[1]}
    return Line(labels, figures, stated, facts={"the paper's tau": threshold})
