"""The direction of the divergence: KL(G || p), the formula of Eq. 10, against KL(p || G), its title.

Command:  boneage reproduce kl-direction --scale compact --data DIR --out results --localizers compact-2026-11e
Found:    the formula is better than the title, by 3 months (docs/results)
"""

from __future__ import annotations

from dataclasses import replace

from boneage.research.compare import Report, start_result, sweep
from boneage.research.runner import ExperimentRunner


def run(runner: ExperimentRunner, report: Report) -> None:
    age = runner.scale.age
    settings = [
        ("KL(G || p), the formula", replace(age, kl_direction="target_first")),
        ("KL(p || G), the title", replace(age, kl_direction="prediction_first")),
        ("none (lambda 0)", replace(age, kl_weight=0.0)),
    ]
    result = start_result(runner, "kl-direction", title="The direction of the divergence", columns=("divergence",))
    sweep(runner, report, result=result, settings=settings)
