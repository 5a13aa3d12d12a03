"""Phase II: the age network, and its calibration on *validation*."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from boneage.assessor import Assessor
from boneage.errors import UsageError
from boneage.model.folder import Model, load_model
from boneage.pipeline.localization import cut_views
from boneage.progress import say
from boneage.training.age.calibration import COVERAGE, calibrate
from boneage.training.age.regressor import RegressorLearner
from boneage.training.data.views_data import FromTable, ViewsData, ViewSource
from boneage.training.localization.chain import LocalizerChain
from boneage.training.localization.regions_table import RegionsTable
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.export import export_regressor, exported_weights
from boneage.training.recipes.settings import RegressorSettings
from boneage.training.run.stage import Stage
from boneage.training.run.training_run import NETWORK_FILE, TrainingRun
from boneage.views import View


def train_regressor(run: TrainingRun, regions: RegionsTable, chain: LocalizerChain) -> Path:
    """Train and export the age network; returns the exported file."""
    settings, recipe = run.recipe.regressor, run.recipe
    seed = recipe.seed if recipe.regressor_seed is None else recipe.regressor_seed
    start = load_model(recipe.regressor_start) if recipe.regressor_start else None
    stage = run.stage("regressor", settings, chain.key, seed, *([start.sha256] if start else []))
    file = stage.folder / NETWORK_FILE
    if not stage.complete:
        stage.begin()
        torch.manual_seed(seed)
        network = take_over_weights(settings, start) if start else AgeRegressor(settings, start=recipe.pretrained)
        sources = [ViewSource(View(name)) for name in settings.views]
        data = run.data(
            ViewsData,
            sources,
            FromTable(regions),
            size=settings.size,
            augmentation=settings.augmentation,
            seed=seed,
        )
        network = run.fit(
            network,
            lambda network, steps: RegressorLearner(network, settings, seed=seed, steps_per_epoch=steps),
            data,
            stage=stage,
            schedule=settings.schedule,
            label="regressor",
        )
        export_regressor(network, file, views=settings.views, size=settings.size, half=recipe.fp16_weights)
        stage.finish()
    return file


def take_over_weights(settings: RegressorSettings, model: Model) -> AgeRegressor:
    """An age network with the weights of a finished model.

    Raises:
        UsageError: the model has other views, or its network another shape.
    """
    network = AgeRegressor(settings)
    weights = exported_weights(model.regressor.path)
    own = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    views = [view.value for view in model.views]
    same = own.keys() == weights.keys() and all(own[key].shape == weights[key].shape for key in own)
    if not same or views != list(settings.views):
        raise UsageError(
            f"regressor_start: the age network of '{model.name}' (views {', '.join(views)}) has another shape than "
            f"this recipe's (views {', '.join(settings.views)}). Give the recipe and the --set options that trained "
            "it.",
            code="other_network_shape",
        )
    network.load_state_dict(weights, strict=False)
    return network


def calibrate_run(run: TrainingRun, regions: RegionsTable, draft: Model, chain_key: str) -> Stage:
    """Calibrate on *validation* with the assessor that will answer later.

    Args:
        draft: the model without calibration.
        chain_key: of what the regions depend on.

    Returns:
        The complete stage; its facts are `calibration` (of model.json) and `figures` (of metrics.json).
    """
    stage = run.stage("calibration", draft.sha256, chain_key, run.training_set.key)
    if not stage.complete:
        stage.begin()
        cases = run.training_set.validation
        distributions = _distributions(run, Assessor(draft), regions)
        ages, sexes = np.array([case.age_months for case in cases]), [case.sex for case in cases]
        fitted = calibrate(distributions, ages, sexes=sexes, coverage=COVERAGE)
        error = fitted.figures["mae_months"]
        say(f"{error:.2f} months on validation ({len(cases)} cases)", quiet=not run.machine.progress)
        stage.finish(calibration=fitted.entry.model_dump(mode="json"), figures=fitted.figures)
    return stage


def _distributions(run: TrainingRun, assessor: Assessor, regions: RegionsTable) -> npt.NDArray[np.float32]:
    """The answers for *validation*, float32 [n, 240]."""
    model, distributions = assessor.model, []
    for case in run.training_set.validation:
        image = run.training_set.images.image(case.id)
        views = cut_views(
            image, regions[case.id], views=model.views, size=model.regressor.input_size, squash=run.squash
        )
        distributions.append(assessor.age_network.answer(views, case.sex).distribution)
    return np.stack(distributions)
