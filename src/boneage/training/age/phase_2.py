"""Phase II: the age regressor, its calibration on *validation*, and the model folder."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from boneage.assessor import Assessor
from boneage.errors import UsageError
from boneage.evaluation.bootstrap import figure
from boneage.model.by_age import PLAIN_TAIL
from boneage.model.document import GateSettings
from boneage.model.folder import Model, Network, load_model
from boneage.model.writing import write_model
from boneage.pipeline.localization import cut_views
from boneage.training.age.calibration import COVERAGE, calibrated, spread_months
from boneage.training.age.regressor import RegressorLearner
from boneage.training.data.views_data import FromTable, ViewsData, ViewSource
from boneage.training.localization.phase_1 import LocalizerChain, origin_of
from boneage.training.localization.regions_table import RegionsTable
from boneage.training.networks.export import export_regressor, exported_weights
from boneage.training.networks.networks import AgeRegressor
from boneage.training.recipes.settings import RegressorSettings
from boneage.training.run.stage import sha256_of
from boneage.training.run.training_run import NETWORK_FILE, TrainingRun
from boneage.views import View

MODEL_FOLDER = "model"
SPLIT_RULE = "int(sha256(id), 16) % 100: test < 10, validation 10..14, train the rest; an official split wins"


def train_regressor(run: TrainingRun, regions: RegionsTable, chain: LocalizerChain) -> Path:
    """Train and export the age regressor; returns the exported network."""
    settings, recipe = run.recipe.regressor, run.recipe
    seed = recipe.seed if recipe.regressor_seed is None else recipe.regressor_seed
    start = load_model(recipe.regressor_start) if recipe.regressor_start else None
    stage = run.stage("regressor", settings, chain.key, seed, *([start.sha256] if start else []))
    file = stage.folder / NETWORK_FILE
    if not stage.complete:
        stage.begin()
        torch.manual_seed(seed)
        network = continuing(settings, start) if start else AgeRegressor(settings, start=recipe.pretrained)
        sources = [ViewSource(View(name)) for name in settings.views]
        data = run.data(ViewsData, sources, FromTable(regions), settings.size, settings.augmentation, seed=seed)
        network = run.fitted(
            network,
            lambda network, steps: RegressorLearner(network, settings, seed=seed, steps_per_epoch=steps),
            data,
            stage,
            settings.schedule,
            "regressor",
        )
        export_regressor(network, file, settings.views, settings.size, half=recipe.fp16_weights)
        stage.finish()
    return file


def continuing(settings: RegressorSettings, model: Model) -> AgeRegressor:
    """A regressor with the weights of a finished model's.

    Raises:
        UsageError: that one has other views, or another shape.
    """
    network = AgeRegressor(settings)
    weights = exported_weights(model.regressor.path)
    own = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    views = [view.value for view in model.views]
    same = own.keys() == weights.keys() and all(own[key].shape == weights[key].shape for key in own)
    if not same or views != list(settings.views):
        raise UsageError(
            f"regressor_start: the age network of '{model.name}' (views {', '.join(views)}) has another shape than "
            f"this recipe's (views {', '.join(settings.views)}). Give the recipe and the --set options that trained it."
        )
    network.load_state_dict(weights, strict=False)
    return network


def calibrated_model(
    run: TrainingRun,
    regions: RegionsTable,
    regressor: Path,
    chain: LocalizerChain,
    gate: tuple[Network, GateSettings] | None = None,
) -> Path:
    """Calibrate on *validation* with the assessor that will answer later, and write the model folder."""
    target = run.out / MODEL_FOLDER
    guarded = [sha256_of(gate[0].path), gate[1]] if gate else []
    learnt = _without_paths(dataclasses.asdict(run.recipe)), run.training_set.name, run.training_set.terms
    stage = run.stage("calibration", sha256_of(regressor), chain.key, *learnt, *guarded)
    if stage.complete and (target / "model.json").is_file():
        return target
    stage.begin()
    networks = {**{step.network.name: step.network.path for step in chain.steps}, "regressor": regressor}
    document = _document(run, chain)
    if gate is not None:
        network, thresholds = gate
        networks[network.name] = network.path
        document["networks"][network.name] = {"input_size": network.input_size}
        document["gate"] = dataclasses.asdict(thresholds)
    draft = write_model(stage.folder / "draft", document, networks, replace=True)
    errors, distributions = _answers(run, Assessor(load_model(draft)), regions)
    if run.recipe.regressor.scalar:
        document["scalar_sd_months"] = spread_months(errors)
        draft = write_model(draft, document, networks, replace=True)
        errors, distributions = _answers(run, Assessor(load_model(draft)), regions)
    ages = np.array([case.age_months for case in run.training_set.validation])
    sexes = [case.sex for case in run.training_set.validation]
    calibration = calibrated(distributions, ages, sexes, COVERAGE)
    document["calibration"] = calibration.as_json()
    errors = calibration.corrected_months
    mae, bias = float(np.abs(errors).mean()), float(errors.mean())
    document["metrics"] = {
        "select": {
            "mae_months": round(mae, 3),
            "mae_interval_95": figure(np.abs(errors)).as_dict()["interval_95"],
            "bias_months": round(bias, 3),
            "bias_interval_95": figure(errors).as_dict()["interval_95"],
            "cases": len(errors),
        }
    }
    write_model(target, document, networks, replace=True)
    if run.machine.progress:
        print(f"{target}: {mae:.2f} months on select ({len(errors)} cases)", file=sys.stderr, flush=True)
    stage.finish(metrics=document["metrics"], calibration=document["calibration"])
    return target


def _answers(
    run: TrainingRun, assessor: Assessor, regions: RegionsTable
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Errors float64 [n] in months, and distributions float32 [n, 240], of *validation*."""
    model, distributions, errors = assessor.model, [], []
    for case in run.training_set.validation:
        image = run.training_set.images.image(case.id)
        views = cut_views(image, regions[case.id], model.views, model.regressor.input_size, squash=run.squash)
        answer = assessor.age_network.answer(views, case.sex)
        distributions.append(answer.distribution)
        errors.append(answer.bone_age_months - case.age_months)
    return np.array(errors), np.stack(distributions)


def _document(run: TrainingRun, chain: LocalizerChain) -> dict[str, Any]:
    recipe, regressor, training_set = run.recipe, run.recipe.regressor, run.training_set
    origin = origin_of(load_model(recipe.regressor_start)) if recipe.regressor_start else {}
    sizes = {step.network.name: step.network.input_size for step in chain.steps} | {"regressor": regressor.size}
    return {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": recipe.name,
        "image_short_side": recipe.image_short_side,
        "layout": recipe.layout,
        "networks": {name: {"input_size": size} for name, size in sizes.items()},
        "localizers": [
            {
                "region": step.region.value,
                "network": step.network.name,
                "output": step.output,
                "input_view": step.input_view,
                "tau": step.tau,
                "margin": step.margin,
                "average_mirror": step.average_mirror,
                "smallest": step.smallest,
                "components": step.components,
            }
            for step in chain.steps
        ],
        "views": list(regressor.views),
        "average_mirror": regressor.average_mirror,
        "sex_input": bool(regressor.sex),
        "scalar": regressor.scalar,
        "scalar_sd_months": regressor.label_sd,
        "calibration": {"tail": PLAIN_TAIL},
        "phantom_trained": training_set.phantom
        or bool(chain.origin.get("phantom_trained") or origin.get("phantom_trained")),
        "training_data": {
            "name": training_set.name,
            "cases": len(training_set.train),
            "terms": training_set.terms or "not stated",
            "split_rule": SPLIT_RULE,
        },
        "settings": _without_paths(dataclasses.asdict(recipe)),
        **({"localizers_of": dict(chain.origin)} if chain.origin else {}),
        **({"regressor_of": origin} if origin else {}),
    }


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for provenance; a local file's folder is nobody's business."""
    return {
        key: _without_paths(value)
        if isinstance(value, dict)
        else Path(value).name
        if key in ("pretrained", "localizers", "regressor_start") and value and not value.startswith("hf-hub:")
        else value
        for key, value in settings.items()
    }
