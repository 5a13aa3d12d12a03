"""The story of a training: data set -> localizers -> regions table -> regressor -> calibration -> model folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from boneage.ages import Sex
from boneage.assessor import Assessor
from boneage.cascade import cut_views
from boneage.errors import OutputError, UsageError
from boneage.model import Localizer as LocalizerStep
from boneage.model import Network, available_cores, load_model, write_model
from boneage.regions import Region
from boneage.training.calibration import calibrated, spread_months
from boneage.training.export import export_localizer, export_regressor, export_student
from boneage.training.fit import fit, steps_per_epoch
from boneage.training.hardware import Machine, keep_freed_memory
from boneage.training.learner import Learner
from boneage.training.localizer import LocalizerLearner
from boneage.training.networks import AgeRegressor, Localizer
from boneage.training.regions_table import (
    Finder,
    Maps,
    RegionsTable,
    read_maps,
    read_regions,
    write_maps,
    write_regions,
)
from boneage.training.regressor import RegressorLearner
from boneage.training.settings import LocalizerSettings, Recipe, Schedule
from boneage.training.stage import Stage, key_of
from boneage.training.student import OUTPUTS, Student, StudentData, StudentLearner, stride_of
from boneage.training.tau import search_tau
from boneage.training.views_data import (
    Films,
    FromTable,
    Labelled,
    LookSource,
    NoRegions,
    RegionsOf,
    ViewsData,
    ViewSource,
)
from boneage.views import View

if TYPE_CHECKING:
    from boneage.datasets import Dataset

MODEL_FOLDER, REGIONS_FILE = "model", "regions.csv"
_WEIGHTS, _NETWORK, _MAPS = "weights.safetensors", "network.onnx", "maps.npz"


@dataclass(frozen=True)
class Material:
    """What is learnt from: films and labels; `train` to learn, `select` for every choice.

    Attributes:
        films: decoded films by case id, as `Radiograph.film(recipe.film_short_side)` makes them.
        name, terms: of the data set, for the model's provenance.
        films_key: changes with the films' content.
    """

    films: Films
    train: tuple[Labelled, ...]
    select: tuple[Labelled, ...]
    name: str
    terms: str = ""
    phantom: bool = False
    films_key: str = ""

    @property
    def key(self) -> str:
        rows = [(case.id, case.age_months, case.sex.value) for case in (*self.train, *self.select)]
        return key_of(self.name, self.films_key, len(self.train), hashlib.sha256(repr(rows).encode()).hexdigest())

    @property
    def ids(self) -> list[str]:
        return [case.id for case in (*self.train, *self.select)]


@dataclass
class _Phase1:
    """The chain as far as it has been trained."""

    steps: list[LocalizerStep] = field(default_factory=list)
    maps: dict[Region, Maps] = field(default_factory=dict)
    key: str = ""


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    machine: Machine | None = None,
    *,
    resume: bool = False,
    films: Path | None = None,
) -> Path:
    """Train a model on a data set.

    Args:
        recipe: what to train.
        dataset: as `boneage.datasets.read_dataset` gives it; the *report* split is never touched.
        out: gets one folder a stage, and the model in `out/model`.
        machine: devices, workers, precision.
        resume: go on in a folder that is not empty. Complete stages are not run again unless their settings changed.
        films: folder of the decoded films; several trainings may share one. `out/films` if left out.

    Returns:
        The model folder.

    Raises:
        UsageError: `out` is not empty and `resume` is not set, or the recipe contradicts itself.
        DatasetError: more than 5 % of the data set had to be dropped.
        OutputError: `out` cannot be written.
        TrainingError: a network cannot be started or trained.
    """
    machine = machine or Machine()
    check(recipe)
    check_out(out, resume=resume)
    return train_on(recipe, cached_films(recipe, dataset, films or out / "films", machine), out, machine)


def train_on(recipe: Recipe, material: Material, out: Path, machine: Machine) -> Path:
    """The whole training on decoded films; see `train`."""
    if not machine.uses_gpu:
        keep_freed_memory()
    story = _Story(recipe, material, out, machine)
    chain = _Phase1(key=key_of(material.key, recipe.film_short_side, recipe.layout, recipe.pretrained, recipe.seed))
    for region in Region:  # hand, region 1, and region 2 on the film with region 1 erased
        if region in story.wanted:
            network = story.localizer(region, chain)
            maps = story.attention(region, network, chain)
            tau = story.tau(region, network, maps, chain)
            story.lengthen(chain, region, network, maps, tau)
    if recipe.student and chain.steps:
        chain = story.student(chain)
    regions = story.regions(chain)
    regressor = story.regressor(regions, chain)
    return story.model(regions, regressor, chain)


def check_out(out: Path, *, resume: bool) -> None:
    """Raise UsageError where `out` holds something and is not to be resumed, OutputError where it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        empty = not any(out.iterdir())
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}). Choose another folder for --out.") from error
    if not resume and not empty:
        raise UsageError(f"{out}: is not empty. Go on with --resume, or name a new folder.")


def check(recipe: Recipe) -> None:
    """Raise UsageError where a recipe's views or looks need a region that nothing finds before."""
    known: set[Region] = set()
    for region in Region:
        if region.value in recipe.regions:
            needed = _needed(_settings(recipe, region).looks_at)
            if not needed <= known:
                raise UsageError(
                    f"{region.value}.looks_at={_settings(recipe, region).looks_at} needs "
                    f"{' and '.join(sorted(needed - known))} to be found before."
                )
            known.add(region)
    for view in recipe.regressor.views:
        if not _needed(view) <= known:
            raise UsageError(f"regressor.views holds {view}, but regions={','.join(recipe.regions) or 'none'}.")
    if not recipe.regressor.views:
        raise UsageError("regressor.views is empty. Name at least one of O, H, R1, R2, E.")
    if recipe.student and len(known) < len(Region):
        raise UsageError("student=true needs all three regions.")


def cached_films(recipe: Recipe, dataset: Dataset, folder: Path, machine: Machine) -> Material:
    """Decode the training and selection films once into `folder`."""
    from boneage.datasets import FilmCache, with_dropped

    used = dataset.check_for_training().of("train", "select")
    cache = FilmCache.build(used, folder, short_side=recipe.film_short_side, progress=machine.progress)
    # Counted again with the files that turned out unreadable: more than 5 % of all stops the training here, too.
    used = with_dropped(used, cache.dropped).check_for_training()

    def labelled(split: str) -> tuple[Labelled, ...]:
        return tuple(
            Labelled(case.id, case.age_months, case.sex)
            for case in used.cases
            if case.split == split and case.age_months is not None and case.sex is not None
        )

    return Material(cache, labelled("train"), labelled("select"), dataset.name, films_key=cache.digest)


class _Story:
    """The stages. Each leaves a folder that says for which settings it is complete."""

    def __init__(self, recipe: Recipe, material: Material, out: Path, machine: Machine) -> None:
        self.recipe, self.material, self.out, self.machine = recipe, material, out, machine
        self.wanted = [region for region in Region if region.value in recipe.regions]
        self.squash = recipe.layout == "squash"
        self.finder = Finder(material.films, recipe.layout, available_cores(), machine.progress)

    def stage(self, name: str, *parts: Any) -> Stage:
        return Stage(self.out / name, key_of(name, *parts), progress=self.machine.progress)

    def localizer(self, region: Region, chain: _Phase1) -> Path:
        """Train and export the localizer of a region; returns the exported network."""
        settings = _settings(self.recipe, region)
        learnt = dataclasses.replace(settings, tau=None, margin=0.0, smallest=0.1, average_mirror=True)
        looks = _needed(settings.looks_at)
        stage = self.stage(f"localizer-{region.value}", learnt, chain.key if looks else self._root(chain))
        if not stage.complete:
            stage.begin()
            found: RegionsOf = NoRegions()
            if looks:
                found = FromTable(self.finder.regions(chain.steps, self.material.ids, chain.maps))
            torch.manual_seed(self.recipe.seed)
            network = Localizer(settings, start=self.recipe.pretrained)

            def learner(steps: int) -> Learner:
                return LocalizerLearner(network, settings, seed=self.recipe.seed, steps_per_epoch=steps)

            sources = [LookSource(settings.looks_at)]
            data = self._data(ViewsData, sources, found, settings.size, settings.jitter)
            self._fit(learner, data, stage.folder, settings.schedule, f"localizer of {region.value}")
            export_localizer(network, stage.folder / _NETWORK, settings.size, half=self.recipe.fp16_weights)
            stage.finish()
        return stage.folder / _NETWORK

    def attention(self, region: Region, network: Path, chain: _Phase1) -> Maps:
        """The attention maps of every film."""
        settings = _settings(self.recipe, region)
        stage = self.stage(
            f"maps-{region.value}", _sha256(network), settings.average_mirror, settings.looks_at, chain.key
        )
        if not stage.complete:
            stage.begin()
            step = self._step(region, network, 0.5)
            write_maps(stage.folder / _MAPS, self.finder.maps([*chain.steps, step], self.material.ids, chain.maps))
            stage.finish()
        return read_maps(stage.folder / _MAPS)

    def tau(self, region: Region, network: Path, maps: Maps, chain: _Phase1) -> float:
        """The fraction of the maximum at which a region's maps are cut."""
        settings = _settings(self.recipe, region)
        if settings.tau is not None:
            return settings.tau
        stage = self.stage(f"tau-{region.value}", _sha256(network), settings, self.recipe.tau, chain.key)
        if not stage.complete:
            stage.begin()
            errors = search_tau(
                [*chain.steps, self._step(region, network, 0.5)],
                {**chain.maps, region: maps},
                self.finder,
                self.material.train,
                self.material.select,
                self.recipe.tau,
                stage.folder,
                self.machine,
                seed=self.recipe.seed,
                start=self.recipe.pretrained,
            )
            stage.finish(
                tau=min(errors, key=errors.__getitem__), errors={str(tau): error for tau, error in errors.items()}
            )
        return float(stage.facts["tau"])

    def lengthen(self, chain: _Phase1, region: Region, network: Path, maps: Maps, tau: float) -> None:
        """Put a finished localizer at the end of the chain."""
        chain.steps.append(self._step(region, network, tau))
        chain.maps[region] = maps
        chain.key = key_of(
            chain.key, region.value, _sha256(network), dataclasses.replace(_settings(self.recipe, region), tau=tau)
        )

    def student(self, chain: _Phase1) -> _Phase1:
        """One network taught by the chain's boxes, in the chain's place."""
        settings = self.recipe.student_network
        stage = self.stage("student", settings, chain.key)
        file = stage.folder / _NETWORK
        if not stage.complete:
            stage.begin()
            table = self.finder.regions(chain.steps, self.material.ids, chain.maps)
            torch.manual_seed(self.recipe.seed)
            network = Student(settings, start=self.recipe.pretrained)
            data = self._data(StudentData, [], FromTable(table), settings.size, settings.jitter)
            for part in data:
                part.stride = stride_of(network, settings.size)  # type: ignore[attr-defined]
            fitted = self._fit(
                lambda steps: StudentLearner(network, settings, seed=self.recipe.seed, steps_per_epoch=steps),
                data,
                stage.folder,
                settings.schedule,
                "student",
            )
            export_student(fitted, file, settings.size, OUTPUTS, half=self.recipe.fp16_weights)
            stage.finish()
        shared = Network("localizer", file, settings.size, threads=1)
        result = _Phase1(key=key_of(chain.key, _sha256(file), settings))
        for region, output in zip(Region, OUTPUTS, strict=True):
            teacher = _settings(self.recipe, region)
            result.steps.append(
                LocalizerStep(region, shared, "O", settings.tau, 0.0, teacher.smallest, output, settings.average_mirror)
            )
        return result

    def regions(self, chain: _Phase1) -> RegionsTable:
        """The regions of every film, by the chain as it will be shipped."""
        stage = self.stage("regions", chain.key)
        if not stage.complete:
            stage.begin()
            table = self.finder.regions(chain.steps, self.material.ids, chain.maps)
            sizes = {}
            for case_id in self.material.ids:
                height, width = self.material.films.film(case_id).shape
                sizes[case_id] = (width, height)
            write_regions(stage.folder / REGIONS_FILE, table, sizes)
            missing = {r.value: sum(r in found.missing for found in table.values()) for r in self.wanted}
            stage.finish(films=len(table), missing=missing)
        return read_regions(stage.folder / REGIONS_FILE)

    def regressor(self, regions: RegionsTable, chain: _Phase1) -> Path:
        """Train and export the age regressor."""
        settings = self.recipe.regressor
        stage = self.stage("regressor", settings, chain.key)
        file = stage.folder / _NETWORK
        if not stage.complete:
            stage.begin()
            torch.manual_seed(self.recipe.seed)
            network = AgeRegressor(settings, start=self.recipe.pretrained)

            def learner(steps: int) -> Learner:
                return RegressorLearner(network, settings, seed=self.recipe.seed, steps_per_epoch=steps)

            sources = [ViewSource(View(name)) for name in settings.views]
            data = self._data(ViewsData, sources, FromTable(regions), settings.size, settings.jitter, settings.erase)
            fitted = self._fit(learner, data, stage.folder, settings.schedule, "regressor")
            assert isinstance(fitted, AgeRegressor)
            export_regressor(fitted, file, settings.views, settings.size, half=self.recipe.fp16_weights)
            stage.finish()
        return file

    def model(self, regions: RegionsTable, regressor: Path, chain: _Phase1) -> Path:
        """Calibrate on *select* and write the model folder."""
        target = self.out / MODEL_FOLDER
        stage = self.stage("calibration", _sha256(regressor), chain.key, self.recipe, self.material.terms)
        if stage.complete and (target / "model.json").is_file():
            return target
        stage.begin()
        networks = {**{step.network.name: step.network.path for step in chain.steps}, "regressor": regressor}
        document = self._document(chain)
        draft = write_model(stage.folder / "draft", document, networks, replace=True)
        assessor = Assessor(load_model(draft))
        ages = np.array([case.age_months for case in self.material.select])
        errors, distributions = self._answers(assessor, regions, ages)
        if self.recipe.regressor.scalar:
            document["scalar_sd_months"] = spread_months(errors)
            draft = write_model(draft, document, networks, replace=True)
            errors, distributions = self._answers(Assessor(load_model(draft)), regions, ages)
        calibration = calibrated(distributions, ages, self.recipe.coverage)
        document["calibration"] = calibration.as_json()
        document["metrics"] = {
            "select": {
                "mae_months": round(float(np.abs(errors).mean()), 3),
                "bias_months": round(float(errors.mean()), 3),
                "cases": len(errors),
            }
        }
        write_model(target, document, networks, replace=True)
        if self.machine.progress:
            mae = document["metrics"]["select"]["mae_months"]
            print(f"{target}: {mae:.2f} months on select ({len(errors)} cases)", file=sys.stderr, flush=True)
        stage.finish(metrics=document["metrics"], calibration=document["calibration"])
        return target

    def _answers(self, assessor: Assessor, regions: RegionsTable, ages: Any) -> tuple[Any, Any]:
        model, distributions, months = assessor.model, [], []
        for case in self.material.select:
            film = self.material.films.film(case.id)
            views = cut_views(film, regions[case.id], model.views, model.regressor.input_size, squash=self.squash)
            answer = assessor.answer(views, Sex(case.sex))
            distributions.append(answer.distribution)
            months.append(answer.bone_age_months)
        return np.array(months) - ages, np.stack(distributions)

    def _document(self, chain: _Phase1) -> dict[str, Any]:
        recipe, regressor = self.recipe, self.recipe.regressor
        sizes = {step.network.name: step.network.input_size for step in chain.steps} | {"regressor": regressor.size}
        return {
            "name": recipe.name,
            "version": recipe.version,
            "recipe": recipe.name,
            "film_short_side": recipe.film_short_side,
            "layout": recipe.layout,
            "networks": {name: {"input_size": size} for name, size in sizes.items()},
            "localizers": [
                {
                    "region": step.region.value,
                    "network": step.network.name,
                    "output": step.output,
                    "looks_at": step.looks_at,
                    "tau": step.tau,
                    "margin": step.margin,
                    "average_mirror": step.average_mirror,
                    "smallest": step.smallest,
                }
                for step in chain.steps
            ],
            "views": list(regressor.views),
            "average_mirror": regressor.average_mirror,
            "sex_input": bool(regressor.sex),
            "scalar": regressor.scalar,
            "scalar_sd_months": 15.0,
            "calibration": {"tail": 0.05},
            "phantom_trained": self.material.phantom,
            "training_data": {
                "name": self.material.name,
                "cases": len(self.material.train),
                "terms": self.material.terms,
                "split_rule": "sha256(id) % 100: report < 10, select 10..14, train the rest; an official split wins",
            },
            "settings": dataclasses.asdict(recipe),
        }

    def _step(self, region: Region, network: Path, tau: float) -> LocalizerStep:
        settings = _settings(self.recipe, region)
        return LocalizerStep(
            region,
            Network(region.value, network, settings.size, threads=1),
            settings.looks_at,
            tau,
            settings.margin,
            settings.smallest,
            "attention",
            settings.average_mirror,
        )

    def _data(
        self,
        kind: type[ViewsData],
        sources: Sequence[Any],
        found: RegionsOf,
        size: int,
        jitter: Any,
        blank: float = 0.0,
    ) -> tuple[ViewsData, ViewsData]:
        films, seed = self.material.films, self.recipe.seed
        return (
            kind(
                films,
                self.material.train,
                sources,
                found,
                size,
                squash=self.squash,
                jitter=jitter,
                seed=seed,
                blank=blank,
            ),
            kind(films, self.material.select, sources, found, size, squash=self.squash),
        )

    def _fit(
        self,
        learner: Callable[[int], Learner],
        data: tuple[ViewsData, ViewsData],
        folder: Path,
        schedule: Schedule,
        label: str,
    ) -> nn.Module:
        """Fit a network and keep its averaged weights; a fit that has finished already is read back."""
        made = learner(steps_per_epoch(len(data[0]), schedule, self.machine))
        file = folder / _WEIGHTS
        if not file.is_file():
            fitted = fit(made, *data, folder, schedule, self.machine, label)
            temporary = file.with_name(f".{file.name}.tmp")
            save_file({key: value.contiguous() for key, value in fitted.state_dict().items()}, temporary)
            os.replace(temporary, file)
        made.network.load_state_dict(load_file(file))
        return made.network.cpu().eval()

    def _root(self, chain: _Phase1) -> str:
        recipe = self.recipe
        return key_of(self.material.key, recipe.film_short_side, recipe.layout, recipe.pretrained, recipe.seed)


def _settings(recipe: Recipe, region: Region) -> LocalizerSettings:
    settings: LocalizerSettings = getattr(recipe, region.value)
    return settings


def _needed(view: str) -> set[Region]:
    needs: Mapping[str, set[Region]] = {
        "O": set(),
        "H": {Region.HAND},
        "R1": {Region.REGION_1},
        "R2": {Region.REGION_2},
        "E": {Region.REGION_1},
        "HE": {Region.HAND, Region.REGION_1},
    }
    return needs[view]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
