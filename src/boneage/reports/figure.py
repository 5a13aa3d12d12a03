"""One assessment as one figure: radiograph with regions, attention maps, views, distribution. Needs matplotlib."""

from __future__ import annotations

from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Any

from boneage.ages import MONTHS
from boneage.assessment import Assessment
from boneage.reports.overlays import COLOURS, SEX_COLOURS, TITLES, VIEW_TITLES, attention_picture, radiograph_picture
from boneage.reports.text import short_file_name, years_and_months
from boneage.views import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _FAINT = "#1f2933", "#6b7785"
_LONGEST = 900


def figure(assessment: Assessment) -> Figure:
    """Draw one assessment. The figure is not registered with pyplot and needs no display.

    Returns:
        A matplotlib figure of 13 x 9 inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=(13, 9), facecolor="white")
    FigureCanvasAgg(page)
    views = {view: pixels for view, pixels in assessment.views.items() if view not in (View.HE, View.R2E)}
    panels = max(3, len(assessment.attention), len(views))
    grid = page.add_gridspec(
        3,
        1 + panels,
        left=0.03,
        right=0.975,
        top=0.86,
        bottom=0.115,
        width_ratios=[1.9] + [3.0 / panels] * panels,
        height_ratios=[1, 1, 0.9],
        hspace=0.2,
        wspace=0.07,
    )
    _headline(page, assessment)
    _image(page.add_subplot(grid[:, 0]), assessment)
    for column, region in enumerate(assessment.attention):
        panel = page.add_subplot(grid[0, 1 + column])
        title = TITLES[region].partition(" (")[0].lower()
        _picture(panel, attention_picture(assessment, region, 500), f"Attention: {title}")
    for column, (view, pixels) in enumerate(views.items()):
        _picture(page.add_subplot(grid[1, 1 + column]), pixels, f"View {VIEW_TITLES[view]}")
    below = page.add_subplot(grid[2, 1:])
    _distribution(below, assessment)
    page.text(0.03, 0.025, fill(assessment.notice, 170), fontsize=8.5, color=_FAINT, va="bottom")
    return page


def figure_png(assessment: Assessment) -> bytes:
    """`figure` as the bytes of a PNG file."""
    stream = BytesIO()
    figure(assessment).savefig(stream, dpi=150, format="png")
    return stream.getvalue()


def _headline(page: Figure, assessment: Assessment) -> None:
    ages = []
    for sex, answer in assessment.answers.items():
        low, high = answer.interval_90_months
        if_unknown = f"if {sex.value}: " if assessment.sex is None else ""
        ages.append(
            f"{if_unknown}{years_and_months(answer.bone_age_months)}  "
            f"(90 % {years_and_months(low)} to {years_and_months(high)})"
        )
    page.text(
        0.03,
        0.965,
        "Bone age  " + "    ".join(ages),
        fontsize=17 if len(ages) == 1 else 12.5,
        color=_INK,
        va="top",
        weight="bold",
    )
    name = short_file_name(assessment.radiograph.file or "radiograph")
    known = assessment.sex.value if assessment.sex else "unknown"
    page.text(
        0.03, 0.915, f"{name}    sex {known}    model {assessment.model} {assessment.model_sha256[:12]}",
        fontsize=10, color=_FAINT, va="top",
    )  # fmt: skip
    regional = []
    for sex, answer in assessment.answers.items():
        if answer.regional_ages is not None:
            carpal, tubular = answer.regional_ages.carpal_months, answer.regional_ages.tubular_months
            if_unknown = f"if {sex.value}: " if assessment.sex is None else ""
            regional.append(f"{if_unknown}carpal {years_and_months(carpal)}, tubular {years_and_months(tubular)}")
    page.text(0.975, 0.915, "    ".join(regional), fontsize=10, color=_INK, va="top", ha="right")


def _image(panel: Any, assessment: Assessment) -> None:
    from matplotlib.patches import Rectangle

    radiograph = assessment.radiograph
    image = radiograph_picture(radiograph, _LONGEST)
    panel.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, radiograph.width, radiograph.height, 0))
    for region, box in assessment.regions.items():
        frame = Rectangle((box.x0, box.y0), box.width, box.height, fill=False, edgecolor=COLOURS[region], linewidth=1.6)
        panel.add_patch(frame)
    _bare(panel, "Radiograph and regions")
    panel.set_anchor("N")
    for row, region in enumerate(assessment.regions):
        panel.text(
            0.0, -0.02 - 0.035 * row, f"■ {TITLES[region]}", transform=panel.transAxes, fontsize=9, va="top",
            color=_darker(COLOURS[region]),
        )  # fmt: skip


def _picture(panel: Any, pixels: Any, title: str) -> None:
    panel.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    panel.set_anchor("W")
    _bare(panel, title)


def _bare(panel: Any, title: str) -> None:
    panel.set_title(title, fontsize=9.5, color=_INK, loc="left", pad=5)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_visible(False)


def _distribution(panel: Any, assessment: Assessment) -> None:
    for sex, answer in assessment.answers.items():
        colour = SEX_COLOURS[sex]
        low, high = answer.interval_90_months
        inside = (low - 0.5 <= MONTHS) & (high + 0.5 >= MONTHS)
        panel.plot(MONTHS, answer.distribution, color=colour, linewidth=1.6, label=sex.value)
        panel.fill_between(MONTHS, answer.distribution, where=inside.tolist(), color=colour, alpha=0.18, linewidth=0)
        panel.axvline(answer.bone_age_months, color=colour, linewidth=1.2, linestyle="--")
    panel.set_xlim(0, 240)
    panel.set_ylim(0, None)
    panel.set_xticks(range(0, 241, 24), [str(month // 12) for month in range(0, 241, 24)])
    panel.set_xlabel("bone age (years)", fontsize=9.5, color=_INK)
    panel.set_yticks([])
    panel.tick_params(labelsize=8.5, colors=_FAINT)
    panel.set_title("Distribution; shaded: 90 % interval; dashed: bone age", fontsize=9.5, color=_INK, loc="left")
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    if len(assessment.answers) > 1:
        panel.legend(frameon=False, fontsize=9)


def _darker(colour: str) -> str:
    """The colour of a region for print on white."""
    return "#" + "".join(f"{int(int(colour[at : at + 2], 16) * 0.62):02x}" for at in (1, 3, 5))
