"""The story of a training: data set -> localizers -> regions -> regressor -> calibration -> model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from boneage.errors import OutputError, UsageError
from boneage.regions import Region
from boneage.training.age.model_parts import MODEL_FOLDER, ModelParts
from boneage.training.age.phase_2 import calibrate_run, train_regressor
from boneage.training.data.training_set import TrainingSet, decode
from boneage.training.gate.stage import take_over_gate, train_gate
from boneage.training.heads.regional import check_sexes, fit_regional_heads_of_run
from boneage.training.heads.similar_cases import index_run
from boneage.training.localization.chain import LocalizerChain, take_over_localizers
from boneage.training.localization.distillation import distil
from boneage.training.localization.locate import locate_all
from boneage.training.localization.phase_1 import train_localizer
from boneage.training.localization.regions_table import RegionsTable
from boneage.training.recipes.recipe import Recipe
from boneage.training.run.hardware import Machine, keep_freed_memory
from boneage.training.run.training_run import TrainingRun

if TYPE_CHECKING:
    from boneage.datasets import Dataset


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
        cache: folder of the decoded images; several trainings may share one. `out/images` if left out.
        terms: of the data set, for the model's provenance.
        index: also index the training cases, `out/index.npz`; see `boneage.pipeline.similar_cases`.

    Returns:
        The model folder.

    Raises:
        UsageError: `out` is not empty and `resume` is not set, or the recipe contradicts itself.
        DatasetError: more than 5 % of the data set had to be dropped.
        OutputError: `out` cannot be written.
        TrainingError: a network cannot be started or trained.
    """
    machine = machine or Machine()
    recipe.check()
    check_out(out, resume=resume)
    training_set = decode(
        recipe,
        dataset,
        folder=cache or out / "images",
        report=out / "dropped.csv",
        terms=terms,
        progress=machine.progress,
    )
    return train_on(recipe, training_set, out=out, machine=machine, index=index)


def train_on(recipe: Recipe, training_set: TrainingSet, out: Path, machine: Machine, *, index: bool = False) -> Path:
    """Train a model on decoded images, from where `out` stands; see `train`."""
    if recipe.regional_heads:
        check_sexes(training_set)
    run, chain, regions = find_regions(recipe, training_set, out=out, machine=machine)
    gate = take_over_gate(recipe.localizers, recipe.gate) if recipe.localizers and recipe.gate else None
    if gate is None and recipe.gate:
        gate = train_gate(run, recipe.gate, regions=regions, key=chain.key)
    regressor = train_regressor(run, regions, chain)
    parts = ModelParts.of_run(run, chain, regressor=regressor, gate=gate)
    calibration = calibrate_run(run, regions, draft=parts.draft(), chain_key=chain.key).facts
    parts.add_calibration(calibration["calibration"], calibration["figures"])
    if recipe.regional_heads:
        fit_regional_heads_of_run(run, regions, parts.draft()).add_to(parts)
    model = parts.write(out / MODEL_FOLDER)
    if index:
        index_run(run, regions, model)
    return model


def find_regions(
    recipe: Recipe, training_set: TrainingSet, out: Path, machine: Machine
) -> tuple[TrainingRun, LocalizerChain, RegionsTable]:
    """Phase I: train the localizers from ages alone, or take those of a model, and find the regions of every image.

    The recipe decides whether a step is taken, and in which view each localizer looks for its region.

    Returns:
        The run on the whole training set, the localizers of the model, and the regions of every image.
    """
    recipe.check()
    if not machine.uses_gpu:
        keep_freed_memory()
    run = TrainingRun(recipe=recipe, training_set=training_set, out=out, machine=machine)
    few = run.thin(recipe.phase_1_cases)
    if recipe.localizers:
        chain = take_over_localizers(few, recipe.localizers)
    else:
        chain = LocalizerChain(few.root_key)
        chain = train_localizer(few, Region.HAND, chain)  # paper: on the whole image
        chain = train_localizer(few, Region.REGION_1, chain)  # paper: on the whole image; compact: on the hand
        chain = train_localizer(few, Region.REGION_2, chain)  # paper: on the image with region 1 erased
        chain = distil(few, chain)
    chain = chain.for_images(run)
    return run, chain, locate_all(run, chain)


def check_out(out: Path, *, resume: bool) -> None:
    """Raise UsageError where `out` is not empty and not resumed, OutputError where it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        empty = not any(out.iterdir())
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror}). Choose another folder for --out.", code="unwritable_folder"
        ) from error
    if not resume and not empty:
        raise UsageError(f"{out}: is not empty. Go on with --resume, or name a new folder.", code="folder_not_empty")
