"""Views as channels of one picture (the paper), or one backbone that sees each view alone.

Command:  boneage reproduce fusion --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    averaged features of a shared backbone are better than stacked channels, by 1.2 months (docs/results)
"""

from __future__ import annotations

from dataclasses import replace

from boneage.research.compare import Report, start_result, sweep
from boneage.research.runner import ExperimentRunner


def run(runner: ExperimentRunner, report: Report) -> None:
    age = runner.scale.age
    settings = [
        ("stacked channels", replace(age, fusion="stacked")),
        ("shared backbone, features joined", replace(age, fusion="shared", merge="concat")),
        ("shared backbone, features averaged", replace(age, fusion="shared", merge="mean")),
    ]
    result = start_result(runner, "fusion", title="Stacked channels against fused features", columns=("fusion",))
    sweep(runner, report, result=result, settings=settings)
