"""The choice of tau without boxes: by the age error of a small regressor on the crops (the paper's Figure 5a)."""

from __future__ import annotations

import csv
import dataclasses
import io
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
from boneage.progress import say
from boneage.regions import Region
from boneage.training.age.regressor import RegressorLearner
from boneage.training.data.views_data import FromTable, Labelled, RegionsOf, ViewsData, ViewSource
from boneage.training.localization.chain import LocalizerChain, make_step
from boneage.training.localization.regions_table import Finder, Maps, RegionsTable
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.recipes.settings import Augmentation, RegressorSettings, TauSettings, ViewName
from boneage.training.run.fit import fit, steps_per_epoch
from boneage.training.run.hardware import Machine
from boneage.training.run.stage import sha256_of
from boneage.training.run.training_run import TrainingRun
from boneage.views import View

TABLE, FIGURE = "tau.csv", "tau.png"
TOLERANCE: Final = 1.0
"""For regions of several bones; see `pick_tau`."""
_CROPS: Final[Mapping[Region, ViewName]] = {Region.HAND: "H", Region.REGION_1: "R1", Region.REGION_2: "R2"}


@dataclass(frozen=True)
class RandomTau:
    """Regions at a random tau, drawn anew for each case and epoch."""

    tables: Sequence[RegionsTable]

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> Localization:
        which = int(rng.integers(len(self.tables))) if rng is not None else 0
        return self.tables[which][case_id]


def choose_tau(run: TrainingRun, region: Region, network: Path, maps: Maps, chain: LocalizerChain) -> float:
    """Tau of a region, the fraction of the map's maximum at which its box is cut: as set, or searched without boxes."""
    settings = run.settings(region)
    if settings.tau is not None:
        return settings.tau
    tolerance = TOLERANCE if settings.components == "all" else 0.0
    parts = [sha256_of(network), settings, run.recipe.tau, chain.key, *([tolerance] if tolerance else [])]
    stage = run.stage(f"tau-{region.value}", *parts)
    if not stage.complete:
        stage.begin()
        errors = search_tau(
            [*chain.steps, make_step(region, network, settings, tau=0.5)],
            {**chain.maps, region: maps},
            run.finder,
            train=run.training_set.train,
            validation=run.training_set.validation,
            settings=run.recipe.tau,
            folder=stage.folder,
            machine=run.machine,
            seed=run.recipe.seed,
            start=run.recipe.pretrained,
        )
        by_tau = {str(tau): round(float(error.mean()), 4) for tau, error in errors.items()}
        stage.finish(tau=pick_tau(errors, tolerance), validation_error_months=by_tau)
    return float(stage.facts["tau"])


def search_tau(
    localizers: Sequence[Localizer],
    known: Mapping[Region, Maps],
    finder: Finder,
    *,
    train: Sequence[Labelled],
    validation: Sequence[Labelled],
    settings: TauSettings,
    folder: Path,
    machine: Machine,
    seed: int,
    start: str,
) -> dict[float, npt.NDArray[np.float64]]:
    """Measure a small regressor on *validation* for each tau of the grid.

    Args:
        localizers: the chain up to the one that is searched; the tau of the last is replaced.
        known: maps of every region in the chain.
        train, validation: cases; of `train` a random draw of `settings.cases`.
        folder: gets the fit, `tau.csv` and `tau.png`.
        start: starting weights of backbones whose settings name none.

    Returns:
        tau -> absolute errors in months, float64 [cases of *validation*]. With `mode="one_network"` one regressor is
        trained on crops of every tau and measured at each: n times cheaper than `"one_each"`, and the values do not
        differ by the luck of n trainings.
    """
    region = localizers[-1].region
    regressor = dataclasses.replace(settings.regressor, views=(_CROPS[region],))
    sources, squash = [ViewSource(View(_CROPS[region]))], finder.layout == "squash"
    if settings.cases is not None and settings.cases < len(train):
        drawn = np.random.default_rng([seed, 2]).permutation(len(train))[: settings.cases]
        train = [train[int(k)] for k in sorted(drawn)]
    ids = [case.id for case in (*train, *validation)]
    tables = {
        tau: finder.regions([*localizers[:-1], dataclasses.replace(localizers[-1], tau=tau)], ids, known)
        for tau in settings.grid
    }

    def crops_of(cases: Sequence[Labelled], regions_of: RegionsOf, augmentation: Augmentation | None) -> ViewsData:
        return ViewsData(
            images=finder.images,
            cases=cases,
            sources=sources,
            regions_of=regions_of,
            size=regressor.size,
            squash=squash,
            augmentation=augmentation,
            seed=seed,
        )

    def fit_regressor(regions_of: RegionsOf, where: Path, label: str) -> nn.Module:
        torch.manual_seed(seed)
        schedule = dataclasses.replace(regressor.schedule, validate_every=0)
        learner = RegressorLearner(
            AgeRegressor(regressor, start=start),
            regressor,
            seed=seed,
            steps_per_epoch=steps_per_epoch(len(train), schedule, machine),
        )
        learned, measured = crops_of(train, regions_of, regressor.augmentation), crops_of(validation, regions_of, None)
        return fit(learner, learned, validation=measured, folder=where, schedule=schedule, machine=machine, label=label)

    common = None
    if settings.mode == "one_network":
        common = fit_regressor(RandomTau(list(tables.values())), folder, f"tau of {region.value}")
    errors = {}
    for tau, table in tables.items():
        name = f"tau {tau:g} of {region.value}"
        network = common or fit_regressor(FromTable(table), folder / f"{tau:g}", name)
        errors[tau] = absolute_errors(network, regressor, crops_of(validation, FromTable(table), None))
        say(f"{name}: {errors[tau].mean():.2f} months on validation", quiet=not machine.progress)
    _write(folder, region, errors)
    return errors


def pick_tau(errors: Mapping[float, npt.NDArray[np.float64]], tolerance: float = 0.0) -> float:
    """Pick the tau with the smallest mean error; of equals the smallest tau, whose box keeps most.

    Args:
        errors: tau -> absolute errors of the same cases, months, float64 [cases].
        tolerance: a tau counts as equal to the best where its mean error is larger by no more than so many standard
            errors of the difference, paired by case. For regions of several bones: with a rising tau their boxes lose
            one bone after the other along a nearly flat curve, and no later step can bring a lost bone back.
    """
    best = min(sorted(errors), key=lambda tau: float(errors[tau].mean()))

    def is_equal(tau: float) -> bool:
        more, spread = _more_than(errors[tau], errors[best])
        return tau == best or more <= tolerance * spread

    return min(filter(is_equal, errors)) if tolerance else best


def _more_than(errors: npt.NDArray[np.float64], best: npt.NDArray[np.float64]) -> tuple[float, float]:
    """(difference of the means, its standard error), paired by case."""
    more = errors - best
    return float(more.mean()), float(more.std(ddof=1)) / len(more) ** 0.5 if len(more) > 1 else 0.0


def absolute_errors(network: nn.Module, settings: RegressorSettings, data: ViewsData) -> npt.NDArray[np.float64]:
    """Measure a torch regressor: absolute errors in months, float64 [cases]."""
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
    best = errors[pick_tau(errors)]
    for tau, error in errors.items():
        more, spread = _more_than(error, best)
        writer.writerow([region.value, tau, f"{error.mean():.6f}", f"{more:.6f}", f"{spread:.6f}"])
    write_atomically(folder / TABLE, table.getvalue())
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(list(errors), [error.mean() for error in errors.values()], "o-")
    axes.set_xlabel("tau, fraction of the map's maximum")
    axes.set_ylabel("error on validation, months")
    axes.set_title(f"{region.value}: small regressor on the crops")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    write_atomically(folder / FIGURE, picture.getvalue())
