"""Figure 5: MAE over tau (5a) and over lambda (5b), from the hand alone and from region 1 alone.

Command:  boneage reproduce figure5 --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    tau from .1 to .5 moves the error by .4 months at most; the error falls with lambda all the way to 5
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.evaluation.bootstrap import figure
from boneage.regions import Region
from boneage.research.age_cells import AgeCell
from boneage.research.compare import Report, Row, compare, note_on_maps, start_result
from boneage.research.results import MAE, Line, Result
from boneage.research.runner import ExperimentRunner
from boneage.training.localization.tau import search_tau
from boneage.training.run.stage import start_key

LAMBDAS: Final = (0.0, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


def run(runner: ExperimentRunner, report: Report) -> None:
    _sweep_tau(runner, report)
    _sweep_lambda(runner, report)


def _sweep_tau(runner: ExperimentRunner, report: Report) -> None:
    search = runner.recipe.tau
    networks = (
        "One network for all tau of a region, trained on crops at a tau drawn at random."
        if search.mode == "one_network"
        else "One network for each tau."
    )
    result = Result(
        name="figure5-tau",
        title="Figure 5a: MAE over tau",
        setting=runner.describe(search.regressor.size, search.regressor.schedule.epochs, search.cases),
        columns=("region", "tau, fraction of the map's maximum"),
        lines=(),
        measures=(MAE,),
        notes=(networks, *note_on_maps(runner)),
        curve="linear",
    )
    for region in (Region.HAND, Region.REGION_1):
        lines = [
            Line((region.value, f"{tau:g}"), {MAE: figure(errors, seed=runner.seed)})
            for tau, errors in _measure_at_tau(runner, region).items()
        ]
        result = replace(result, lines=(*result.lines, *lines))
        report(result)


def _sweep_lambda(runner: ExperimentRunner, report: Report) -> None:
    age = runner.scale.age
    rows = [
        Row(
            (view, f"{weight:g}"),
            AgeCell(f"lambda {weight:g} on {view}", replace(age, views=(view,), kl_weight=weight)),
        )
        for view in ("H", "R1")
        for weight in LAMBDAS
    ]
    result = start_result(runner, "figure5-lambda", title="Figure 5b: MAE over lambda", columns=("view", "lambda"))
    compare(runner, replace(result, measures=(MAE,), curve="log"), rows=rows, report=report)


def _measure_at_tau(runner: ExperimentRunner, region: Region) -> dict[float, npt.NDArray[np.float64]]:
    """tau -> absolute errors in months, float64 [cases of *test*], of a small network on crops at that tau."""
    run, chain, _ = runner.phase_1
    steps = list(chain.steps[: [step.region for step in chain.steps].index(region) + 1])
    settings = runner.recipe.tau
    labels = [(case.id, case.age_months, case.sex.value) for case in runner.test]
    start = runner.choose_start(settings.regressor.backbone)
    name = runner.make_key("tau", region.value, settings, chain.key, start_key(start), labels)
    stage = runner.training_run(name).stage("tau", name)
    file = stage.folder / "errors.npz"
    if not stage.complete:
        stage.begin()
        runner.say(f"figure5: tau of {region.value}")
        ids = [*run.training_set.ids, *(case.id for case in runner.test)]
        found = run.finder.each(
            steps, ids, known={}, kept=lambda regions: regions.attention, what=f"maps of {region.value}"
        )
        maps = {step.region: {case_id: found[case_id][step.region].map for case_id in ids} for step in steps}
        errors = search_tau(
            steps, maps, run.finder, train=run.training_set.train, validation=runner.test, settings=settings,
            folder=stage.folder, machine=runner.machine, seed=runner.seed, start=start,
        )  # fmt: skip
        np.savez(file, taus=np.array(list(errors)), errors=np.stack(list(errors.values())))
        stage.finish()
    with np.load(file) as stored:
        return dict(zip(stored["taus"].tolist(), stored["errors"], strict=True))
