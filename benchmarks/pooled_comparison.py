"""O against H + R1 + R2 from the predictions tables of `views_compared.sh`, paired by case.

For each case the absolute error is averaged over the seeds of an arm; the interval of the difference is a paired
bootstrap over cases. Negative: the regions are better.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from boneage.evaluation.bootstrap import Figure, difference_of_means, figure
from boneage.evaluation.predictions import read_predictions

ARMS = ("O", "HR1R2")


def errors_of(folder: Path) -> dict[str, float]:
    """Absolute error in months by case id."""
    rows = read_predictions(folder / "evaluation" / "predictions.csv")
    return {row.id: abs(row.error_months) for row in rows if row.error_months is not None}


def written(it: Figure) -> str:
    """Value and 95 % interval."""
    return f"{it.value:.2f} ({it.lower:.2f} to {it.upper:.2f})"


def main(out: Path) -> None:
    runs = {arm: [errors_of(folder) for folder in sorted(out.glob(f"{arm}-*"))] for arm in ARMS}
    common = sorted(set.intersection(*(set(run) for arm in runs.values() for run in arm)))
    pooled = {}
    for arm, seeds in runs.items():
        each = np.array([[run[case] for case in common] for run in seeds])
        pooled[arm] = each.mean(axis=0)
        by_seed = ", ".join(f"{mae:.2f}" for mae in each.mean(axis=1))
        print(f"{arm}: MAE {written(figure(pooled[arm]))} months, by seed {by_seed}; {len(common)} cases")
    difference = figure(pooled[ARMS[1]], pooled[ARMS[0]], reduce=difference_of_means)
    print(f"{ARMS[1]} minus {ARMS[0]}, paired: {written(difference)} months")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
