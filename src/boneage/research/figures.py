"""Figures 1, 3 and 4: what the networks saw, and which distributions they learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH
from boneage.assessment import Attention
from boneage.atomic import write_atomically
from boneage.evaluation.plots import png, styled
from boneage.pipeline.localization import Localization, cut_views, enlarged
from boneage.regions import Box, Region
from boneage.research.age_experiments import masks_note
from boneage.research.cells import AgeCell
from boneage.research.results import canvas
from boneage.research.runner import ExperimentRunner
from boneage.training.data.views_data import Labelled
from boneage.views import ImageArray, View, cut, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDE: Final = 220
_SHOWN_LAMBDAS: Final = (0.0, 0.01, 0.1, 1.0)
"""Of those of Figure 5, whose cells they share."""


def spread(cases: Sequence[Labelled], count: int) -> list[Labelled]:
    """So many cases at even ranks of age, both sexes as they come."""
    ranked = sorted(cases, key=lambda case: (case.age_months, case.id))
    places = np.linspace(0.06, 0.94, count) * (len(ranked) - 1)
    return [ranked[round(place)] for place in places]


def figure1(runner: ExperimentRunner, folder: Path) -> Path:
    """Four films with the attention for the hand, region 1 and region 2 (the paper's Figure 1)."""
    columns = ("film", "attention: H", "attention: R1", "attention: R2")
    return _sheet(runner, folder / "figure1.png", "Figure 1: films and attention", columns, 4)


def figure3(runner: ExperimentRunner, folder: Path) -> Path:
    """Six films with attention and view at every step (the paper's Figure 3)."""
    columns = ("O", "attention: H", "H", "attention: R1", "R1", "E", "attention: R2", "R2")
    return _sheet(runner, folder / "figure3.png", "Figure 3: from attention to views", columns, 6)


def figure4(runner: ExperimentRunner, folder: Path) -> Path:
    """The distributions learned for four films under several lambda, with the Gaussian of the label."""
    cases = spread(runner.report, 4)
    age = runner.scale.age
    learnt: dict[float, npt.NDArray[np.float64]] = {}
    for weight in _SHOWN_LAMBDAS:
        runner.say(f"figure4: lambda {weight:g}")
        cell = AgeCell(f"lambda {weight:g} on R1", replace(age, views=("R1",), kl_weight=weight))
        learnt[weight] = runner.distributions(cell, cases)
    months = np.arange(FIRST_MONTH, LAST_MONTH + 1)
    with styled():
        title = "Figure 4: learned age distributions of four films, from R1 (sharp peaks are cut off)"
        drawing, panels = canvas(title, runner.setting(age.size, age.schedule.epochs), 9.2, 6.6, 2, 2)
        hues = ("#E69F00", "#56B4E9", "#0072B2", "#009E73")
        for place, axes in enumerate(panels):
            case = cases[place]
            label = np.exp(-0.5 * ((months - case.age_months) / age.label_sd) ** 2)
            axes.fill_between(months, label / label.sum(), color="#c7ccd4", label="Gaussian of the label")
            for weight, hue in zip(_SHOWN_LAMBDAS, hues, strict=True):
                axes.plot(months, learnt[weight][place], color=hue, linewidth=1.5, label=f"lambda {weight:g}")
            axes.axvline(case.age_months, color="#1f2933", linewidth=0.8, linestyle=":")
            axes.set_ylim(0, 3.2 * float((label / label.sum()).max()))
            axes.set(
                title=f"{case.sex.value}, label {case.age_months:g} months",
                xlim=(max(0, case.age_months - 70), min(240, case.age_months + 70)),
            )
            axes.set(xlabel="months", ylabel="probability")
        drawing.axes[0].legend(fontsize=7.5, loc="upper left")
    file = folder / "figure4.png"
    write_atomically(file, png(drawing, dpi=130))
    return file


def _sheet(runner: ExperimentRunner, file: Path, title: str, columns: Sequence[str], count: int) -> Path:
    run, chain, _ = runner.phase_1
    cases = spread(runner.report, count)
    seen = run.finder.each(chain.steps, [case.id for case in cases], {}, lambda found: found, "films")
    with styled():
        width, height = 1.45 * len(columns) + 0.4, 1.5 * count + 0.8
        drawing, panels = canvas(title, _where(runner), width, height, count, len(columns))
        grid = [panels[row * len(columns) :][: len(columns)] for row in range(count)]
        for row, case in zip(grid, cases, strict=True):
            image = runner.training_set.images.image(case.id)
            for axes, column in zip(row, columns, strict=True):
                _panel(axes, column, image, seen[case.id], squash=run.squash)
                axes.set_xticks([])
                axes.set_yticks([])
                axes.grid(visible=False)
            row[0].set_ylabel(f"{case.sex.value}\n{case.age_months:g} months", fontsize=7.5)
        for axes, column in zip(grid[0], columns, strict=True):
            axes.set_title(column, fontsize=8)
    write_atomically(file, png(drawing, dpi=130))
    return file


def _where(runner: ExperimentRunner) -> str:
    learnt = (
        f"regions of {runner.localizers}" if runner.localizers else f"{len(runner.training_set.train):,} training cases"
    )
    masks = " (masks of the distilled localizer)" if masks_note(runner) else ""
    return f"{runner.data}, {learnt}{masks}; films of report"


def _panel(axes: Axes, column: str, image: ImageArray, found: Localization, *, squash: bool) -> None:
    if column.startswith("attention: "):
        region = {"H": Region.HAND, "R1": Region.REGION_1, "R2": Region.REGION_2}[column.removeprefix("attention: ")]
        axes.imshow(cut(image, whole(image), _SIDE, squash=squash), cmap="gray", vmin=0, vmax=255)
        if region in found.attention:
            axes.imshow(
                _on_image(image, found.attention[region], squash=squash), cmap="inferno", vmin=0, vmax=1, alpha=0.5
            )
        return
    name = "O" if column == "film" else column
    view = cut_views(image, found, [View(name)], _SIDE, squash=squash)[View(name)]
    axes.imshow(view, cmap="gray", vmin=0, vmax=255)


def _on_image(image: ImageArray, seen: Attention, *, squash: bool) -> npt.NDArray[np.float64]:
    """A map where it belongs on the view of the whole film: float [side, side]; 0 where nobody looked."""
    gray = np.rint(255 * enlarged(seen.map)).astype(np.uint8)
    place = Box(*seen.box.as_list())
    # The film's view, seen as a box of the map.
    side = max(image.shape)
    left, top = ((image.shape[1] - side) / 2, (image.shape[0] - side) / 2) if not squash else (0.0, 0.0)
    width, height = (side, side) if not squash else (image.shape[1], image.shape[0])
    across, down = gray.shape[1] / place.width, gray.shape[0] / place.height
    box = Box(
        (left - place.x0) * across, (top - place.y0) * down,
        (left + width - place.x0) * across, (top + height - place.y0) * down,
    )  # fmt: skip
    shown: Any = cut(gray, box, _SIDE, squash=True)
    return np.asarray(shown, dtype=np.float64) / 255.0
