"""`model.json`: its schema, and the curves by sex and age in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from boneage.ages import Sex
from boneage.model.by_age import ByAge, Correction
from boneage.model.document import json_schema
from boneage.regions import Region
from boneage.views import View

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "model.schema.json"


def test_the_schema_in_the_docs_is_current() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema(), (
        "run `python -m boneage.model.document > docs/reference/model.schema.json`"
    )


def test_a_curve_interpolates_and_holds_its_ends() -> None:
    curve = ByAge(at_months=(12, 24), male=(1, 3), female=(0, 0))
    assert [curve(Sex.MALE, months) for months in (1, 12, 15, 24, 240)] == [1, 1, 1.5, 3, 3]
    assert curve(Sex.FEMALE, 18) == 0


def test_a_curve_through_a_function() -> None:
    curve = ByAge.of([12, 24], lambda sex, months: sex.sign * months / 7)
    assert curve.male == (1.7143, 3.4286)
    assert curve.female == (-1.7143, -3.4286)


@pytest.mark.parametrize(
    ("at", "male", "female"),
    [
        ((), (), ()),
        ((24, 12), (1, 1), (1, 1)),
        ((12, 24), (1,), (1, 1)),
        ((0,), (1,), (1,)),
        ((12,), (float("nan"),), (1,)),
    ],
)
def test_curves_that_are_not_valid(at: tuple[float, ...], male: tuple[float, ...], female: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        ByAge(at_months=at, male=male, female=female)


def test_a_width_is_not_negative() -> None:
    shift = ByAge(at_months=(12,), male=(-1,), female=(1,))
    with pytest.raises(ValidationError):
        Correction(shift_months=shift, width=shift)


def test_the_regions_that_a_view_needs() -> None:
    assert View.O.needs == frozenset()
    assert View.R2E.needs == {Region.REGION_1, Region.REGION_2}
    assert {view for view in View if Region.HAND in view.needs} == {View.H, View.HE}
