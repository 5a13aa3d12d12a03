"""Baselines: other methods' designs with the same data, budget and backbone, against this project's two phases.

Command:  boneage reproduce baselines --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    designs that see the whole image are behind, the one that sees the hand's box is level (docs/results)

Designs that learn from masks or key points run on phantoms only. Without a small backbone in the scale, each design
gets the network that is nearest to its authors'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from boneage.regions import Region
from boneage.research.adapters import AgeAdapter
from boneage.research.age_cells import AgeCell
from boneage.research.baselines import BASELINES, Baseline, FromTruth, MaskedSource, WithHandMaps
from boneage.research.cell_predictions import Unavailable
from boneage.research.compare import Report, Row, compare, note_on_maps
from boneage.research.results import Result
from boneage.research.runner import Cell, ExperimentRunner
from boneage.training.data.views_data import RegionsOf
from boneage.training.localization.regions_table import read_maps, write_maps
from boneage.training.recipes.settings import Backbone
from boneage.training.run.stage import key_of

OWN_BACKBONES: Final[Mapping[str, str]] = {
    "winner-2017": "inception_v3",
    "deeplasia-box": "tf_efficientnet_b0",
    "deeplasia-attention": "tf_efficientnet_b0",
    "deeplasia-true-mask": "tf_efficientnet_b0",
    "classifier-240": "resnet50",
    "spampinato-2017": "resnet50",
    "iglovikov-2018": "resnet50",
    "escobar-2019": "inception_v3",
}
"""Baseline -> timm's network that is nearest to its authors'; for a scale without a small backbone."""


@dataclass(frozen=True)
class BaselineCell:
    """A baseline on the runner's data and budget."""

    baseline: Baseline
    cases: int | None = None

    @property
    def title(self) -> str:
        return self.baseline.name

    def make_adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        age, scale = runner.scale.age, runner.scale
        backbone = age.backbone if scale.small_backbone else Backbone(OWN_BACKBONES[self.baseline.name])
        return AgeAdapter.of_baseline(
            self.baseline,
            backbone,
            age.size,
            start=runner.choose_start(backbone),
            augmentation=age.augmentation,
            schedule=age.schedule,
        )

    def find_regions(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        if self.baseline.needs:
            assert runner.truth is not None
            return FromTruth(runner.truth, runner.training_set.images), "truth"
        if any(isinstance(source, MaskedSource) and source.kind == "attention" for source in self.baseline.sources):
            return _find_regions_with_hand_maps(runner)
        return runner.find_regions(self.baseline.regions)


def run(runner: ExperimentRunner, report: Report) -> None:
    age = runner.scale.age
    own = f"{'+'.join(age.views)}, distribution"
    rows = [Row((f"this project: {own}", "ages"), AgeCell(own, age))]
    rows += [
        Row((baseline.name, _describe_labels(baseline)), _make_cell(runner, baseline), against=0)
        for baseline in BASELINES.values()
    ]
    notes = note_on_maps(runner) + tuple(
        f"{baseline.name}: {baseline.citation}. {baseline.differs}" for baseline in BASELINES.values()
    )
    setting = runner.describe(age.size, age.schedule.epochs)
    title = "Baselines' designs under equal means"
    result = Result(
        name="baselines", title=title, setting=setting, columns=("design", "learns from"), lines=(), notes=notes
    )
    compare(runner, result, rows=rows, report=report)


def _describe_labels(baseline: Baseline) -> str:
    labels = ", ".join(("ages", *sorted(truth.replace("_", " ") for truth in baseline.needs)))
    return f"{labels}; gets the case's own mask" if baseline.answers_from_truth else labels


def _make_cell(runner: ExperimentRunner, baseline: Baseline) -> Cell | Unavailable:
    if baseline.needs and runner.truth is None:
        return Unavailable("needs masks or key points, which only phantoms have")
    if not runner.scale.small_backbone and runner.weights is not None:
        # Where the other designs start from ImageNet weights, one from random weights would compare the starts.
        weights = runner.find_imagenet_weights(OWN_BACKBONES[baseline.name])
        if isinstance(weights, Unavailable):
            return weights
    return BaselineCell(baseline)


def _find_regions_with_hand_maps(runner: ExperimentRunner) -> tuple[RegionsOf, str]:
    """Regions that come with phase I's attention map of the hand."""
    run, chain, table = runner.phase_1
    step = next(step for step in chain.steps if step.region is Region.HAND)
    ids = [*run.training_set.ids, *(case.id for case in runner.test)]
    stage = run.stage("maps-of-the-hand", chain.key, key_of(ids))
    file = stage.folder / "maps.npz"
    if not stage.complete:
        stage.begin()
        steps = chain.steps[: chain.steps.index(step) + 1]
        write_maps(file, run.finder.maps(steps, ids, {}))
        stage.finish()
    maps = read_maps(file)
    return WithHandMaps(table, maps, runner.training_set.images, squash=run.squash), f"{chain.key} with maps"
