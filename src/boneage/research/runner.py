"""The experiment runner: one data set, one scale, one folder. Every cell is trained once and kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from boneage.datasets import ImageCache, has_phantoms, with_dropped
from boneage.errors import DatasetError, TrainingError, UsageError
from boneage.model.folder import available_cores
from boneage.progress import say
from boneage.regions import Region
from boneage.research.adapters import (
    AgeAdapter,
    count_parameters,
    predict_ages,
    predict_distributions,
    train_network,
)
from boneage.research.baselines import HandTruth, LinearCorrection
from boneage.research.cell_predictions import (
    PREDICTIONS_FILE,
    CellPredictions,
    Unavailable,
    read_predictions,
    write_predictions,
)
from boneage.research.scales import Scale
from boneage.training.data.training_set import SparingImages, TrainingSet, collect_labelled
from boneage.training.data.views_data import FromTable, Labelled, NoRegions, RegionsOf
from boneage.training.localization.chain import LocalizerChain
from boneage.training.localization.regions_table import Finder, RegionsTable, read_regions, write_regions
from boneage.training.pipeline import find_regions
from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import Backbone
from boneage.training.run.hardware import Machine
from boneage.training.run.stage import key_of
from boneage.training.run.training_run import TrainingRun

if TYPE_CHECKING:
    from boneage.datasets import Dataset

Truths = Mapping[str, Mapping[str, tuple[float, float, float, float]]]
"""Reader's label -> case id -> box, as `boneage.datasets.read_boxes` gives them."""
_PURPOSES: Final = (("train", "to learn from"), ("validation", "to search tau on"), ("test", "to measure on"))


class Cell(Protocol):
    """An age network that the experiment runner can train and measure."""

    @property
    def title(self) -> str:
        """Its name in progress lines."""
        ...

    @property
    def cases(self) -> int | None:
        """Its number of training cases; None for the scale's."""
        ...

    def make_adapter(self, runner: ExperimentRunner) -> AgeAdapter:
        """The network and its training."""
        ...

    def find_regions(self, runner: ExperimentRunner) -> tuple[RegionsOf, str]:
        """The regions that its views are cut from, and the key of the localizers that found them."""
        ...


class ExperimentRunner:
    """Trains and measures the cells of experiments.

    Args:
        dataset: from `boneage.datasets.read_dataset`. Cells learn from *train*, phase I searches its thresholds on
            *validation*, and everything is measured on *test*, where nothing is chosen.
        scale: networks, sizes, epochs.
        out: cells are kept in `out/cells`, phase I in `out/phase_1`.
        machine: devices, workers, precision.
        cache: folder of the cached images; `out/images` if left out.
        localizers: name or folder of a model whose regions are taken instead of training phase I.
        weights: folder of ImageNet weights, `<timm name>.*.safetensors` or `.pth`; "timm" lets timm fetch its own.
        truth: of phantoms, for baselines that learn from masks and key points
            (`boneage.phantom.truth_folder.TruthFolder`).
        boxes: readers' boxes to measure localization against.
        seed: of all randomness.

    Raises:
        UsageError: the scale has `repeats` below 1 (`setting_out_of_range`).
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
            raise UsageError(
                f"repeats={scale.repeats}: each cell is trained at least once.", code="setting_out_of_range"
            )
        self.scale, self.out, self.machine, self.seed = scale, out, machine, seed
        self.weights = weights
        self.localizers = localizers
        self.boxes: Truths = boxes or {}
        self.truth = truth
        self._dataset = dataset
        self._images = cache or out / "images"

    # The data

    @cached_property
    def _used(self) -> tuple[Dataset, ImageCache]:
        """The cases that can be learned from and measured on, with their cached images."""
        dataset = self._dataset.check_for_training()
        short_side = self.recipe.image_short_side
        cache = ImageCache.build(dataset, self._images, short_side=short_side, progress=self.machine.progress)
        used = with_dropped(dataset, cache.dropped).check_for_training()
        for split, purpose in _PURPOSES:
            if not collect_labelled(used, split):  # type: ignore[arg-type]
                raise DatasetError(
                    f"{used.name}: *{split}* has no case {purpose}. Take more cases, or a table with a column for the "
                    "split.",
                    code="empty_split",
                )
        return used, cache

    @cached_property
    def training_set(self) -> TrainingSet:
        """Images of all splits with the labels of *train*, thinned to the scale's cases, and *validation*."""
        used, cache = self._used
        training_set = TrainingSet(
            images=SparingImages(cache),
            train=collect_labelled(used, "train"),
            validation=collect_labelled(used, "validation"),
            name=used.name,
            terms="",
            phantom=has_phantoms(used),
            images_key=cache.digest,
        )
        return training_set.thin(self.scale.cases, self.seed)

    @cached_property
    def test(self) -> tuple[Labelled, ...]:
        """The cases of *test*."""
        return collect_labelled(self._used[0], "test")

    @cached_property
    def boxed(self) -> tuple[str, ...]:
        """Ids of the cases with a reader's box, of every split."""
        cache = self._used[1]
        return tuple(sorted({case_id for boxes in self.boxes.values() for case_id in boxes if case_id in cache}))

    @cached_property
    def split(self) -> Mapping[str, str]:
        """The split of each case."""
        return {case.id: case.split for case in self._used[0].cases}

    # Where networks start

    def choose_start(self, backbone: Backbone) -> str:
        """Starting weights of a network: the scale's own file, else ImageNet weights, else "none" (random)."""
        start = self.scale.phase_1.pretrained
        if start != "timm":
            return start
        found = self.find_imagenet_weights(backbone.name)
        return found if isinstance(found, str) else "none"

    def find_imagenet_weights(self, network: str) -> str | Unavailable:
        """ImageNet weights of one of timm's networks, or why there are none."""
        if self.weights == "timm":
            return "timm"
        if self.weights is None:
            return Unavailable("no ImageNet weights were given (--weights)")
        files = sorted(
            file
            for file in Path(self.weights).glob(f"{network}.*")
            if file.suffix in (".safetensors", ".pth") and file.is_file()
        )
        return str(files[0]) if files else Unavailable(f"ImageNet weights of {network} are missing in --weights")

    # Regions

    @cached_property
    def recipe(self) -> Recipe:
        """The scale's phase I with the starting weights and localizers of this run."""
        phase_1 = self.scale.phase_1
        return dataclasses.replace(
            phase_1,
            pretrained=self.choose_start(phase_1.hand.backbone),
            localizers=self.localizers,
            seed=self.seed,
        )

    @cached_property
    def phase_1(self) -> tuple[TrainingRun, LocalizerChain, RegionsTable]:
        """Training run and localizers of phase I, and the regions of all cases."""
        self.say("phase I: the regions behind the views")
        run, chain, table = find_regions(self.recipe, self.training_set, out=self.out / "phase_1", machine=self.machine)
        stage = run.stage("regions-test", chain.key, [case.id for case in self.test])
        file = stage.folder / "regions.csv"
        if not stage.complete:
            stage.begin()
            of_test = run.finder.regions(chain.steps, [case.id for case in self.test], {})
            write_regions(file, of_test, self._sizes(of_test))
            stage.finish(images=len(of_test))
        return run, chain, {**table, **read_regions(file)}

    @cached_property
    def finder(self) -> Finder:
        """Finds the regions of many images."""
        return Finder(
            images=self.training_set.images,
            layout=self.recipe.layout,
            threads=available_cores(),
            progress=self.machine.progress,
        )

    def find_regions(self, regions: frozenset[Region]) -> tuple[RegionsOf, str]:
        """The regions of all cases and the key of the localizers; phase I is not trained where none are needed."""
        if not regions:
            return NoRegions(), ""
        _, chain, table = self.phase_1
        return FromTable(table), chain.key

    # Cells

    def training_run(self, name: str, cases: int | None = None) -> TrainingRun:
        """The training run of one cell, in its own folder."""
        training_set = self.training_set.thin(cases, self.seed)
        return TrainingRun(
            recipe=self.recipe, training_set=training_set, out=self.out / "cells" / name, machine=self.machine
        )

    def make_key(self, *parts: object) -> str:
        """The key of a cell that depends on `parts`, the data and the size of the cached images."""
        recipe = self.recipe
        return key_of(self.training_set.key, recipe.image_short_side, recipe.layout, self.seed, *parts)

    def measure(self, cell: Cell) -> CellPredictions:
        """A cell's predictions on *test*; the cell is trained first, unless it is complete.

        Raises:
            TrainingError: its network cannot be built or trained.
        """
        adapter, regions_of, run, name = self._prepare(cell)
        ids = [case.id for case in self.test]
        rows, facts = [], {}
        for repeat in range(self.scale.repeats):
            stage = run.stage(f"seed-{self.seed + repeat}", name, repeat)
            file = stage.folder / PREDICTIONS_FILE
            if not stage.complete:
                began, resumed = time.monotonic(), any(stage.folder.glob("*"))
                stage.begin()
                network = train_network(
                    run, stage, adapter=adapter, regions_of=regions_of, seed=self.seed + repeat, label=cell.title
                )
                seconds = time.monotonic() - began
                months = predict_ages(run, adapter, network=network, cases=self.test, regions_of=regions_of)
                if adapter.corrected:
                    validation = run.training_set.validation
                    predicted = predict_ages(run, adapter, network=network, cases=validation, regions_of=regions_of)
                    if len(validation) < 2 or not np.ptp(predicted):
                        raise TrainingError(
                            f"{cell.title}: a line through its predictions on *validation* corrects those on *test*, "
                            f"and the {len(validation)} cases of *validation* give no line. Take more cases.",
                            code="no_linear_correction",
                        )
                    months = LinearCorrection.fit(predicted, [case.age_months for case in validation])(months)
                write_predictions(file, self.test, months)
                stage.finish(
                    title=cell.title,
                    cases=len(run.training_set.train),
                    parameters=count_parameters(network),
                    # For a training that was stopped only the time of its last part is known.
                    training_seconds="" if resumed else round(seconds),
                )
            rows.append(read_predictions(file, ids))
            facts = dict(stage.facts)
        return CellPredictions(
            ids=tuple(ids), ages=np.array([case.age_months for case in self.test]), months=np.stack(rows), facts=facts
        )

    def load_network(self, cell: Cell) -> tuple[TrainingRun, Any]:
        """A cell's training run and its first network; the cell is trained first, unless it is complete."""
        self.measure(cell)
        adapter, regions_of, run, name = self._prepare(cell)
        stage = run.stage(f"seed-{self.seed}", name, 0)
        return run, train_network(run, stage, adapter=adapter, regions_of=regions_of, seed=self.seed, label=cell.title)

    def predict_distributions(self, cell: Cell, cases: Sequence[Labelled]) -> npt.NDArray[np.float64]:
        """The distributions of a cell's first network over months 1 to 240, float64 [cases, 240]."""
        run, network = self.load_network(cell)
        return predict_distributions(
            run, cell.make_adapter(self), network=network, cases=cases, regions_of=cell.find_regions(self)[0]
        )

    def _prepare(self, cell: Cell) -> tuple[AgeAdapter, RegionsOf, TrainingRun, str]:
        adapter, (regions_of, regions_key) = cell.make_adapter(self), cell.find_regions(self)
        labels = [(case.id, case.age_months, case.sex.value) for case in self.test]
        name = self.make_key("age", *adapter.parts, regions_key, cell.cases, labels)
        return adapter, regions_of, self.training_run(name, cell.cases), name

    # Words for titles and progress

    @property
    def data(self) -> str:
        """Scale and data, for titles."""
        kind = " (phantoms, not radiographs)" if self.training_set.phantom else ""
        return f"Scale {self.scale.name}: {self.training_set.name}{kind}"

    def describe(
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
            measured: what they are measured on, where that is not *test*.
            regions: views are cut from regions, so the line names the model whose localizers found them.
            start: all cells have the same starting weights, so the line names them.
        """
        learned = min(cases or len(self.training_set.train), len(self.training_set.train))
        times = f", {self.scale.repeats} trainings a cell" if self.scale.repeats > 1 else ""
        file = self.choose_start(self.scale.age.backbone)
        begun = f", {'random start' if file == 'none' else f'start from {Path(file).name}'}" if start else ""
        by = f", regions of {Path(self.localizers).name}" if self.localizers and regions else ""
        return (
            f"{self.data}, {learned:,} training cases, {size} px, "
            f"{epochs} epoch{'s' if epochs != 1 else ''}{times}{begun}{by}; "
            f"measured on {measured or f'the {len(self.test):,} cases of test'}"
        )

    def say(self, text: str) -> None:
        """Print a line of progress on standard error."""
        say(text, quiet=not self.machine.progress)

    def _sizes(self, table: RegionsTable) -> dict[str, tuple[int, int]]:
        shapes = {case_id: self.training_set.images.image(case_id).shape for case_id in table}
        return {case_id: (width, height) for case_id, (height, width) in shapes.items()}
