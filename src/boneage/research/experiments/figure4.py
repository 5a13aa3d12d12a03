"""Figure 4: learned distributions of four cases from R1 for several lambda, with the Gaussian of the label.

Command:  boneage reproduce figure4 --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    with lambda 0 or .01 the mass sits on one or two months, with 1 it takes the label's shape; as in the paper
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH
from boneage.evaluation.plots import styled
from boneage.research.age_cells import AgeCell
from boneage.research.attention_sheet import pick_cases
from boneage.research.compare import Report
from boneage.research.results import Picture, make_canvas
from boneage.research.runner import ExperimentRunner

LAMBDAS: Final = (0.0, 0.01, 0.1, 1.0)
"""Some of Figure 5's, so that both figures share their cells."""
_COLORS: Final = ("#E69F00", "#56B4E9", "#0072B2", "#009E73")


def run(runner: ExperimentRunner, report: Report) -> None:
    cases = pick_cases(runner.test, 4)
    age = runner.scale.age
    learned: dict[float, npt.NDArray[np.float64]] = {}
    for weight in LAMBDAS:
        runner.say(f"figure4: lambda {weight:g}")
        cell = AgeCell(f"lambda {weight:g} on R1", replace(age, views=("R1",), kl_weight=weight))
        learned[weight] = runner.predict_distributions(cell, cases)
    months = np.arange(FIRST_MONTH, LAST_MONTH + 1)
    with styled():
        title = "Figure 4: learned age distributions of four cases, from R1 (sharp peaks are cut off)"
        drawing, panels = make_canvas(
            title, runner.describe(age.size, age.schedule.epochs), width=9.2, height=6.6, down=2, across=2
        )
        for place, axes in enumerate(panels):
            case = cases[place]
            label = np.exp(-0.5 * ((months - case.age_months) / age.label_sd) ** 2)
            axes.fill_between(months, label / label.sum(), color="#c7ccd4", label="Gaussian of the label")
            for weight, color in zip(LAMBDAS, _COLORS, strict=True):
                axes.plot(months, learned[weight][place], color=color, linewidth=1.5, label=f"lambda {weight:g}")
            axes.axvline(case.age_months, color="#1f2933", linewidth=0.8, linestyle=":")
            axes.set_ylim(0, 3.2 * float((label / label.sum()).max()))
            axes.set(
                title=f"{case.sex.value}, label {case.age_months:g} months",
                xlim=(max(0, case.age_months - 70), min(240, case.age_months + 70)),
            )
            axes.set(xlabel="months", ylabel="probability")
        drawing.axes[0].legend(fontsize=7.5, loc="upper left")
    report(Picture("figure4", drawing))
