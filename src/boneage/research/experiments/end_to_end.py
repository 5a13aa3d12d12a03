"""End to end: one network that learns regions and age together, against two phases with as many epochs.

Command:  boneage reproduce end-to-end --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    4.9 months worse than two phases; its crops hold the hand, not regions 1 and 2 (docs/results)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from boneage.evaluation.localization import evaluate_localization
from boneage.pipeline.localization import Localization
from boneage.research.adapters import AgeAdapter, predict_boxes
from boneage.research.age_cells import AgeCell
from boneage.research.compare import Report, Row, compare
from boneage.research.localizer_cells import score_phase_1, to_prediction
from boneage.research.networks.end_to_end import EndToEndSettings
from boneage.research.results import AP50, DIFFERENCE, MAE, MIOU, Line, Result
from boneage.research.runner import ExperimentRunner
from boneage.training.data.views_data import RegionsOf

_NOTES: Final = (
    "The training seconds of the two phases are those of phase II; phase I is trained once for all cells. The "
    "end-to-end network reads the image at twice the side, and three crops of it.",
    "The end-to-end network sees no box. Of its two inner crops the lower one is region 1.",
)


@dataclass(frozen=True)
class EndToEndCell:
    """The network that learns regions and age together."""

    settings: EndToEndSettings
    title: str = "end to end"
    cases: int | None = None

    def make_adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        start = runner.choose_start(self.settings.backbone)
        return AgeAdapter.of_end_to_end(self.settings, start, runner.scale.age.augmentation)

    def find_regions(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        return runner.find_regions(frozenset())


def run(runner: ExperimentRunner, report: Report) -> None:
    age = runner.scale.age
    two_phases = AgeCell(
        "two phases, shared backbone", replace(age, fusion="shared", merge="concat", head="gap", dropout=0.2)
    )
    end_to_end = EndToEndCell(_choose_settings(runner))
    rows = [
        Row(("two phases", f"{'+'.join(age.views)}, shared backbone"), two_phases),
        Row(("end to end", "learned crops"), end_to_end, against=0),
    ]
    title = "One network, end to end, against two phases, as many epochs"
    setting = runner.describe(age.size, age.schedule.epochs)
    measures = (MAE, DIFFERENCE, MIOU, AP50)
    result = Result(
        name="end-to-end", title=title, setting=setting, columns=("design", "reads"), lines=(), measures=measures
    )
    result = compare(runner, result, rows=rows, report=report)
    lines = list(result.lines)
    if runner.boxed:
        lines += [
            Line(("two phases", f"box against {truth}"), {MIOU: overlap.miou, AP50: overlap.ap50})
            for truth, overlap in score_phase_1(runner).items()
        ]
        lines += _score_boxes(runner, end_to_end)
    report(replace(result, lines=tuple(lines), notes=(*_NOTES, *result.notes)))


def _choose_settings(runner: ExperimentRunner) -> EndToEndSettings:
    """An end-to-end network of the scale's size and budget."""
    age = runner.scale.age
    return EndToEndSettings(
        backbone=age.backbone,
        view_size=16 * round(2 * age.size / 16),
        size=age.size,
        sex=age.sex,
        kl_weight=age.kl_weight,
        label_sd=age.label_sd,
        average_mirror=False,
        schedule=age.schedule,
    )


def _score_boxes(runner: ExperimentRunner, cell: EndToEndCell) -> list[Line]:
    run, network = runner.load_network(cell)
    boxes = predict_boxes(run, cell.make_adapter(runner), network=network, ids=runner.boxed)
    rows = [
        to_prediction(runner, case_id, Localization(found)) for case_id, found in zip(runner.boxed, boxes, strict=True)
    ]
    truths = {name: given for name, given in runner.boxes.items() if given}
    return [
        Line(("end to end", f"box against {truth}"), {MIOU: groups["all"].found.miou, AP50: groups["all"].found.ap50})
        for truth, groups in evaluate_localization(rows, truths, seed=runner.seed).items()
    ]
