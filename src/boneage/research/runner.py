"""Where experiments are run: one data set, one scale, one folder; every cell is trained once and kept."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from boneage.datasets import ImageCache, has_phantoms, with_dropped
from boneage.errors import DatasetError, TrainingError, UsageError
from boneage.model.folder import available_cores
from boneage.regions import Region
from boneage.research.adapters import AgeAdapter, distributions_of, months_of, parameters_of, trained
from boneage.research.baselines import HandTruth, LinearCorrection
from boneage.research.cells import ANSWERS, AgeCell, Answers, Cell, NotAtHand, read_answers, write_answers
from boneage.research.scales import Scale
from boneage.training.data.training_set import SparingImages, TrainingSet, labelled
from boneage.training.data.views_data import FromTable, Labelled, NoRegions, RegionsOf
from boneage.training.localization.phase_1 import LocalizerChain
from boneage.training.localization.regions_table import Finder, RegionsTable, read_regions, write_regions
from boneage.training.pipeline import localized
from boneage.training.recipes.settings import Backbone, Recipe
from boneage.training.run.hardware import Machine
from boneage.training.run.stage import key_of
from boneage.training.run.training_run import TrainingRun

if TYPE_CHECKING:
    from boneage.datasets import Dataset

Truths = Mapping[str, Mapping[str, tuple[float, float, float, float]]]


class ExperimentRunner:
    """A data set, a scale and a folder.

    Args:
        dataset: as `boneage.datasets.read_dataset` gives it; cells learn from *train*, phase I searches on
            *validation*, everything is measured on *test*, and nothing is chosen there.
        scale: networks, sizes, epochs.
        out: cells come to `out/cells`, phase I to `out/phase_1`.
        machine: devices, workers, precision.
        cache: folder for the decoded images; `out/images` if left out.
        localizers: name or folder of a model whose regions are taken, in place of training phase I.
        weights: folder of ImageNet weights, `<timm name>.*.safetensors` or `.pth`; or "timm" for timm's own.
        truth: of phantoms, for what learns from masks and key points; see `boneage.phantom.truth_folder.TruthFolder`.
        boxes: truths that localization is measured against, see `boneage.datasets.read_boxes`.
        seed: of all randomness.
    """

    def __init__(
        self,
        dataset: Dataset,
        scale: Scale,
        out: Path,
        machine: Machine,
        *,
        cache: Path | None = None,
        localizers: str | None = None,
        weights: str | None = None,
        boxes: Truths | None = None,
        truth: Callable[[str], HandTruth] | None = None,
        seed: int = 0,
    ) -> None:
        if scale.repeats < 1:
            raise UsageError(f"repeats={scale.repeats}: each cell is trained at least once.")
        self.scale, self.out, self.machine, self.seed = scale, out, machine, seed
        self.weights = weights
        self.localizers = localizers
        self.boxes: Truths = boxes or {}
        self.truth = truth
        self._dataset = dataset
        self._images = cache or out / "images"

    @cached_property
    def recipe(self) -> Recipe:
        """The scale's phase I, with the start and the localizers that were asked for."""
        recipe = self.scale.recipe
        return dataclasses.replace(
            recipe,
            pretrained=self.start_for(recipe.hand.backbone),
            localizers=self.localizers,
            seed=self.seed,
            phase_1_cases=None,
            gate=None,
            regional_heads=False,
        )

    def start_for(self, backbone: Backbone) -> str:
        """Where a network of the scale starts: the scale's own file, ImageNet weights at hand, else "none"."""
        start = self.scale.recipe.pretrained
        if start != "timm":
            return start
        found = self.start_of(backbone.name)
        return found if isinstance(found, str) else "none"

    def start_of(self, network: str) -> str | NotAtHand:
        """ImageNet weights of one of timm's networks, or why there are none."""
        if self.weights == "timm":
            return "timm"
        if self.weights is None:
            return NotAtHand("no ImageNet weights were given (--weights)")
        files = sorted(
            file
            for file in Path(self.weights).glob(f"{network}.*")
            if file.suffix in (".safetensors", ".pth") and file.is_file()
        )
        return str(files[0]) if files else NotAtHand(f"ImageNet weights of {network} are not at hand")

    @cached_property
    def _used(self) -> tuple[Dataset, ImageCache]:
        """The data set as far as it can be learnt from and measured on, with its films."""
        dataset = self._dataset.check_for_training()
        short_side = self.scale.recipe.image_short_side
        cache = ImageCache.build(dataset, self._images, short_side=short_side, progress=self.machine.progress)
        used = with_dropped(dataset, cache.dropped).check_for_training()
        for split, purpose in (("train", "learnt from"), ("validation", "used to search tau"), ("test", "measured on")):
            if not labelled(used, split):  # type: ignore[arg-type]
                raise DatasetError(
                    f"{used.name}: no case of it falls into *{split}*, which is {purpose}. Take more cases, or a table "
                    "with a column that says the split."
                )
        return used, cache

    @cached_property
    def training_set(self) -> TrainingSet:
        """Films of all splits; *train* thinned to the scale's cases."""
        used, cache = self._used
        training_set = TrainingSet(
            SparingImages(cache),
            labelled(used, "train"),
            labelled(used, "validation"),
            used.name,
            "",
            has_phantoms(used),
            cache.digest,
        )
        return training_set.thinned(self.scale.cases, self.seed)

    @cached_property
    def report(self) -> tuple[Labelled, ...]:
        """The cases that everything is measured on."""
        return labelled(self._used[0], "test")

    @cached_property
    def boxed(self) -> tuple[str, ...]:
        """Ids of the cases with a reader's box, of every split."""
        cache = self._used[1]
        return tuple(sorted({case_id for boxes in self.boxes.values() for case_id in boxes if case_id in cache}))

    @cached_property
    def split(self) -> Mapping[str, str]:
        """The split of each case."""
        return {case.id: case.split for case in self._used[0].cases}

    @cached_property
    def phase_1(self) -> tuple[TrainingRun, LocalizerChain, RegionsTable]:
        """Workshop, localizers and the regions of all films that are learnt from or measured on."""
        self.say("phase I: the regions behind the views")
        run, chain, table = localized(self.recipe, self.training_set, self.out / "phase_1", self.machine)
        stage = run.stage("regions-report", chain.key, [case.id for case in self.report])
        file = stage.folder / "regions.csv"
        if not stage.complete:
            stage.begin()
            of_test = run.finder.regions(chain.steps, [case.id for case in self.report], {})
            write_regions(file, of_test, self._sizes(of_test))
            stage.finish(images=len(of_test))
        return run, chain, {**table, **read_regions(file)}

    def training_run(self, name: str, cases: int | None = None) -> TrainingRun:
        """A workshop for one cell, in a folder of its own."""
        training_set = self.training_set.thinned(cases, self.seed)
        return TrainingRun(self.recipe, training_set, self.out / "cells" / name, self.machine)

    @cached_property
    def finder(self) -> Finder:
        """Finds regions of many films."""
        return Finder(self.training_set.images, self.recipe.layout, available_cores(), self.machine.progress)

    def found(self, regions: frozenset[Region]) -> tuple[RegionsOf, str]:
        """The regions of the films and the key of what found them; nothing is trained where none are needed."""
        if not regions:
            return NoRegions(), ""
        _, chain, table = self.phase_1
        return FromTable(table), chain.key

    def key(self, *parts: object) -> str:
        """The key of a cell that depends on `parts`, the data and the scale's film size."""
        recipe = self.recipe
        return key_of(self.training_set.key, recipe.image_short_side, recipe.layout, self.seed, *parts)

    def answers(self, cell: Cell) -> Answers:
        """What a cell says of *test*; trained where that has not been done.

        Raises:
            TrainingError: its network cannot be built or trained.
        """
        adapter, (found, _), run, name = self._cell(cell)
        ids = [case.id for case in self.report]
        rows, facts = [], {}
        for repeat in range(self.scale.repeats):
            stage = run.stage(f"seed-{self.seed + repeat}", name, repeat)
            file = stage.folder / ANSWERS
            if not stage.complete:
                began, resumed = time.monotonic(), any(stage.folder.glob("*"))
                stage.begin()
                network = trained(run, stage, adapter, found, self.seed + repeat, cell.title)
                seconds = time.monotonic() - began
                months = months_of(run, adapter, network, self.report, found)
                if adapter.corrected:
                    validation = run.training_set.validation
                    answered = months_of(run, adapter, network, validation, found)
                    if len(validation) < 2 or not np.ptp(answered):
                        raise TrainingError(
                            f"{cell.title}: its answers are corrected by a line through those of *validation*, whose "
                            f"{len(validation)} cases give none. Take more cases."
                        )
                    months = LinearCorrection.fitted(answered, [case.age_months for case in validation])(months)
                write_answers(file, self.report, months)
                stage.finish(
                    title=cell.title,
                    cases=len(run.training_set.train),
                    parameters=parameters_of(network),
                    # Of a training that was stopped only the last leg is known.
                    training_seconds="" if resumed else round(seconds),
                )
            rows.append(read_answers(file, ids))
            facts = dict(stage.facts)
        return Answers(tuple(ids), np.array([case.age_months for case in self.report]), np.stack(rows), facts)

    def network(self, cell: Cell) -> tuple[TrainingRun, Any]:
        """A cell's workshop and its first network, trained where that has not been done."""
        self.answers(cell)
        adapter, (found, _), run, name = self._cell(cell)
        stage = run.stage(f"seed-{self.seed}", name, 0)
        return run, trained(run, stage, adapter, found, self.seed, cell.title)

    def _cell(self, cell: Cell) -> tuple[AgeAdapter, tuple[RegionsOf, str], TrainingRun, str]:
        adapter, found = cell.adapter(self), cell.found(self)
        labels = [(case.id, case.age_months, case.sex.value) for case in self.report]
        name = self.key("age", *adapter.parts, found[1], cell.cases, labels)
        return adapter, found, self.training_run(name, cell.cases), name

    def distributions(self, cell: AgeCell, cases: Sequence[Labelled]) -> npt.NDArray[np.float64]:
        """The distributions that a cell's first network has learnt for some cases, float64 [cases, 240]."""
        run, network = self.network(cell)
        return distributions_of(run, cell.adapter(self), network, cases, cell.found(self)[0])

    @property
    def data(self) -> str:
        """Scale and data, for titles."""
        kind = " (phantoms, not radiographs)" if self.training_set.phantom else ""
        return f"Scale {self.scale.name}: {self.training_set.name}{kind}"

    def setting(
        self,
        size: int | str,
        epochs: int,
        cases: int | None = None,
        *,
        measured: str = "",
        regions: bool = True,
        start: bool = True,
    ) -> str:
        """Scale, data and budget in one line, for titles.

        Args:
            size, epochs, cases: of the cells; `cases` None for all training cases of the scale.
            measured: what they were measured on, where that is not *test*.
            regions: whether views are cut from regions, so that it matters who found them.
            start: whether all cells start alike.
        """
        learnt = min(cases or len(self.training_set.train), len(self.training_set.train))
        times = f", {self.scale.repeats} trainings a cell" if self.scale.repeats > 1 else ""
        file = self.start_for(self.scale.age.backbone)
        begun = f", {'random start' if file == 'none' else f'start from {Path(file).name}'}" if start else ""
        by = f", regions of {Path(self.localizers).name}" if self.localizers and regions else ""
        return (
            f"{self.data}, {learnt:,} training cases, {size} px, "
            f"{epochs} epoch{'s' if epochs != 1 else ''}{times}{begun}{by}; "
            f"measured on {measured or f'the {len(self.report):,} cases of report'}"
        )

    def say(self, text: str) -> None:
        """A line for the user."""
        if self.machine.progress:
            print(text, file=sys.stderr, flush=True)

    def _sizes(self, table: RegionsTable) -> dict[str, tuple[int, int]]:
        shapes = {case_id: self.training_set.images.image(case_id).shape for case_id in table}
        return {case_id: (width, height) for case_id, (height, width) in shapes.items()}
