"""The peers' designs and the network that learns everything at once, against the two phases with as many epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from boneage.evaluation.localization import evaluate_localization
from boneage.pipeline.localization import Localization
from boneage.regions import Region
from boneage.research.adapters import AgeAdapter, boxes_of
from boneage.research.age_experiments import Report, Row, compare, masks_note
from boneage.research.baselines import BASELINES, Baseline, FromTruth, MaskedSource, WithHandMaps
from boneage.research.cells import AgeCell, Cell, NotAtHand
from boneage.research.networks.end_to_end import EndToEndSettings
from boneage.research.region_cells import as_prediction, base_overlaps
from boneage.research.results import AP50, DIFFERENCE, MAE, MIOU, Line, Result
from boneage.research.runner import ExperimentRunner
from boneage.training.data.views_data import RegionsOf
from boneage.training.localization.regions_table import read_maps, write_maps
from boneage.training.recipes.settings import Backbone
from boneage.training.run.stage import key_of

_OWN_BACKBONES: Final[Mapping[str, str]] = {
    "winner-2017": "inception_v3",
    "deeplasia-box": "tf_efficientnet_b0",
    "deeplasia-attention": "tf_efficientnet_b0",
    "deeplasia-true-mask": "tf_efficientnet_b0",
    "classifier-240": "resnet50",
    "spampinato-2017": "resnet50",
    "iglovikov-2018": "resnet50",
    "escobar-2019": "inception_v3",
}
"""At full size; timm's names of what is nearest to the networks of their authors."""


@dataclass(frozen=True)
class BaselineCell:
    """Another method's design on the bench's data and budget."""

    baseline: Baseline
    cases: int | None = None

    @property
    def title(self) -> str:
        return self.baseline.name

    def adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        age, scale = runner.scale.age, runner.scale
        backbone = age.backbone if scale.small_backbone else Backbone(_OWN_BACKBONES[self.baseline.name])
        return AgeAdapter.of_baseline(
            self.baseline, backbone, age.size, runner.start_for(backbone), age.augmentation, age.schedule
        )

    def found(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        if self.baseline.needs:
            assert runner.truth is not None
            return FromTruth(runner.truth, runner.training_set.images), "truth"
        if any(isinstance(source, MaskedSource) and source.kind == "attention" for source in self.baseline.sources):
            return _with_hand_maps(runner)
        return runner.found(self.baseline.regions)


@dataclass(frozen=True)
class EndToEndCell:
    """The one network that finds the regions and answers."""

    settings: EndToEndSettings
    title: str = "end to end"
    cases: int | None = None

    def adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        return AgeAdapter.of_end_to_end(
            self.settings, runner.start_for(self.settings.backbone), runner.scale.age.augmentation
        )

    def found(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        return runner.found(frozenset())


def baselines(runner: ExperimentRunner, report: Report) -> Result:
    """The peers' designs on the same data, budget and backbone, against this project's two phases."""
    age = runner.scale.age
    own = f"{'+'.join(age.views)}, distribution"
    rows = [Row((f"this project: {own}", "ages"), AgeCell(own, age))]
    for baseline in BASELINES.values():
        learns = ", ".join(("ages", *sorted(truth.replace("_", " ") for truth in baseline.needs)))
        cell: Cell | NotAtHand = BaselineCell(baseline)
        if baseline.needs and runner.truth is None:
            cell = NotAtHand("needs masks or key points, which only phantoms have")
        learns += "; is told the case's own mask" if baseline.answers_from_truth else ""
        rows.append(Row((baseline.name, learns), cell, None, 0))
    if not runner.scale.small_backbone:
        rows = [row if _starts_as(runner, row.cell) else _not_started(runner, row) for row in rows]
    notes = masks_note(runner) + tuple(
        f"{baseline.name}: {baseline.citation}. {baseline.differs}" for baseline in BASELINES.values()
    )
    setting = runner.setting(age.size, age.schedule.epochs)
    title = "Baselines' designs under equal means"
    return compare(
        runner, Result("baselines", title, setting, ("design", "learns from"), (), notes=notes), rows, report
    )


def _starts_as(runner: ExperimentRunner, cell: Cell | NotAtHand) -> bool:
    """Whether a peer with a backbone of its own starts from ImageNet where the others do."""
    if not isinstance(cell, BaselineCell) or runner.weights is None:
        return True
    return not isinstance(runner.start_of(_OWN_BACKBONES[cell.baseline.name]), NotAtHand)


def _not_started(runner: ExperimentRunner, row: Row) -> Row:
    assert isinstance(row.cell, BaselineCell)
    missing = runner.start_of(_OWN_BACKBONES[row.cell.baseline.name])
    assert isinstance(missing, NotAtHand)
    return replace(row, cell=missing)


def end_to_end(runner: ExperimentRunner, report: Report) -> Result:
    """One network that learns localization and age together, against the two phases with as many epochs."""
    age = runner.scale.age
    two = AgeCell("two phases, shared backbone", replace(age, fusion="shared", merge="concat", head="gap", dropout=0.2))
    one = EndToEndCell(end_to_end_settings(runner))
    reads = f"{'+'.join(age.views)}, shared backbone"
    rows = [Row(("two phases", reads), two), Row(("end to end", "learnt crops"), one, None, 0)]
    setting = runner.setting(age.size, age.schedule.epochs)
    result = Result(
        "end-to-end", "One network, end to end, against two phases, as many epochs", setting, ("design", "reads"), ()
    )
    result = replace(result, measures=(MAE, DIFFERENCE, MIOU, AP50))
    result = compare(runner, result, rows, report)
    lines = list(result.lines)
    if runner.boxed:
        lines += [
            Line(("two phases", f"box against {truth}"), {MIOU: overlap.miou, AP50: overlap.ap50})
            for truth, overlap in base_overlaps(runner).items()
        ]
        lines += _learnt_boxes(runner, one)
    notes = (
        "The two phases' training seconds are phase II's alone; phase I comes on top of them, once for all "
        "cells. The end-to-end network looks at the film at twice the side and at its three crops.",
        "The end-to-end network sees no box; which of its two inner crops is region 1 follows from which lies lower.",
    )
    result = replace(result, lines=tuple(lines), notes=(*notes, *result.notes))
    report(result)
    return result


def end_to_end_settings(runner: ExperimentRunner) -> EndToEndSettings:
    """The end-to-end network of a bench's size and budget."""
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


def _learnt_boxes(runner: ExperimentRunner, cell: EndToEndCell) -> list[Line]:
    run, network = runner.network(cell)
    boxes = boxes_of(run, cell.adapter(runner), network, runner.boxed)
    rows = [
        as_prediction(runner, case_id, Localization(found)) for case_id, found in zip(runner.boxed, boxes, strict=True)
    ]
    truths = {name: given for name, given in runner.boxes.items() if given}
    return [
        Line(("end to end", f"box against {truth}"), {MIOU: groups["all"].found.miou, AP50: groups["all"].found.ap50})
        for truth, groups in evaluate_localization(rows, truths, seed=runner.seed).items()
    ]


def _with_hand_maps(runner: ExperimentRunner) -> tuple[RegionsOf, str]:
    """Regions that come with phase I's attention map of the hand."""
    run, chain, table = runner.phase_1
    step = next(step for step in chain.steps if step.region is Region.HAND)
    ids = [*run.training_set.ids, *(case.id for case in runner.report)]
    stage = run.stage("maps-of-the-hand", chain.key, key_of(ids))
    file = stage.folder / "maps.npz"
    if not stage.complete:
        stage.begin()
        steps = chain.steps[: chain.steps.index(step) + 1]
        write_maps(file, run.finder.maps(steps, ids, {}))
        stage.finish()
    maps = read_maps(file)
    return WithHandMaps(table, maps, runner.training_set.images, squash=run.squash), f"{chain.key} with maps"
