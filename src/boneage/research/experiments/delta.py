"""The width delta of the Gaussian that the distribution is taught, in months (the paper takes 15).

Command:  boneage reproduce delta --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    no difference from 2 to 30 months (docs/results)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from boneage.research.compare import Report, start_result, sweep
from boneage.research.runner import ExperimentRunner

WIDTHS: Final = (2, 5, 10, 15, 20, 30)


def run(runner: ExperimentRunner, report: Report) -> None:
    settings = [(str(width), replace(runner.scale.age, label_sd=float(width))) for width in WIDTHS]
    result = start_result(runner, "delta", title="Delta, the width of the taught Gaussian", columns=("delta, months",))
    sweep(runner, report, result=replace(result, curve="linear"), settings=settings, against=WIDTHS.index(15))
