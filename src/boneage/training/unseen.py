"""What age networks say of films: as targets for one that goes on learning, and of films that were left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from boneage.errors import TrainingError, UsageError
from boneage.files import replacing
from boneage.training.calibration import Answered
from boneage.training.networks import AgeRegressor
from boneage.training.phase_1 import Chain
from boneage.training.regions_table import RegionsTable
from boneage.training.regressor import RegressorLearner, SteadyData
from boneage.training.settings import FoldSettings, RegressorSettings
from boneage.training.views_data import Example, FromTable, Labelled, ViewsData, ViewSource
from boneage.training.workshop import Workshop
from boneage.views import View

_ANSWERS = "answers.npz"


def check_folds(folds: FoldSettings, cases: int) -> None:
    """Raise UsageError where so many training cases cannot be left out in so many parts."""
    if not 2 <= folds.count <= cases // 2:
        raise UsageError(
            f"folds.count={folds.count} with {cases} training cases: take from 2 to half as many as there are, or set "
            "folds=none."
        )


def unseen_answers(shop: Workshop, regions: RegionsTable, chain: Chain, folds: FoldSettings) -> Answered:
    """Train `folds.count` age networks, each without its part of the training films, and ask it about that part.

    Every part is a stage of its own, so that a stopped training goes on where it was.

    Raises:
        TrainingError: a kept file is damaged.
    """
    train, seed = shop.material.train, shop.recipe.seed
    settings = folds.regressor
    part_of = np.random.default_rng([seed, 4]).permutation(len(train)) % folds.count
    distributions = np.zeros((len(train), 240), dtype=np.float32)
    for part in range(folds.count):
        stage = shop.stage(f"fold-{part}", settings, folds.count, chain.key, seed)
        file = stage.folder / _ANSWERS
        out = [case for case, of in zip(train, part_of, strict=True) if of == part]
        if not stage.complete:
            stage.begin()
            rest = tuple(case for case, of in zip(train, part_of, strict=True) if of != part)
            bench = Workshop(shop.recipe, dataclasses.replace(shop.material, train=rest), shop.out, shop.machine)
            torch.manual_seed(seed)
            network = bench.fitted(
                AgeRegressor(settings, start=shop.recipe.pretrained),
                lambda network, steps: RegressorLearner(network, settings, seed=seed, steps_per_epoch=steps),
                bench.data(
                    ViewsData, _sources(settings), FromTable(regions), settings.size, settings.jitter,
                    seed=seed, blank=settings.erase,
                ),
                stage,
                settings.schedule,
                f"without part {part + 1} of {folds.count}",
            )  # fmt: skip
            with replacing(file) as waiting, waiting.open("wb") as stream:
                np.savez_compressed(stream, distributions=answers_of(shop, network, settings, out, regions))
            stage.finish(cases=len(out))
        distributions[part_of == part] = _kept(file, len(out))
    return Answered(distributions, np.array([case.age_months for case in train]), [case.sex for case in train])


def steady_data(
    shop: Workshop, start: AgeRegressor, settings: RegressorSettings, regions: RegionsTable, folder: Path, seed: int
) -> tuple[SteadyData, SteadyData]:
    """Training and selection views for a network that is held to what `start` says of the plain training films.

    Args:
        folder: of the stage; the answers are kept there, so that a resumed training has the same.
    """
    data = shop.data(
        SteadyData, _sources(settings), FromTable(regions), settings.size, settings.jitter,
        seed=seed, blank=settings.erase,
    )  # fmt: skip
    file, train = folder / _ANSWERS, shop.material.train
    if not file.is_file():
        with replacing(file) as waiting, waiting.open("wb") as stream:
            np.savez_compressed(stream, distributions=answers_of(shop, start, settings, train, regions))
    data[0].answers = _kept(file, len(train))
    return data


def answers_of(
    shop: Workshop,
    network: AgeRegressor,
    settings: RegressorSettings,
    cases: list[Labelled] | tuple[Labelled, ...],
    regions: RegionsTable,
) -> npt.NDArray[np.float32]:
    """Distributions float32 [n, 240] over months 1..240 on plain views, averaged with those of the mirror images."""
    data = ViewsData(
        shop.material.films, cases, _sources(settings), FromTable(regions), settings.size, squash=shop.squash
    )
    device = "cuda" if shop.machine.uses_gpu else "cpu"
    learns = network.training
    network.eval().to(device)
    rows = []
    with torch.inference_mode():
        for batch in DataLoader(data, batch_size=64, num_workers=shop.machine.workers):
            views, _, sex, _ = Example(*(part.to(device) for part in batch))
            looks = (views, views.flip(3)) if settings.average_mirror else (views,)
            rows.append(torch.stack([torch.softmax(network(look, sex).float(), dim=1) for look in looks]).mean(0).cpu())
    network.cpu().train(learns)
    return torch.cat(rows).numpy()


def _sources(settings: RegressorSettings) -> list[ViewSource]:
    return [ViewSource(View(name)) for name in settings.views]


def _kept(file: Path, count: int) -> npt.NDArray[np.float32]:
    try:
        with np.load(file) as stored:
            distributions = np.asarray(stored["distributions"], dtype=np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{file}: cannot be read ({error}). Remove {file.parent} and go on with --resume."
        ) from error
    if distributions.shape != (count, 240):
        raise TrainingError(f"{file}: holds other cases. Remove {file.parent} and go on with --resume.")
    return distributions


__all__ = ["answers_of", "check_folds", "steady_data", "unseen_answers"]
