"""Localizers as cells: trained from ages alone, their boxes scored against readers' at every tau."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from boneage.evaluation.bootstrap import Figure
from boneage.evaluation.localization import REGION_OF_TRUTH, Localization, evaluate_localization
from boneage.evaluation.predictions import Prediction
from boneage.model.folder import Localizer as Step
from boneage.pipeline.localization import Localization as Where
from boneage.regions import Region
from boneage.research.runner import ExperimentRunner
from boneage.training.data.views_data import FromTable, NoRegions, RegionsOf
from boneage.training.localization.phase_1 import fitted_localizer, localizer_step
from boneage.training.localization.regions_table import Maps, read_maps, write_maps
from boneage.training.networks.export import export_localizer
from boneage.training.recipes.settings import LocalizerSettings, needed_regions
from boneage.training.run.stage import start_key
from boneage.training.run.training_run import NETWORK_FILE
from boneage.views import whole

MAPS_FILE: Final = "maps.npz"
PAPER_TAU: Final[Mapping[str, float]] = {
    "10": 0.0, "20": 0.047, "30": 0.127, "40": 0.144, "50": 0.160, "60": 0.177, "70": 0.194, "80": 0.211,
}  # fmt: skip
"""The paper's thresholds of a re-read JET picture, as fractions of the map's maximum."""
FRACTIONS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class RegionCell:
    """A localizer of one region.

    Attributes:
        title: what the progress lines call it.
        region: what it is to find.
        settings: the network, its training and its map.
    """

    title: str
    region: Region
    settings: LocalizerSettings

    @property
    def before(self) -> frozenset[Region]:
        """Regions that must be known before it can look."""
        return needed_regions(self.settings.input_view)


@dataclass(frozen=True)
class Overlap:
    """How well boxes met one truth at one tau; `gain` over the mean box, `outside` training (mIoU)."""

    miou: Figure
    ap50: Figure
    gain: Figure
    outside: Figure

    @classmethod
    def of(cls, groups: Mapping[str, Localization]) -> Overlap:
        score = groups["all"]
        return cls(score.found.miou, score.found.ap50, score.gain, groups["outside_train"].found.miou)


def overlaps(runner: ExperimentRunner, cell: RegionCell, taus: Sequence[float]) -> dict[str, dict[float, Overlap]]:
    """{truth: {tau: overlap}} of a cell's boxes; a tau of 0 keeps all that it looked at."""
    truths = {name: boxes for name, boxes in runner.boxes.items() if REGION_OF_TRUTH[name] is cell.region and boxes}
    steps, maps = _maps(runner, cell)
    found: dict[str, dict[float, Overlap]] = {name: {} for name in truths}
    for tau in taus:
        if tau > 0:
            table = runner.finder.regions([*steps[:-1], dataclasses.replace(steps[-1], tau=tau)], runner.boxed, maps)
        elif Region.HAND in cell.before:
            known = runner.finder.regions(steps[:-1], runner.boxed, maps)
            table = {case_id: Where({cell.region: seen.boxes[Region.HAND]}) for case_id, seen in known.items()}
        else:
            images = runner.training_set.images
            table = {case_id: Where({cell.region: whole(images.image(case_id))}) for case_id in runner.boxed}
        rows = [as_prediction(runner, case_id, found_there) for case_id, found_there in table.items()]
        for name, groups in evaluate_localization(rows, truths, seed=runner.seed).items():
            found[name][tau] = Overlap.of(groups)
    return found


def _maps(runner: ExperimentRunner, cell: RegionCell) -> tuple[list[Step], dict[Region, Maps]]:
    """The chain that ends with the cell's localizer, and the maps of each of its steps on the boxed cases."""
    settings = cell.settings
    before: list[Step] = []
    known: dict[Region, Maps] = {}
    key = ""
    regions_of: RegionsOf = NoRegions()
    if cell.before:
        key = runner.phase_1[1].key
        # A step may itself look at what one before it has found.
        steps = runner.phase_1[1].steps
        last = max(place for place, step in enumerate(steps) if step.region in cell.before)
        before = list(steps[: last + 1])
        known = {step.region: base_maps(runner)[step.region] for step in before}
        regions_of = FromTable(runner.phase_1[2])
    learnt = dataclasses.replace(
        settings, tau=None, margin=0.0, smallest=0.1, average_mirror=True, components="largest", class_average=0
    )
    start = runner.start_for(settings.backbone)
    name = runner.key("localizer", learnt, start_key(start), key)
    run = runner.training_run(name)
    stage = run.stage("network", name)
    shown = run.stage(f"maps-{settings.class_average}", name, settings, runner.boxed)
    file = shown.folder / NETWORK_FILE
    # Its tau is whatever the caller cuts at.
    step = localizer_step(cell.region, file, settings, 0.5)
    if not (stage.complete and shown.complete):
        stage.begin()
        network = fitted_localizer(run, stage, learnt, regions_of, start, runner.seed, cell.title)
        network.class_average = settings.class_average
        shown.begin()
        export_localizer(network, file, settings.size, half=run.recipe.fp16_weights)
        write_maps(shown.folder / MAPS_FILE, run.finder.maps([*before, step], runner.boxed, known))
        shown.finish(title=cell.title)
        stage.finish(title=cell.title, cases=len(run.training_set.train))
    return [*before, step], {**known, cell.region: read_maps(shown.folder / MAPS_FILE)}


def base_maps(runner: ExperimentRunner) -> dict[Region, Maps]:
    """The maps of the bench's own phase I on the boxed cases."""
    run, chain, _ = runner.phase_1
    ids = list(runner.boxed)
    stages = {step.region: run.stage(f"boxed-{step.region.value}", chain.key, ids) for step in chain.steps}
    if not all(stage.complete for stage in stages.values()):
        seen = run.finder.each(chain.steps, ids, {}, lambda found: found.attention, "maps of the boxed films")
        for region, stage in stages.items():
            stage.begin()
            write_maps(stage.folder / MAPS_FILE, {case_id: seen[case_id][region].map for case_id in ids})
            stage.finish()
    return {region: read_maps(stage.folder / MAPS_FILE) for region, stage in stages.items()}


def base_overlaps(runner: ExperimentRunner) -> dict[str, Overlap]:
    """{truth: overlap} of the bench's own phase I, as its tau stands."""
    run, chain, _ = runner.phase_1
    table = run.finder.regions(chain.steps, runner.boxed, base_maps(runner))
    rows = [as_prediction(runner, case_id, found) for case_id, found in table.items()]
    truths = {name: boxes for name, boxes in runner.boxes.items() if boxes}
    return {name: Overlap.of(groups) for name, groups in evaluate_localization(rows, truths, seed=runner.seed).items()}


def as_prediction(runner: ExperimentRunner, case_id: str, found: Where) -> Prediction:
    """The boxes of one film, in its pixels, as the evaluation takes them."""
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
        regions={region: box for region, box in found.boxes.items() if region not in found.missing},
    )
