"""Rows of the table, between them, and beyond them."""

from __future__ import annotations

import pytest

from boneage.ages import Sex
from boneage.clinical import brush_sd_months


@pytest.mark.parametrize(
    ("sex", "months", "sd"),
    [
        (Sex.MALE, 3, 0.69),
        (Sex.MALE, 120, 9.79),
        (Sex.MALE, 126, (9.79 + 10.09) / 2),
        (Sex.MALE, 204, 13.05),
        (Sex.FEMALE, 120, 11.73),
        (Sex.FEMALE, 190, 9.23 + 10 / 12 * (7.31 - 9.23)),
        (Sex.FEMALE, 192, 7.31),
    ],
)
def test_rows_and_between(sex: Sex, months: float, sd: float) -> None:
    assert brush_sd_months(sex, months) == pytest.approx(sd)


@pytest.mark.parametrize(("sex", "months"), [(Sex.MALE, 2.9), (Sex.MALE, 204.1), (Sex.FEMALE, 192.1)])
def test_not_tabulated(sex: Sex, months: float) -> None:
    assert brush_sd_months(sex, months) is None
