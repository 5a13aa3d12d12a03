"""Sheets of images with attention maps and views, for Figures 1 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from boneage.assessment import Attention
from boneage.evaluation.plots import styled
from boneage.pipeline.localization import Localization, cut_views, enlarged
from boneage.regions import Box, Region
from boneage.research.compare import note_on_maps
from boneage.research.results import make_canvas
from boneage.research.runner import ExperimentRunner
from boneage.training.data.views_data import Labelled
from boneage.views import ImageArray, View, cut, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_SIDE: Final = 220
_REGIONS: Final = {"H": Region.HAND, "R1": Region.REGION_1, "R2": Region.REGION_2}


def pick_cases(cases: Sequence[Labelled], count: int) -> list[Labelled]:
    """`count` cases at evenly spaced ranks of age."""
    ranked = sorted(cases, key=lambda case: (case.age_months, case.id))
    places = np.linspace(0.06, 0.94, count) * (len(ranked) - 1)
    return [ranked[round(place)] for place in places]


def draw_sheet(runner: ExperimentRunner, title: str, columns: Sequence[str], count: int) -> Drawing:
    """`count` cases of *test*, one a row.

    Args:
        columns: names of views, or "attention: H", "attention: R1", "attention: R2".
    """
    run, chain, _ = runner.phase_1
    cases = pick_cases(runner.test, count)
    regions = run.finder.each(
        chain.steps, [case.id for case in cases], known={}, kept=lambda found: found, what="images"
    )
    with styled():
        width, height = 1.45 * len(columns) + 0.4, 1.5 * count + 0.8
        drawing, panels = make_canvas(
            title, _describe(runner), width=width, height=height, down=count, across=len(columns)
        )
        grid = [panels[row * len(columns) :][: len(columns)] for row in range(count)]
        for row, case in zip(grid, cases, strict=True):
            image = runner.training_set.images.image(case.id)
            for axes, column in zip(row, columns, strict=True):
                _draw_panel(axes, column, image=image, regions=regions[case.id], squash=run.squash)
                axes.set_xticks([])
                axes.set_yticks([])
                axes.grid(visible=False)
            row[0].set_ylabel(f"{case.sex.value}\n{case.age_months:g} months", fontsize=7.5)
        for axes, column in zip(grid[0], columns, strict=True):
            axes.set_title(column, fontsize=8)
    return drawing


def _describe(runner: ExperimentRunner) -> str:
    learned = (
        f"regions of {runner.localizers}" if runner.localizers else f"{len(runner.training_set.train):,} training cases"
    )
    masks = " (masks of the distilled localizer)" if note_on_maps(runner) else ""
    return f"{runner.data}, {learned}{masks}; images of test"


def _draw_panel(axes: Axes, column: str, image: ImageArray, regions: Localization, *, squash: bool) -> None:
    if column.startswith("attention: "):
        region = _REGIONS[column.removeprefix("attention: ")]
        axes.imshow(cut(image, whole(image), _SIDE, squash=squash), cmap="gray", vmin=0, vmax=255)
        if region in regions.attention:
            shown = _place_on_image(image, regions.attention[region], squash=squash)
            axes.imshow(shown, cmap="inferno", vmin=0, vmax=1, alpha=0.5)
        return
    view = cut_views(image, regions, views=[View(column)], size=_SIDE, squash=squash)[View(column)]
    axes.imshow(view, cmap="gray", vmin=0, vmax=255)


def _place_on_image(image: ImageArray, attention: Attention, *, squash: bool) -> npt.NDArray[np.float64]:
    """A map at its place on the view of the whole image: float64 [side, side] in [0, 1], 0 outside the map."""
    gray = np.rint(255 * enlarged(attention.map)).astype(np.uint8)
    place = Box(*attention.box.as_list())
    # The image's view as a box of the map.
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
