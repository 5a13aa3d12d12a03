"""Localizer cells: one localizer, learned from ages alone; its boxes are compared with readers' at every tau."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from boneage.evaluation.bootstrap import Figure
from boneage.evaluation.localization import REGION_OF_TRUTH, evaluate_localization
from boneage.evaluation.localization import Localization as Scores
from boneage.evaluation.predictions import Prediction
from boneage.model.folder import Localizer
from boneage.pipeline.localization import Localization
from boneage.regions import Region
from boneage.research.runner import ExperimentRunner
from boneage.training.data.views_data import FromTable, NoRegions, RegionsOf
from boneage.training.localization.chain import make_step
from boneage.training.localization.localizer import fit_localizer
from boneage.training.localization.regions_table import Maps, read_maps, write_maps
from boneage.training.networks.export import export_localizer
from boneage.training.recipes.settings import LocalizerSettings, needed_regions
from boneage.training.run.stage import start_key
from boneage.training.run.training_run import NETWORK_FILE
from boneage.views import whole

MAPS_FILE: Final = "maps.npz"


@dataclass(frozen=True)
class LocalizerCell:
    """A localizer of one region.

    Attributes:
        title: its name in progress lines.
        region: what it finds.
        settings: the network, its training and its map.
    """

    title: str
    region: Region
    settings: LocalizerSettings

    @property
    def needs(self) -> frozenset[Region]:
        """Regions that must be found before its input can be cut."""
        return needed_regions(self.settings.input_view)


@dataclass(frozen=True)
class Overlap:
    """Agreement of boxes with one reader's boxes at one tau.

    Attributes:
        miou, ap50: over all cases with a box.
        gain: mIoU minus that of the mean-box baseline.
        outside: mIoU over the cases outside *train*.
    """

    miou: Figure
    ap50: Figure
    gain: Figure
    outside: Figure

    @classmethod
    def of(cls, groups: Mapping[str, Scores]) -> Overlap:
        score = groups["all"]
        return cls(
            miou=score.found.miou, ap50=score.found.ap50, gain=score.gain, outside=groups["outside_train"].found.miou
        )


def score_overlaps(
    runner: ExperimentRunner, cell: LocalizerCell, taus: Sequence[float]
) -> dict[str, dict[float, Overlap]]:
    """Train a cell and score its boxes: {truth: {tau: overlap}}. A tau of 0 keeps the whole input."""
    truths = {name: boxes for name, boxes in runner.boxes.items() if REGION_OF_TRUTH[name] is cell.region and boxes}
    chain, maps = _train(runner, cell)
    scored: dict[str, dict[float, Overlap]] = {name: {} for name in truths}
    for tau in taus:
        if tau > 0:
            cut = [*chain[:-1], dataclasses.replace(chain[-1], tau=tau)]
            table = runner.finder.regions(cut, runner.boxed, maps)
        elif Region.HAND in cell.needs:
            hands = runner.finder.regions(chain[:-1], runner.boxed, maps)
            table = {case_id: Localization({cell.region: hand.boxes[Region.HAND]}) for case_id, hand in hands.items()}
        else:
            images = runner.training_set.images
            table = {case_id: Localization({cell.region: whole(images.image(case_id))}) for case_id in runner.boxed}
        rows = [to_prediction(runner, case_id, regions) for case_id, regions in table.items()]
        for name, groups in evaluate_localization(rows, truths, seed=runner.seed).items():
            scored[name][tau] = Overlap.of(groups)
    return scored


def score_phase_1(runner: ExperimentRunner) -> dict[str, Overlap]:
    """Score the boxes of the runner's own phase I, with its thresholds: {truth: overlap}."""
    run, chain, _ = runner.phase_1
    table = run.finder.regions(chain.steps, runner.boxed, _find_phase_1_maps(runner))
    rows = [to_prediction(runner, case_id, regions) for case_id, regions in table.items()]
    truths = {name: boxes for name, boxes in runner.boxes.items() if boxes}
    return {name: Overlap.of(groups) for name, groups in evaluate_localization(rows, truths, seed=runner.seed).items()}


def to_prediction(runner: ExperimentRunner, case_id: str, regions: Localization) -> Prediction:
    """The boxes of one image, in its pixels, as `boneage.evaluation` takes them."""
    height, width = runner.training_set.images.image(case_id).shape
    return Prediction(
        file="",
        id=case_id,
        split=runner.split[case_id],
        sex=None,
        age_months=None,
        status="assessed",
        width=width,
        height=height,
        regions={region: box for region, box in regions.boxes.items() if region not in regions.missing},
    )


def _train(runner: ExperimentRunner, cell: LocalizerCell) -> tuple[list[Localizer], dict[Region, Maps]]:
    """The chain that ends with the cell's localizer, and the maps of each of its steps on the boxed cases."""
    settings = cell.settings
    before: list[Localizer] = []
    known: dict[Region, Maps] = {}
    key = ""
    regions_of: RegionsOf = NoRegions()
    if cell.needs:
        key = runner.phase_1[1].key
        # The input of a step may itself depend on the steps before it.
        steps = runner.phase_1[1].steps
        last = max(place for place, step in enumerate(steps) if step.region in cell.needs)
        before = list(steps[: last + 1])
        known = {step.region: _find_phase_1_maps(runner)[step.region] for step in before}
        regions_of = FromTable(runner.phase_1[2])
    # How the finished map is read does not change the training.
    trained = dataclasses.replace(
        settings, tau=None, margin=0.0, smallest=0.1, average_mirror=True, components="largest", class_average=0
    )
    start = runner.choose_start(settings.backbone)
    name = runner.make_key("localizer", trained, start_key(start), key)
    run = runner.training_run(name)
    stage = run.stage("network", name)
    shown = run.stage(f"maps-{settings.class_average}", name, settings, runner.boxed)
    file = shown.folder / NETWORK_FILE
    # The caller sets tau.
    step = make_step(cell.region, file, settings, tau=0.5)
    if not (stage.complete and shown.complete):
        stage.begin()
        network = fit_localizer(
            run, stage, settings=trained, found=regions_of, start=start, seed=runner.seed, label=cell.title
        )
        network.class_average = settings.class_average
        shown.begin()
        export_localizer(network, file, settings.size, half=run.recipe.fp16_weights)
        write_maps(shown.folder / MAPS_FILE, run.finder.maps([*before, step], runner.boxed, known))
        shown.finish(title=cell.title)
        stage.finish(title=cell.title, cases=len(run.training_set.train))
    return [*before, step], {**known, cell.region: read_maps(shown.folder / MAPS_FILE)}


def _find_phase_1_maps(runner: ExperimentRunner) -> dict[Region, Maps]:
    """The maps of the runner's own phase I on the boxed cases, found once and kept."""
    run, chain, _ = runner.phase_1
    ids = list(runner.boxed)
    stages = {step.region: run.stage(f"boxed-{step.region.value}", chain.key, ids) for step in chain.steps}
    if not all(stage.complete for stage in stages.values()):
        maps = run.finder.each(
            chain.steps, ids, known={}, kept=lambda found: found.attention, what="maps of the boxed images"
        )
        for region, stage in stages.items():
            stage.begin()
            write_maps(stage.folder / MAPS_FILE, {case_id: maps[case_id][region].map for case_id in ids})
            stage.finish()
    return {region: read_maps(stage.folder / MAPS_FILE) for region, stage in stages.items()}
