"""Table I and the questions beyond the paper that boxes answer: each cell a localizer, learned from ages alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from boneage.evaluation.localization import REGION_OF_TRUTH
from boneage.regions import Region
from boneage.research.age_experiments import Report
from boneage.research.region_cells import FRACTIONS, PAPER_TAU, Overlap, RegionCell, base_overlaps, overlaps
from boneage.research.results import AP50, GAIN, MIOU, OUTSIDE, Line, Result
from boneage.research.runner import ExperimentRunner
from boneage.training.recipes.settings import LocalizerInput, LocalizerSettings

_PAPER: Final[Mapping[Region, Mapping[str, tuple[float, float]]]] = {
    Region.HAND: {
        "10": (0.576, 0.780), "20": (0.757, 0.995), "30": (0.710, 0.980), "40": (0.695, 0.970),
        "50": (0.666, 0.920), "60": (0.633, 0.840), "80": (0.565, 0.685),
    },
    Region.REGION_1: {
        "10": (0.170, 0.0), "20": (0.223, 0.125), "30": (0.545, 0.635), "40": (0.679, 0.880),
        "50": (0.722, 0.965), "60": (0.700, 0.945), "80": (0.645, 0.870),
    },
    Region.REGION_2: {
        "10": (0.112, 0.0), "20": (0.274, 0.245), "30": (0.521, 0.605), "40": (0.541, 0.695),
        "50": (0.560, 0.735), "60": (0.565, 0.735), "80": (0.553, 0.730),
    },
}  # fmt: skip
"""Table I: region -> threshold -> mIoU, AP50 on its 200 test images."""
_NAMES: Final = {Region.HAND: "H", Region.REGION_1: "R1", Region.REGION_2: "R2"}
_NOTE: Final = (
    "All films with a reader's box; those of training films are among them (no box was learnt from), and mIoU on the "
    "others stands beside it. The mean box is that of all other boxed cases. Tau is shown throughout and chosen "
    "nowhere here."
)
_PAPERS_TAU: Final = (
    "The paper's tau are thresholds of a JET picture that was read again as gray; as fractions they leave out that it "
    "also drops the hottest places (above .96 at 50, above .87 at 80)."
)
_BEHIND: Final = "What a localizer needs before it looks (the hand's box, region 1 erased) is this project's phase I's."


@dataclass(frozen=True)
class _Kind:
    """One way to learn or to read a localizer."""

    label: str
    cell: RegionCell


def table1(runner: ExperimentRunner, report: Report) -> Result:
    """mIoU and AP50 of H, R1 and R2 over the paper's tau and over the fraction scale; GAP against GMP."""
    scale = runner.scale
    kinds = [
        _Kind(
            pooling.upper(),
            RegionCell(f"{_NAMES[region]}, {pooling.upper()}", region, replace(settings, pooling=pooling)),
        )
        for region, settings in (
            (Region.HAND, scale.hand),
            (Region.REGION_1, scale.region_1),
            (Region.REGION_2, scale.region_2),
        )
        for pooling in ("gap", "gmp")
    ]
    return _over_tau(
        runner, report, "table1", "Table I: localization over tau, GAP against GMP", "pooling", kinds, ours=True
    )


def label_width(runner: ExperimentRunner, report: Report) -> Result:
    """The width l of the soft label of phase I."""
    kinds = [
        _Kind(
            f"{width:g}",
            RegionCell(f"R1, l = {width:g}", Region.REGION_1, replace(runner.scale.region_1, label_width=width)),
        )
        for width in (10.0, 30.0, 50.0, 100.0)
    ]
    return _over_tau(runner, report, "label-width", "The soft label's width l, region 1", "l, months", kinds)


def localizer_loss(runner: ExperimentRunner, report: Report) -> Result:
    """L1 between linear scores and the soft label, against cross entropy."""
    kinds = [
        _Kind(loss, RegionCell(f"{_NAMES[region]}, {loss}", region, replace(settings, loss=loss)))
        for region, settings in ((Region.HAND, runner.scale.hand), (Region.REGION_1, runner.scale.region_1))
        for loss in ("l1", "cross_entropy")
    ]
    return _over_tau(runner, report, "localizer-loss", "Phase I's loss", "loss", kinds)


def whole_or_hand(runner: ExperimentRunner, report: Report) -> Result:
    """Regions 1 and 2 found on the whole film, or on the hand that was found before."""
    looks: tuple[tuple[Region, LocalizerSettings, tuple[LocalizerInput, LocalizerInput]], ...] = (
        (Region.REGION_1, runner.scale.region_1, ("O", "H")),
        (Region.REGION_2, runner.scale.region_2, ("E", "HE")),
    )
    words: Mapping[LocalizerInput, str] = {
        "O": "on the film",
        "E": "on the film",
        "H": "on the hand",
        "HE": "on the hand",
    }
    kinds = [
        _Kind(
            words[look],
            RegionCell(
                f"{_NAMES[region]} {words[look]}", region, replace(settings, input_view=look, loss="cross_entropy")
            ),
        )
        for region, settings, both in looks
        for look in both
    ]
    title = "Regions 1 and 2 on the whole film against on the hand"
    notes = (_BEHIND, "All of them learn by cross entropy.")
    return _over_tau(runner, report, "whole-or-hand", title, "found", kinds, notes=notes)


def class_average(runner: ExperimentRunner, report: Report) -> Result:
    """The map of the predicted class alone, or averaged over its neighbours."""
    kinds = [
        _Kind(
            str(reach),
            RegionCell(
                f"R1, classes within {reach}", Region.REGION_1, replace(runner.scale.region_1, class_average=reach)
            ),
        )
        for reach in (0, 6, 24)
    ]
    return _over_tau(
        runner, report, "class-average", "Averaging of class weights, region 1", "months either side", kinds
    )


def _over_tau(
    runner: ExperimentRunner,
    report: Report,
    name: str,
    title: str,
    column: str,
    kinds: Sequence[_Kind],
    *,
    ours: bool = False,
    notes: tuple[str, ...] = (),
) -> Result:
    sizes = " and ".join(map(str, sorted({kind.cell.settings.size for kind in kinds})))
    epochs = max(kind.cell.settings.schedule.epochs for kind in kinds)
    measured = f"{len(runner.boxed):,} films with boxes"
    regions = ours or any(kind.cell.before for kind in kinds)
    result = Result(
        name,
        title,
        runner.setting(sizes, epochs, measured=measured, regions=regions),
        ("region", "truth", column, "tau, fraction of the maximum"),
        (),
        measures=(MIOU, AP50, GAIN, OUTSIDE),
        notes=(_NOTE, *notes),
        curve="linear",
    )
    boxed = {
        REGION_OF_TRUTH[truth] for truth, boxes in runner.boxes.items() if any(case in boxes for case in runner.boxed)
    }
    kinds = [kind for kind in kinds if kind.cell.region in boxed]
    if not kinds:
        return replace(result, notes=("No film of this data set has a reader's box for it (--boxes).",))
    lines: list[Line] = []
    taus = {**{fraction: paper for paper, fraction in PAPER_TAU.items()}, **dict.fromkeys(FRACTIONS, "")}
    for kind in kinds:
        runner.say(f"{name}: {kind.cell.title}")
        for truth, by_tau in overlaps(runner, kind.cell, sorted(taus)).items():
            for tau, overlap in by_tau.items():
                stated = _PAPER[kind.cell.region].get(taus[tau]) if name == "table1" and _is_papers(kind) else None
                labels = (kind.cell.region.value, truth, kind.label, f"{tau:g}")
                lines.append(_line(labels, overlap, stated, taus[tau]))
        result = replace(result, lines=tuple(lines))
        report(result)
    if ours:
        for truth, overlap in base_overlaps(runner).items():
            labels = (REGION_OF_TRUTH[truth].value, truth, "this project's phase I", "")
            lines.append(_line(labels, overlap, None))
        result = replace(result, lines=tuple(lines))
        report(result)
    return result


def _is_papers(kind: _Kind) -> bool:
    return kind.label == ("GAP" if kind.cell.region is Region.HAND else "GMP")


def _line(labels: tuple[str, ...], overlap: Overlap, stated: tuple[float, float] | None, threshold: str = "") -> Line:
    figures = {MIOU: overlap.miou, AP50: overlap.ap50, GAIN: overlap.gain, OUTSIDE: overlap.outside}
    paper = {} if stated is None else {MIOU: stated[0], AP50: stated[1]}
    return Line(labels, figures, paper, facts={"the paper's tau": threshold})
