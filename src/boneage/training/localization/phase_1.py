"""Phase I: a chain of localizers, each trained from ages alone, and the regions that it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from boneage.model.document import Origin
from boneage.model.folder import Localizer as LocalizerStep
from boneage.model.folder import Model, Network, load_model
from boneage.pipeline.localization import Localization
from boneage.regions import Region
from boneage.training.data.views_data import FromTable, LocalizerSource, NoRegions, RegionsOf, ViewsData
from boneage.training.localization.localizer import LocalizerLearner
from boneage.training.localization.prior import BLEND, SMOOTHING, PopulationPrior, PriorLocalizer, on_hand
from boneage.training.localization.regions_table import (
    Maps,
    RegionsTable,
    read_maps,
    read_regions,
    write_maps,
    write_regions,
)
from boneage.training.localization.student import OUTPUTS, Student, StudentData, StudentLearner, stride_of
from boneage.training.localization.tau import TOLERANCE, chosen, search_tau
from boneage.training.networks.export import export_localizer, export_student
from boneage.training.networks.networks import Localizer
from boneage.training.recipes.settings import LocalizerSettings, needed_regions
from boneage.training.run.stage import Stage, key_of, sha256_of
from boneage.training.run.training_run import NETWORK_FILE, WEIGHTS_FILE, TrainingRun

MAPS_FILE, REGIONS_FILE = "maps.npz", "regions.csv"
STUDENT_GRID: Final = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)


@dataclass(frozen=True)
class LocalizerChain:
    """The localizers that are ready, in the order in which they run.

    Attributes:
        key: of everything that their boxes depend on.
        maps: their attention maps of every film; boxes for another tau are made from these.
        origin: the model that they were taken over from; None where they were trained here.
    """

    key: str
    steps: tuple[LocalizerStep, ...] = ()
    maps: dict[Region, Maps] = field(default_factory=dict)
    origin: Origin | None = None

    def for_images(self, run: TrainingRun) -> LocalizerChain:
        """The same chain for all films of another workshop; maps are kept only where every film has one."""
        complete = all(case_id in maps for maps in self.maps.values() for case_id in run.training_set.ids)
        return dataclasses.replace(self, key=key_of(self.key, run.root_key), maps=self.maps if complete else {})


def train_localizer(run: TrainingRun, region: Region, chain: LocalizerChain) -> Path:
    """Train and export the localizer of a region; returns the exported network."""
    if run.settings(region).shares:
        return run.out / f"localizer-{run.settings(region).shares}" / NETWORK_FILE
    settings = run.settings(region)
    # What happens to the finished map does not change how it is learnt.
    learnt = dataclasses.replace(
        settings, tau=None, margin=0.0, smallest=0.1, average_mirror=True, prior=False, components="largest"
    )
    needs = needed_regions(settings.input_view)
    stage = run.stage(f"localizer-{region.value}", learnt, chain.key if needs else run.root_key)
    if not stage.complete:
        stage.begin()
        found: RegionsOf = NoRegions()
        if needs:
            found = FromTable(run.finder.regions(chain.steps, run.training_set.ids, chain.maps))
        start, seed, label = run.recipe.pretrained, run.recipe.seed, f"localizer of {region.value}"
        network = fitted_localizer(run, stage, settings, found, start, seed, label)
        export_localizer(network, stage.folder / NETWORK_FILE, settings.size, half=run.recipe.fp16_weights)
        stage.finish()
    return stage.folder / NETWORK_FILE


def fitted_localizer(
    run: TrainingRun, stage: Stage, settings: LocalizerSettings, found: RegionsOf, start: str, seed: int, label: str
) -> Localizer:
    """A localizer after its training, in evaluation mode; goes on where the stage's folder stands."""
    torch.manual_seed(seed)
    return run.fitted(
        Localizer(settings, start=start),
        lambda network, steps: LocalizerLearner(network, settings, seed=seed, steps_per_epoch=steps),
        run.data(
            ViewsData, [LocalizerSource(settings.input_view)], found, settings.size, settings.augmentation, seed=seed
        ),
        stage,
        settings.schedule,
        label,
    )


def with_prior(run: TrainingRun, region: Region, network: Path, chain: LocalizerChain) -> Path:
    """The localizer of a region, weighed with where the population looks; returns the exported network."""
    settings = run.settings(region)
    trained = run.settings(Region(settings.shares)) if settings.shares else settings
    stage = run.stage(
        f"prior-{region.value}", sha256_of(network), settings.input_view, chain.key, SMOOTHING, BLEND, trained
    )
    file = stage.folder / NETWORK_FILE
    if not stage.complete:
        stage.begin()
        localizer = Localizer(trained)
        localizer.load_state_dict(load_file(network.with_name(WEIGHTS_FILE)))
        population = _population(run, region, network, chain)
        export_localizer(
            PriorLocalizer(localizer.eval(), population.prior(region)),
            file,
            settings.size,
            half=run.recipe.fp16_weights,
        )
        stage.finish(valleys=list(population.valleys))
    return file


def _population(run: TrainingRun, region: Region, network: Path, chain: LocalizerChain) -> PopulationPrior:
    """Attention of the training hands, found once for regions that share a network."""
    hand = next(step for step in chain.steps if step.region is Region.HAND)
    frame = (sha256_of(hand.network.path), dataclasses.replace(run.settings(Region.HAND), tau=hand.tau))
    stage = run.stage("population", sha256_of(network), run.settings(region).input_view, *frame)
    file = stage.folder / MAPS_FILE
    if not stage.complete:
        stage.begin()
        steps = [*chain.steps, _step(run, region, network, tau=0.5)]
        ids = [case.id for case in run.training_set.train]

        def kept(found: Localization) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
            seen = found.attention[region]
            return seen.map, on_hand(found.attention[Region.HAND], hand.tau, seen.box, len(seen.map))

        images = run.finder.each(steps, ids, chain.maps, kept, "population")
        write_maps(file, {"population": PopulationPrior.of(images.values()).share})
        stage.finish(images=len(images))
    return PopulationPrior.from_share(read_maps(file)["population"])


def attention_maps(run: TrainingRun, region: Region, network: Path, chain: LocalizerChain) -> Maps:
    """The attention maps of every film."""
    settings = run.settings(region)
    parts = (sha256_of(network), settings.average_mirror, settings.input_view, chain.key)
    stage = run.stage(f"maps-{region.value}", *parts)
    if not stage.complete:
        stage.begin()
        steps = [*chain.steps, _step(run, region, network, tau=0.5)]
        write_maps(stage.folder / MAPS_FILE, run.finder.maps(steps, run.training_set.ids, chain.maps))
        stage.finish()
    return read_maps(stage.folder / MAPS_FILE)


def choose_tau(run: TrainingRun, region: Region, network: Path, maps: Maps, chain: LocalizerChain) -> float:
    """Tau, the fraction of the maximum at which a region's maps are cut: as set, or searched without boxes."""
    settings = run.settings(region)
    if settings.tau is not None:
        return settings.tau
    tolerance = TOLERANCE if settings.components == "all" else 0.0
    parts = [sha256_of(network), settings, run.recipe.tau, chain.key, *([tolerance] if tolerance else [])]
    stage = run.stage(f"tau-{region.value}", *parts)
    steps = [*chain.steps, _step(run, region, network, tau=0.5)]
    return _searched_tau(run, stage, steps, {**chain.maps, region: maps}, tolerance)


def _searched_tau(
    run: TrainingRun, stage: Stage, steps: Sequence[LocalizerStep], known: Mapping[Region, Maps], tolerance: float
) -> float:
    if not stage.complete:
        stage.begin()
        errors = search_tau(
            steps,
            known,
            run.finder,
            run.training_set.train,
            run.training_set.validation,
            run.recipe.tau,
            stage.folder,
            run.machine,
            seed=run.recipe.seed,
            start=run.recipe.pretrained,
        )
        by_tau = {str(tau): round(float(error.mean()), 4) for tau, error in errors.items()}
        stage.finish(tau=chosen(errors, tolerance), validation_error_months=by_tau)
    return float(stage.facts["tau"])


def lengthened(
    run: TrainingRun, chain: LocalizerChain, region: Region, network: Path, maps: Maps, tau: float
) -> LocalizerChain:
    """The chain with one more localizer at its end."""
    settings = dataclasses.replace(run.settings(region), tau=tau)
    return LocalizerChain(
        key_of(chain.key, region.value, sha256_of(network), settings),
        (*chain.steps, _step(run, region, network, tau)),
        {**chain.maps, region: maps},
    )


def taken_over(run: TrainingRun, folder: str) -> LocalizerChain:
    """The localizers of a finished model, in place of phase I."""
    model = load_model(folder).one_thread()
    origin = model.settings.localizers_of or origin_of(model)
    return LocalizerChain(key_of(run.root_key, model.sha256), model.localizers, origin=origin)


def origin_of(model: Model) -> Origin:
    """Which model something was taken over from, and what that one had learned from."""
    settings = model.settings
    return Origin(
        name=model.name,
        sha256=model.sha256,
        phantom_trained=settings.phantom_trained,
        training_data=settings.training_data,
        recipe_settings=settings.recipe_settings,
    )


def distilled(run: TrainingRun, chain: LocalizerChain) -> LocalizerChain:
    """One network for all regions, taught by the chain's boxes on the training films, in the chain's place."""
    settings, seed = run.recipe.student_network, run.recipe.seed
    # Where its masks are cut does not change how it is learnt.
    stage = run.stage("student", dataclasses.replace(settings, tau=0.5), chain.key)
    file = stage.folder / NETWORK_FILE
    if not stage.complete:
        stage.begin()
        table = run.finder.regions(chain.steps, run.training_set.ids, chain.maps)
        torch.manual_seed(seed)
        student = Student(settings, start=run.recipe.pretrained)
        data = run.data(StudentData, [], FromTable(table), settings.size, settings.augmentation)
        for part in data:
            part.stride = stride_of(student, settings.size)
        student = run.fitted(
            student,
            lambda network, steps: StudentLearner(network, settings, seed=seed, steps_per_epoch=steps),
            data,
            stage,
            settings.schedule,
            "student",
        )
        export_student(student, file, settings.size, OUTPUTS, half=run.recipe.fp16_weights)
        stage.finish()
    shared = Network("localizer", file, settings.size, threads=1)
    uncut = tuple(
        LocalizerStep(
            region,
            shared,
            "O",
            settings.tau or 0.5,
            smallest=run.settings(region).smallest,
            output=output,
            average_mirror=settings.average_mirror,
        )
        for region, output in zip(Region, OUTPUTS, strict=True)
    )
    steps = uncut if settings.tau is not None else _cut_as_taught(run, uncut, chain)
    shape = [(step.tau, step.smallest) for step in steps]
    return LocalizerChain(key_of(chain.key, sha256_of(file), settings, shape), steps, origin=chain.origin)


def _cut_as_taught(
    run: TrainingRun, student: tuple[LocalizerStep, ...], teachers: LocalizerChain
) -> tuple[LocalizerStep, ...]:
    """The student's masks cut where its boxes overlap most, on average, with its teachers' boxes on *validation*.

    Soft masks of boxes that vary from film to film are wider at one half of their height than the boxes themselves.
    """
    shape = [(step.smallest, step.average_mirror) for step in student]
    stage = run.stage("tau-student", sha256_of(student[0].network.path), shape, teachers.key, STUDENT_GRID)
    if not stage.complete:
        stage.begin()
        ids = [case.id for case in run.training_set.validation]
        taught = run.finder.regions(teachers.steps, ids, teachers.maps)
        seen = run.finder.each(student, ids, {}, lambda found: found.attention, "maps of the student")
        maps = {step.region: {case_id: seen[case_id][step.region].map for case_id in ids} for step in student}
        overlap: dict[str, dict[str, float]] = {step.region.value: {} for step in student}
        for tau in STUDENT_GRID:
            cut = run.finder.regions([dataclasses.replace(step, tau=tau) for step in student], ids, maps)
            for step in student:
                shared = [
                    cut[case_id].boxes[step.region].intersection_over_union(taught[case_id].boxes[step.region])
                    for case_id in ids
                    if step.region not in taught[case_id].missing
                ]
                overlap[step.region.value][str(tau)] = round(float(np.mean(shared)) if shared else 0.0, 4)
        best = {region: float(max(of_tau, key=lambda tau: of_tau[tau])) for region, of_tau in overlap.items()}
        stage.finish(tau=best, validation_overlap_with_teachers=overlap)
    return tuple(dataclasses.replace(step, tau=float(stage.facts["tau"][step.region.value])) for step in student)


def regions_of_all(run: TrainingRun, chain: LocalizerChain) -> RegionsTable:
    """The regions of every film, by the chain as it will be shipped."""
    stage = run.stage("regions", chain.key)
    if not stage.complete:
        stage.begin()
        table = run.finder.regions(chain.steps, run.training_set.ids, chain.maps)
        shapes = {case_id: run.training_set.images.image(case_id).shape for case_id in table}
        sizes = {case_id: (width, height) for case_id, (height, width) in shapes.items()}
        write_regions(stage.folder / REGIONS_FILE, table, sizes)
        missing = {region.value: sum(region in found.missing for found in table.values()) for region in run.regions}
        stage.finish(images=len(table), missing=missing)
    return read_regions(stage.folder / REGIONS_FILE)


def _step(run: TrainingRun, region: Region, network: Path, tau: float) -> LocalizerStep:
    return localizer_step(region, network, run.settings(region), tau)


def localizer_step(region: Region, network: Path, settings: LocalizerSettings, tau: float) -> LocalizerStep:
    """A trained localizer as a step of a chain."""
    # One thread: many films run at the same time.
    return LocalizerStep(
        region,
        Network(region.value, network, settings.size, threads=1),
        settings.input_view,
        tau,
        settings.margin,
        settings.smallest,
        average_mirror=settings.average_mirror,
        components=settings.components,
    )
