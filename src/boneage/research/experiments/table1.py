"""Table I: mIoU and AP50 of H, R1 and R2 over the paper's tau and over fractions of the maximum; GAP against GMP.

Command:  boneage reproduce table1 --scale compact --data DIR --out results --boxes BOXES --weights WEIGHTS
Hours:    0.5 on 2 CPU cores
Found:    the paper's phase I finds the hand; it does not find regions 1 and 2 at this scale (docs/results)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from boneage.regions import Region
from boneage.research.compare import Report
from boneage.research.localizer_cells import LocalizerCell
from boneage.research.runner import ExperimentRunner
from boneage.research.tau_table import Variant, name_region, score_over_tau

PAPER: Final[Mapping[Region, Mapping[str, tuple[float, float]]]] = {
    Region.HAND: {
        "10": (0.576, 0.780), "20": (0.757, 0.995), "30": (0.710, 0.980), "40": (0.695, 0.970),
        "50": (0.666, 0.920), "60": (0.633, 0.840), "80": (0.565, 0.685),
    },
    Region.REGION_1: {
        "10": (0.170, 0.0), "20": (0.223, 0.125), "30": (0.545, 0.635), "40": (0.679, 0.880),
        "50": (0.722, 0.965), "60": (0.700, 0.945), "80": (0.645, 0.870),
    },
    Region.REGION_2: {
        "10": (0.112, 0.0), "20": (0.274, 0.245), "30": (0.521, 0.605), "40": (0.541, 0.695),
        "50": (0.560, 0.735), "60": (0.565, 0.735), "80": (0.553, 0.730),
    },
}  # fmt: skip
"""Region -> threshold -> mIoU, AP50 on the paper's 200 test images, with the pooling of `PAPER_POOLING`."""
PAPER_POOLING: Final = {Region.HAND: "gap", Region.REGION_1: "gmp", Region.REGION_2: "gmp"}


def run(runner: ExperimentRunner, report: Report) -> None:
    scale = runner.scale
    variants = [
        Variant(
            pooling.upper(),
            LocalizerCell(f"{name_region(region)}, {pooling.upper()}", region, replace(settings, pooling=pooling)),
            PAPER[region] if pooling == PAPER_POOLING[region] else None,
        )
        for region, settings in (
            (Region.HAND, scale.hand),
            (Region.REGION_1, scale.region_1),
            (Region.REGION_2, scale.region_2),
        )
        for pooling in ("gap", "gmp")
    ]
    score_over_tau(
        runner,
        report,
        name="table1",
        title="Table I: localization over tau, GAP against GMP",
        column="pooling",
        variants=variants,
        with_phase_1=True,
    )
