"""Age cells: one age network of a table and its training."""

from __future__ import annotations

from dataclasses import dataclass

from boneage.research.adapters import AgeAdapter
from boneage.research.runner import ExperimentRunner
from boneage.training.data.views_data import RegionsOf
from boneage.training.recipes.settings import RegressorSettings, needed_regions


@dataclass(frozen=True)
class AgeCell:
    """This project's age network.

    Attributes:
        title: its name in progress lines.
        settings: the network and its training.
        l1: one number, learned with L1, in place of the distribution.
        start: starting weights: "none", a file, or None for the scale's own.
        cases: number of training cases; None for the scale's.
    """

    title: str
    settings: RegressorSettings
    l1: bool = False
    start: str | None = None
    cases: int | None = None

    def make_adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        start = self.start or runner.choose_start(self.settings.backbone)
        return AgeAdapter.of_l1(self.settings, start) if self.l1 else AgeAdapter.of_distribution(self.settings, start)

    def find_regions(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        return runner.find_regions(frozenset().union(*(needed_regions(view) for view in self.settings.views)))
