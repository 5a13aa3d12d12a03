"""What a finished age network says of the plain training films, for one that is held to it on worse looks at them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from boneage.ages import MONTHS
from boneage.atomic import replacing
from boneage.training.age.regressor import SteadyData
from boneage.training.data.views_data import Example, FromTable, Labelled, ViewsData, ViewSource
from boneage.training.localization.regions_table import RegionsTable
from boneage.training.networks.networks import AgeRegressor
from boneage.training.recipes.settings import RegressorSettings
from boneage.training.run.training_run import TrainingRun
from boneage.views import View

_ANSWERS = "answers.npy"


def steady_data(
    run: TrainingRun, start: AgeRegressor, settings: RegressorSettings, regions: RegionsTable, folder: Path, seed: int
) -> tuple[SteadyData, SteadyData]:
    """Training and selection views for a network that is held to what `start` says of the plain training films.

    Args:
        folder: of the stage; the answers are kept there, so that a resumed training need not ask again.

    Returns:
        (training, selection); `targets` of the training views is float32 [240], the distribution that `start` gives.
    """
    sources = [ViewSource(View(name)) for name in settings.views]
    data = run.data(
        SteadyData, sources, FromTable(regions), settings.size, settings.augmentation, seed=seed, blank=settings.erase
    )
    file, train = folder / _ANSWERS, run.training_set.train
    answers = _kept(file, len(train))
    if answers is None:
        if run.machine.progress:
            print(f"asking the start about {len(train)} plain films", file=sys.stderr, flush=True)
        answers = answers_of(run, start, settings, train, regions)
        with replacing(file) as waiting, waiting.open("wb") as stream:
            np.save(stream, answers)
    data[0].answers = answers
    return data


def answers_of(
    run: TrainingRun,
    network: AgeRegressor,
    settings: RegressorSettings,
    cases: Sequence[Labelled],
    regions: RegionsTable,
) -> npt.NDArray[np.float32]:
    """Distributions float32 [n, 240] over months 1..240 on plain views, averaged with those of the mirror images."""
    sources = [ViewSource(View(name)) for name in settings.views]
    data = ViewsData(run.training_set.images, cases, sources, FromTable(regions), settings.size, squash=run.squash)
    device = "cuda" if run.machine.uses_gpu else "cpu"
    learns = network.training
    network.eval().to(device)
    rows = []
    with torch.inference_mode():
        for batch in DataLoader(data, batch_size=settings.schedule.batch, num_workers=run.machine.workers):
            views, _, sex, _ = Example(*(part.to(device) for part in batch))
            looks = (views, views.flip(3)) if settings.average_mirror else (views,)
            rows.append(torch.stack([torch.softmax(network(look, sex).float(), dim=1) for look in looks]).mean(0).cpu())
    network.cpu().train(learns)
    return torch.cat(rows).numpy()


def _kept(file: Path, count: int) -> npt.NDArray[np.float32] | None:
    """What was kept; None where nothing is, or nothing that can be used: it is asked again."""
    try:
        answers = np.load(file)
    except (OSError, ValueError, EOFError):
        return None
    return answers if answers.dtype == np.float32 and answers.shape == (count, len(MONTHS)) else None


__all__ = ["answers_of", "steady_data"]
