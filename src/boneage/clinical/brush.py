"""Standard deviations of bone age in healthy children of one sex and age, from the Brush Foundation study.

Source: W. W. Greulich, S. I. Pyle: Radiographic Atlas of Skeletal Development of the Hand and Wrist, 2nd edition,
Stanford University Press 1959, tables of the children of the Brush Foundation study. `data/brush_sd_months.csv` holds
the standard deviations only, not the tables' mean bone ages.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from boneage.ages import Sex

_Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def brush_sd_months(sex: Sex, age_months: float) -> float | None:
    """The standard deviation of bone age at an age, in months; interpolated linearly between rows of the table.

    Args:
        sex: of the child; the tables differ.
        age_months: chronological age, or the bone age that stands in for it, in months.

    Returns:
        Months, or None where nothing is tabulated: under 3 months, over 204 (boys) or 192 months (girls).
    """
    ages, deviations = _curves()[sex]
    if not ages[0] <= age_months <= ages[-1]:
        return None
    return float(np.interp(age_months, ages, deviations))


@lru_cache(maxsize=1)
def _curves() -> Mapping[Sex, _Curve]:
    text = (files("boneage.clinical") / "data" / "brush_sd_months.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return {
        sex: (
            np.array([float(row["chronological_age_months"]) for row in rows if row["sex"] == sex]),
            np.array([float(row["sd_months"]) for row in rows if row["sex"] == sex]),
        )
        for sex in Sex
    }
