"""Tables II to V, Figure 5 and the questions beyond the paper that bone age answers: each cell an age network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import wilcoxon

from boneage.errors import TrainingError, UsageError
from boneage.evaluation.bootstrap import figure
from boneage.model.folder import load_model
from boneage.regions import Region
from boneage.research.cells import AgeCell, Answers, Cell, NotAtHand
from boneage.research.results import DIFFERENCE, MAE, Line, Result
from boneage.research.runner import ExperimentRunner
from boneage.research.scales import PAPER_BACKBONES, PAPER_SIZES
from boneage.training.localization.tau import search_tau
from boneage.training.recipes.settings import Backbone, RegressorSettings, Schedule, ViewName
from boneage.training.run.stage import start_key

Report = Callable[[Result], None]
"""Is given a result each time that one more of its cells is there."""


@dataclass(frozen=True)
class Row:
    """A cell and its place in a table.

    Attributes:
        labels: one for each label column.
        cell: what is trained, or why nothing is.
        paper: the paper's MAE.
        against: index of the row that it is compared with, case by case.
    """

    labels: tuple[str, ...]
    cell: Cell | NotAtHand
    paper: float | None = None
    against: int | None = None


def compare(runner: ExperimentRunner, result: Result, rows: Sequence[Row], report: Report) -> Result:
    """Train and measure the rows one after the other; `report` sees the table grow.

    A cell that cannot be trained stays empty with the reason, and the others go on.
    """
    compared = sum(row.against is not None and not isinstance(row.cell, NotAtHand) for row in rows)
    trainings = "one training" if runner.scale.repeats == 1 else f"{runner.scale.repeats} trainings"
    note = f"{trainings.capitalize()} a cell: intervals and p-values are over cases, not over trainings."
    if compared > 1:
        note += f" p-values are not corrected for the {compared} comparisons."
    result = replace(result, notes=(*result.notes, note))
    answers: dict[int, Answers] = {}
    empty: dict[int, str] = {
        place: row.cell.reason for place, row in enumerate(rows) if isinstance(row.cell, NotAtHand)
    }
    result = replace(result, lines=_lines(runner, rows, answers, empty))
    for place, row in enumerate(rows):
        if isinstance(row.cell, NotAtHand):
            continue
        runner.say(f"{result.name}: {' '.join(row.labels)} ({place + 1} of {len(rows)} cells)")
        try:
            answers[place] = runner.answers(row.cell)
        except (TrainingError, UsageError) as error:
            runner.say(f"{result.name}: {' '.join(row.labels)} stays empty: {error}")
            empty[place] = str(error)
        result = replace(result, lines=_lines(runner, rows, answers, empty))
        report(result)
    report(result)
    return result


def _lines(
    runner: ExperimentRunner, rows: Sequence[Row], answers: dict[int, Answers], empty: dict[int, str]
) -> tuple[Line, ...]:
    lines = []
    for place, row in enumerate(rows):
        paper = {} if row.paper is None else {MAE: row.paper}
        if place not in answers:
            lines.append(Line(row.labels, paper=paper, empty=empty.get(place, "")))
            continue
        answer = answers[place]
        figures = {MAE: figure(answer.errors, seed=runner.seed)}
        other, chance = "", ""
        if row.against in answers and row.against != place:
            differences = answer.errors - answers[row.against].errors
            figures[DIFFERENCE] = figure(differences, seed=runner.seed)
            if differences.any():
                chance = f"{wilcoxon(differences).pvalue:.2g}"
            other = " ".join(rows[row.against].labels)
        facts = {
            "p (Wilcoxon)": chance,
            "cases": answer.facts["cases"],
            "parameters": answer.facts["parameters"],
            "training seconds": answer.facts["training_seconds"],
        }
        lines.append(Line(row.labels, figures, paper, other, facts=facts))
    return tuple(lines)


def table2(runner: ExperimentRunner, report: Report) -> Result:
    """Backbones on the whole film, without the sex, from random weights and from ImageNet's."""
    scale = runner.scale
    from_paper = {"VGG19": (12.2, 9.3), "InceptionV3": (10.9, 9.2), "ResNet50": (11.3, 9.3), "Xception": (9.9, 8.8)}
    names = dict(zip(PAPER_BACKBONES, scale.backbones, strict=False))
    if scale.small_backbone:
        names[f"{scale.small_backbone} (this scale's own)"] = scale.small_backbone
    schedule = replace(scale.age.schedule, epochs=scale.backbone_epochs, size_schedule=())
    rows: list[Row] = []
    for name, network in names.items():
        papers = from_paper.get(name, (None, None))
        for start, paper in (("none", papers[0]), (runner.start_of(network), papers[1])):
            settings = replace(
                scale.age,
                views=("O",),
                size=scale.backbone_size,
                sex=(),
                scalar=True,
                backbone=Backbone(network),
                schedule=schedule,
            )
            if isinstance(start, str):
                word = "random" if start == "none" else "ImageNet"
                cell: Cell | NotAtHand = AgeCell(f"{name} from {word} weights", settings, start, scale.backbone_cases)
            else:
                word, cell = "ImageNet", start
            rows.append(Row((name, word), cell, paper, len(rows) - 1 if word == "ImageNet" else None))
    setting = runner.setting(
        scale.backbone_size, scale.backbone_epochs, scale.backbone_cases, regions=False, start=False
    )
    return compare(
        runner, Result("table2", "Table II: backbones, no sex", setting, ("network", "start"), ()), rows, report
    )


def table3(runner: ExperimentRunner, report: Report) -> Result:
    """How the sex goes in: whole film, L1."""
    kinds: tuple[tuple[str, tuple[int, ...], float], ...] = (
        ("none", (), 8.8), ("1-16", (16,), 7.9), ("1-32", (32,), 7.8), ("1-64", (64,), 7.8), ("1-64-32", (64, 32), 8.0),
    )  # fmt: skip
    age = runner.scale.age
    base = replace(age, views=("O",), scalar=True, size=runner.scale.sex_size, schedule=_one_size(age.schedule))
    rows = [
        Row((name,), AgeCell(f"sex {name}", replace(base, sex=widths)), paper, 0 if widths else None)
        for name, widths, paper in kinds
    ]
    setting = runner.setting(base.size, base.schedule.epochs, regions=False)
    title = "Table III: the sex, on the whole film"
    return compare(runner, Result("table3", title, setting, ("embedding",), ()), rows, report)


def table4(runner: ExperimentRunner, report: Report) -> Result:
    """Input sizes: whole film, sex, L1."""
    from_paper = dict(zip(PAPER_SIZES, (7.8, 7.6, 7.4, 7.3, 7.3), strict=True))
    base = replace(runner.scale.age, views=("O",), scalar=True)
    rows: list[Row] = []
    for size, stands_for in zip(runner.scale.sizes, PAPER_SIZES, strict=False):
        cell = AgeCell(f"{size} px", replace(base, size=size, schedule=_one_size(base.schedule)))
        note = "" if size == stands_for else f"for {stands_for}"
        rows.append(Row((str(size), note), cell, from_paper[stands_for], 0 if rows else None))
    columns = ("side, px", "stands for")
    sizes = f"{runner.scale.sizes[0]} to {runner.scale.sizes[-1]}"
    setting = runner.setting(sizes, base.schedule.epochs, regions=False)
    title = "Table IV: input sizes, on the whole film"
    return compare(runner, Result("table4", title, setting, columns, ()), rows, report)


VIEWS: Final[tuple[tuple[tuple[ViewName, ...], float, float], ...]] = (
    (("O",), 7.3, 6.2),
    (("H",), 6.4, 5.6),
    (("R1",), 6.1, 5.3),
    (("R2",), 7.0, 6.2),
    (("H", "R1"), 5.4, 4.8),
    (("R1", "R2"), 5.6, 5.1),
    (("O", "H", "R1"), 5.4, 4.7),
    (("H", "R1", "E"), 4.7, 4.3),
    (("H", "R1", "R2"), 4.8, 4.3),
)
"""Table V's combinations, with the paper's MAE for L1 and for distribution + expectation."""


def table5(runner: ExperimentRunner, report: Report) -> Result:
    """All nine view combinations, each with L1 and with distribution + expectation."""
    rows: list[Row] = []
    for views, l1, distribution in VIEWS:
        for scalar, word, paper in ((True, "L1", l1), (False, "distribution", distribution)):
            cell = AgeCell(f"{'+'.join(views)}, {word}", replace(runner.scale.age, views=views, scalar=scalar))
            # L1 is compared with L1 on the whole film, the distribution with L1 on the same views.
            against = len(rows) - 1 if not scalar else 0 if rows else None
            rows.append(Row(("+".join(views), word), cell, paper, against))
    title = "Table V: views, L1 against distribution + expectation"
    return compare(runner, _result(runner, "table5", title, ("views", "answer")), rows, report)


def figure5(runner: ExperimentRunner, report: Report) -> Result:
    """MAE over tau and over lambda, from the hand alone and from region 1 alone."""
    lines: list[Line] = []
    search = runner.recipe.tau
    one = "One network for all tau of a region, trained on crops at a tau drawn at random."
    notes = (one if search.mode == "one_network" else "One network for each tau.", *masks_note(runner))
    result = Result(
        "figure5-tau",
        "Figure 5a: MAE over tau",
        runner.setting(search.regressor.size, search.regressor.schedule.epochs, search.cases),
        ("region", "tau, fraction of the map's maximum"),
        (),
        measures=(MAE,),
        notes=notes,
        curve="linear",
    )
    for region in (Region.HAND, Region.REGION_1):
        for tau, errors in _over_tau(runner, region).items():
            lines.append(Line((region.value, f"{tau:g}"), {MAE: figure(errors, seed=runner.seed)}))
        result = replace(result, lines=tuple(lines))
        report(result)
    rows = [
        Row(
            (view, f"{weight:g}"),
            AgeCell(f"lambda {weight:g} on {view}", replace(runner.scale.age, views=(view,), kl_weight=weight)),
        )
        for view in ("H", "R1")
        for weight in LAMBDAS
    ]
    result = _result(runner, "figure5-lambda", "Figure 5b: MAE over lambda", ("view", "lambda"))
    return compare(runner, replace(result, measures=(MAE,), curve="log"), rows, report)


LAMBDAS: Final = (0.0, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


def masks_note(runner: ExperimentRunner) -> tuple[str, ...]:
    """What a reader must know where "attention" is that of a distilled localizer."""
    distilled = runner.recipe.student
    if runner.localizers:
        steps = load_model(runner.localizers).localizers
        distilled = len({step.network.path for step in steps}) < len(steps)
    if not distilled:
        return ()
    return ("Maps are the masks of the distilled localizer, which learned the boxes of attention maps.",)


def _over_tau(runner: ExperimentRunner, region: Region) -> dict[float, npt.NDArray[np.float64]]:
    """tau -> absolute errors on *test* of a small network on crops at that tau."""
    run, chain, _ = runner.phase_1
    steps = list(chain.steps[: [step.region for step in chain.steps].index(region) + 1])
    settings = runner.recipe.tau
    labels = [(case.id, case.age_months, case.sex.value) for case in runner.report]
    start = runner.start_for(settings.regressor.backbone)
    name = runner.key("tau", region.value, settings, chain.key, start_key(start), labels)
    stage = runner.training_run(name).stage("tau", name)
    file = stage.folder / "errors.npz"
    if not stage.complete:
        stage.begin()
        runner.say(f"figure5: tau of {region.value}")
        ids = [*run.training_set.ids, *(case.id for case in runner.report)]
        seen = run.finder.each(steps, ids, {}, lambda found: found.attention, f"maps of {region.value}")
        known = {step.region: {case_id: seen[case_id][step.region].map for case_id in ids} for step in steps}
        errors = search_tau(
            steps, known, run.finder, run.training_set.train, runner.report, settings, stage.folder, runner.machine,
            seed=runner.seed, start=start,
        )  # fmt: skip
        np.savez(file, taus=np.array(list(errors)), errors=np.stack(list(errors.values())))
        stage.finish()
    with np.load(file) as stored:
        return dict(zip(stored["taus"].tolist(), stored["errors"], strict=True))


def delta(runner: ExperimentRunner, report: Report) -> Result:
    """The width of the Gaussian that the distribution is taught."""
    widths = (2, 5, 10, 15, 20, 30)
    kinds = ((str(sd), replace(runner.scale.age, label_sd=float(sd))) for sd in widths)
    title = "Delta, the width of the taught Gaussian"
    return _swept(runner, report, "delta", title, "delta, months", kinds, against=widths.index(15), curve=True)


def kl_direction(runner: ExperimentRunner, report: Report) -> Result:
    """KL(G || p), the formula of Eq. 10, against KL(p || G), its title."""
    age = runner.scale.age
    kinds = (
        ("KL(G || p), the formula", replace(age, kl_direction="target_first")),
        ("KL(p || G), the title", replace(age, kl_direction="prediction_first")),
        ("none (lambda 0)", replace(age, kl_weight=0.0)),
    )
    return _swept(runner, report, "kl-direction", "The direction of the divergence", "divergence", iter(kinds))


def fusion(runner: ExperimentRunner, report: Report) -> Result:
    """Views as channels of one picture, or one backbone that reads each by itself."""
    age = runner.scale.age
    kinds = (
        ("stacked channels", replace(age, fusion="stacked")),
        ("shared backbone, features joined", replace(age, fusion="shared", merge="concat")),
        ("shared backbone, features averaged", replace(age, fusion="shared", merge="mean")),
    )
    return _swept(runner, report, "fusion", "Stacked channels against fused features", "fusion", iter(kinds))


def data_size(runner: ExperimentRunner, report: Report) -> Result:
    """How the error falls with the number of training cases."""
    most, age = len(runner.training_set.train), runner.scale.age
    rows: list[Row] = []
    for count in sorted({min(most, max(8, round(most * share))) for share in (0.125, 0.25, 0.5, 1.0)}):
        cases = None if count == most else count
        cell = AgeCell(f"{count} cases", _as_many_steps(age, most / count), cases=cases)
        rows.append(Row((str(count),), cell, None, len(rows) - 1 if rows else None))
    setting = runner.setting(age.size, age.schedule.epochs).replace("training cases", "training cases at most")
    result = Result("data-size", "More training cases, equally many steps", setting, ("training cases",), ())
    note = f"Epochs are given for {most:,} cases; with fewer there are more epochs, so that all see equally many films."
    return compare(runner, replace(result, curve="linear", notes=(note,)), rows, report)


def _swept(
    runner: ExperimentRunner, report: Report, name: str, title: str, column: str,
    kinds: Iterator[tuple[str, RegressorSettings]], *, against: int = 0, curve: bool = False,
) -> Result:  # fmt: skip
    rows: list[Row] = []
    for label, settings in kinds:
        other = against if len(rows) != against else None
        rows.append(Row((label,), AgeCell(f"{column} {label}", settings), None, other))
    result = _result(runner, name, title, (column,))
    return compare(runner, replace(result, curve="linear") if curve else result, rows, report)


def _result(runner: ExperimentRunner, name: str, title: str, columns: tuple[str, ...]) -> Result:
    age = runner.scale.age
    return Result(name, title, runner.setting(age.size, age.schedule.epochs), columns, ())


def _one_size(schedule: Schedule) -> Schedule:
    return replace(schedule, size_schedule=())


def _as_many_steps(settings: RegressorSettings, times: float) -> RegressorSettings:
    return replace(
        settings, schedule=replace(settings.schedule, epochs=max(1, round(settings.schedule.epochs * times)))
    )
