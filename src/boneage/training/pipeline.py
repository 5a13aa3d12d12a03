"""The story of a training: data set -> localizers -> regions table -> regressor -> calibration -> model folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from boneage.errors import OutputError, UsageError
from boneage.regions import Region
from boneage.training.age.model_parts import MODEL_FOLDER, ModelParts
from boneage.training.age.phase_2 import calibrate_run, train_regressor
from boneage.training.data.training_set import TrainingSet, decoded
from boneage.training.gate.stage import take_over_gate, train_gate
from boneage.training.heads.regional import check_sexes, fit_regional_heads_of_run
from boneage.training.heads.similar_cases import index_run
from boneage.training.localization.phase_1 import (
    LocalizerChain,
    attention_maps,
    choose_tau,
    distilled,
    lengthened,
    regions_of_all,
    taken_over,
    train_localizer,
    with_prior,
)
from boneage.training.localization.regions_table import RegionsTable
from boneage.training.networks.networks import check_start
from boneage.training.recipes.settings import Augmentation, Backbone, Recipe, needed_regions
from boneage.training.run.hardware import Machine, keep_freed_memory
from boneage.training.run.training_run import TrainingRun

if TYPE_CHECKING:
    from boneage.datasets import Dataset

Group = TypeVar("Group", Backbone, Augmentation)


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    machine: Machine | None = None,
    *,
    resume: bool = False,
    cache: Path | None = None,
    terms: str = "",
    index: bool = False,
) -> Path:
    """Train a model on a data set.

    Args:
        recipe: what to train.
        dataset: as `boneage.datasets.read_dataset` gives it; the *test* split is never touched.
        out: gets one folder a stage, and the model in `out/model`.
        machine: devices, workers, precision.
        resume: go on in a folder that is not empty. Complete stages are not run again unless their settings changed.
        films: folder of the decoded films; several trainings may share one. `out/images` if left out.
        terms: of the data set, for the model's provenance.
        index: also make an index of the training cases, `out/index.npz`; see `boneage.pipeline.similar_cases`.

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
    training_set = decoded(
        recipe, dataset, cache or out / "images", out / "dropped.csv", terms=terms, progress=machine.progress
    )
    return train_on(recipe, training_set, out, machine, index=index)


def train_on(recipe: Recipe, training_set: TrainingSet, out: Path, machine: Machine, *, index: bool = False) -> Path:
    """The whole training on decoded films, from where `out` stands; see `train`."""
    if recipe.regional_heads:
        check_sexes(training_set)
    run, chain, regions = localized(recipe, training_set, out, machine)
    gate = take_over_gate(recipe.localizers, recipe.gate) if recipe.localizers and recipe.gate else None
    if gate is None and recipe.gate:
        gate = train_gate(run, recipe.gate, regions, chain.key)
    regressor = train_regressor(run, regions, chain)
    parts = ModelParts.of_run(run, chain, regressor, gate)
    calibration = calibrate_run(run, regions, parts.draft(), chain.key).facts
    parts.add_calibration(calibration["calibration"], calibration["figures"])
    if recipe.regional_heads:
        fit_regional_heads_of_run(run, regions, parts.draft()).add_to(parts)
    model = parts.write(out / MODEL_FOLDER)
    if index:
        index_run(run, regions, model)
    return model


def localized(
    recipe: Recipe, training_set: TrainingSet, out: Path, machine: Machine
) -> tuple[TrainingRun, LocalizerChain, RegionsTable]:
    """Phase I alone: the workshop of all films, the localizers, and the regions of every film of the material."""
    check(recipe)
    if not machine.uses_gpu:
        keep_freed_memory()
    run = TrainingRun(recipe, training_set.thinned(recipe.phase_1_cases, recipe.seed), out, machine)
    chain = taken_over(run, recipe.localizers) if recipe.localizers else LocalizerChain(run.root_key)
    for region in (
        () if recipe.localizers else run.regions
    ):  # hand; region 1; region 2, in the paper on the film with region 1 erased
        network = train_localizer(run, region, chain)
        if run.settings(region).prior:
            network = with_prior(run, region, network, chain)
        maps = attention_maps(run, region, network, chain)
        tau = choose_tau(run, region, network, maps, chain)
        chain = lengthened(run, chain, region, network, maps, tau)
    if recipe.student and not recipe.localizers:
        chain = distilled(run, chain)
    run = TrainingRun(recipe, training_set, out, machine)
    chain = chain.for_images(run)
    return run, chain, regions_of_all(run, chain)


def check(recipe: Recipe) -> None:
    """Refuse what cannot be trained, before anything that is there is taken for another recipe's.

    Raises:
        UsageError: views or looks need a region that nothing finds before, or settings contradict each other.
        TrainingError: starting weights are not there.
    """
    for start in (recipe.pretrained, *(backbone.pretrained for backbone in _nested(recipe, Backbone))):
        if start is not None:
            check_start(start)
    known: set[Region] = set(Region) if recipe.localizers else set()
    for region in Region:
        if region.value not in recipe.regions:
            continue
        input_view = getattr(recipe, region.value).input_view
        if not needed_regions(input_view) <= known:
            missing = " and ".join(sorted(needed_regions(input_view) - known))
            raise UsageError(f"{region.value}.looks_at={input_view} needs {missing} to be found before.")
        if getattr(recipe, region.value).prior and input_view != "H":
            raise UsageError(f"{region.value}.prior=true needs {region.value}.looks_at=H, not {input_view}.")
        known.add(region)
    if recipe.region_2.shares and recipe.region_2.size != recipe.region_1.size:
        raise UsageError("region_2.shares=region_1 needs region_2.size to be region_1.size: it is one network.")
    for group in _nested(recipe, Augmentation):
        if not (0.0 <= group.degrade <= 1.0 and 0.0 <= group.jpeg <= 1.0):
            raise UsageError(f"jitter.degrade={group.degrade:g}, jitter.jpeg={group.jpeg:g}: chances are from 0 to 1.")
    if recipe.regressor.scalar:
        raise UsageError(
            "regressor.scalar=true: a network of one number does not become a model; `boneage reproduce` measures such "
            "networks. Set regressor.scalar=false.",
            code="scalar_regressor",
        )
    if not recipe.regressor.views:
        raise UsageError("regressor.views is empty. Name at least one of O, H, R1, R2, E, HE, R2E.")
    for view in recipe.regressor.views:
        if not needed_regions(view) <= known:
            raise UsageError(f"regressor.views holds {view}, but regions={','.join(recipe.regions) or 'none'}.")
    if recipe.gate and Region.REGION_1 not in known:
        raise UsageError("gate: films are cut off at region 1 to train it, but region_1 is not found. Set gate=none.")
    if recipe.gate and not 0.0 <= recipe.gate.refused < 1.0:
        raise UsageError(f"gate.refused is a share from 0 to under 1, not {recipe.gate.refused:g}.")
    sees = recipe.regressor
    if recipe.regional_heads and (
        sees.fusion != "shared" or sees.merge != "concat" or "R1" not in sees.views or len(known) < len(Region)
    ):
        raise UsageError(
            "regional_heads=true needs all three regions, R1 among regressor.views, regressor.fusion=shared and "
            "regressor.merge=concat: the age network has to look at region 1 by itself. Set regional_heads=false."
        )
    if recipe.student and len(known) < len(Region):
        raise UsageError("student=true needs all three regions.")


def _nested(settings: object, kind: type[Group]) -> Iterator[Group]:
    """All groups of a kind within a group of settings."""
    if isinstance(settings, kind):
        yield settings
    elif dataclasses.is_dataclass(settings):
        for field in dataclasses.fields(settings):
            yield from _nested(getattr(settings, field.name), kind)


def check_out(out: Path, *, resume: bool) -> None:
    """Raise UsageError where `out` holds something and is not resumed, OutputError where it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        empty = not any(out.iterdir())
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}). Choose another folder for --out.") from error
    if not resume and not empty:
        raise UsageError(f"{out}: is not empty. Go on with --resume, or name a new folder.")
