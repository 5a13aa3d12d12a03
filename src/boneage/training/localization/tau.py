"""Choosing tau without boxes: the age error of a small regressor on the crops (the paper's Figure 5a)."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader

from boneage.atomic import write_atomically
from boneage.model.folder import Localizer
from boneage.pipeline.localization import Localization
from boneage.regions import Region
from boneage.training.age.regressor import RegressorLearner
from boneage.training.data.views_data import FromTable, Labelled, RegionsOf, ViewsData, ViewSource
from boneage.training.localization.regions_table import Finder, Maps, RegionsTable
from boneage.training.networks.networks import AgeRegressor
from boneage.training.recipes.settings import RegressorSettings, TauSettings, ViewName
from boneage.training.run.fit import fit, steps_per_epoch
from boneage.training.run.hardware import Machine
from boneage.views import View

TABLE, FIGURE = "tau.csv", "tau.png"
TOLERANCE: Final = 1.0
"""For regions of several bones; see `chosen`."""
_CROPS: Final[Mapping[Region, ViewName]] = {Region.HAND: "H", Region.REGION_1: "R1", Region.REGION_2: "R2"}


@dataclass(frozen=True)
class RandomTau:
    """The regions at a tau drawn at random, for each case and epoch anew."""

    tables: Sequence[RegionsTable]

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> Localization:
        which = int(rng.integers(len(self.tables))) if rng is not None else 0
        return self.tables[which][case_id]


def search_tau(
    localizers: Sequence[Localizer],
    known: Mapping[Region, Maps],
    finder: Finder,
    train: Sequence[Labelled],
    validation: Sequence[Labelled],
    settings: TauSettings,
    folder: Path,
    machine: Machine,
    *,
    seed: int,
    start: str,
) -> dict[float, npt.NDArray[np.float64]]:
    """The errors on *validation* for each tau of the grid.

    Args:
        localizers: the chain up to the one that is searched; the tau of the last is replaced.
        known: maps of every region in the chain.
        train, select: cases; of `train` the first `settings.cases` in a random order.
        folder: gets the fit, `tau.csv` and `tau.png`.
        start: where backbones start that do not say it.

    Returns:
        tau -> absolute errors of the small regressor, months, float64 [cases of *validation*]. With
        `mode="one_network"` one regressor, trained on crops of all tau, is asked at each tau: n times cheaper, and no
        luck of n trainings between the values.
    """
    region = localizers[-1].region
    if settings.cases is not None and settings.cases < len(train):
        chosen = np.random.default_rng([seed, 2]).permutation(len(train))[: settings.cases]
        train = [train[int(k)] for k in sorted(chosen)]
    ids = [case.id for case in (*train, *validation)]
    tables = {}
    for tau in settings.grid:
        chain = [*localizers[:-1], dataclasses.replace(localizers[-1], tau=tau)]
        tables[tau] = finder.regions(chain, ids, known)
    regressor = dataclasses.replace(settings.regressor, views=(_CROPS[region],))
    squash = finder.layout == "squash"

    def learnt(regions_of: RegionsOf, where: Path, label: str) -> nn.Module:
        torch.manual_seed(seed)
        network = AgeRegressor(regressor, start=start)
        schedule = dataclasses.replace(regressor.schedule, validate_every=0)
        learner = RegressorLearner(
            network, regressor, seed=seed, steps_per_epoch=steps_per_epoch(len(train), schedule, machine)
        )
        sources = [ViewSource(View(_CROPS[region]))]
        data = ViewsData(
            finder.images,
            train,
            sources,
            regions_of,
            regressor.size,
            squash=squash,
            augmentation=regressor.augmentation,
            seed=seed,
        )
        measured = ViewsData(finder.images, validation, sources, regions_of, regressor.size, squash=squash)
        return fit(learner, data, measured, where, schedule, machine, label)

    errors = {}
    shared = None
    if settings.mode == "one_network":
        shared = learnt(RandomTau(list(tables.values())), folder, f"tau of {region.value}")
    for tau, table in tables.items():
        network = shared or learnt(FromTable(table), folder / f"{tau:g}", f"tau {tau:g} of {region.value}")
        data = ViewsData(
            finder.images,
            validation,
            [ViewSource(View(_CROPS[region]))],
            FromTable(table),
            regressor.size,
            squash=squash,
        )
        errors[tau] = absolute_errors(network, regressor, data)
        if machine.progress:
            print(
                f"tau {tau:g} of {region.value}: {errors[tau].mean():.2f} months on select", file=sys.stderr, flush=True
            )
    _write(folder, region, errors)
    return errors


def chosen(errors: Mapping[float, npt.NDArray[np.float64]], tolerance: float = 0.0) -> float:
    """The tau with the smallest mean error; of equals the smallest tau, which keeps most.

    Args:
        errors: tau -> absolute errors of the same cases, months, float64 [cases].
        tolerance: a tau counts as equal to the best where its mean error is larger by no more than so many standard
            errors of the difference, paired by case. For regions of several bones: their boxes shrink bone by bone
            along a nearly flat curve, and a bone that is cut off is lost to all that follows.
    """
    best = min(sorted(errors), key=lambda tau: float(errors[tau].mean()))

    def equal(tau: float) -> bool:
        more, spread = _more_than(errors[tau], errors[best])
        return tau == best or more <= tolerance * spread

    return min(filter(equal, errors)) if tolerance else best


def _more_than(errors: npt.NDArray[np.float64], best: npt.NDArray[np.float64]) -> tuple[float, float]:
    """By how much the mean is larger, and the standard error of that, paired by case."""
    more = errors - best
    return float(more.mean()), float(more.std(ddof=1)) / len(more) ** 0.5 if len(more) > 1 else 0.0


def absolute_errors(network: nn.Module, settings: RegressorSettings, data: ViewsData) -> npt.NDArray[np.float64]:
    """Absolute errors of a torch regressor, months, float64 [cases]."""
    assert isinstance(network, AgeRegressor)
    learner = RegressorLearner(network, settings, seed=0, steps_per_epoch=1)
    with torch.inference_mode():
        errors = [learner.error(network.eval(), batch) for batch in DataLoader(data, batch_size=64)]
    return torch.cat(errors).double().numpy()


def _write(folder: Path, region: Region, errors: Mapping[float, npt.NDArray[np.float64]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["region", "tau", "validation_error_months", "more_than_best", "its_standard_error"])
    best = errors[chosen(errors)]
    for tau, error in errors.items():
        more, spread = _more_than(error, best)
        writer.writerow([region.value, tau, f"{error.mean():.6f}", f"{more:.6f}", f"{spread:.6f}"])
    write_atomically(folder / TABLE, table.getvalue())
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(list(errors), [error.mean() for error in errors.values()], "o-")
    axes.set_xlabel("tau, fraction of the map's maximum")
    axes.set_ylabel("error on select, months")
    axes.set_title(f"{region.value}: small regressor on the crops")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    write_atomically(folder / FIGURE, picture.getvalue())
