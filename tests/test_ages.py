from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneage.ages import MONTHS, Sex, central_interval_months, expectation_months, parse_sex
from boneage.errors import UsageError


def test_months_run_from_1_to_240() -> None:
    assert (MONTHS[0], MONTHS[-1], len(MONTHS)) == (1, 240, 240)
    with pytest.raises(ValueError, match="read-only"):
        MONTHS[0] = 0


def test_sign_of_the_sexes() -> None:
    assert (Sex.MALE.sign, Sex.FEMALE.sign) == (1.0, -1.0)
    assert (str(Sex.MALE), str(Sex.FEMALE)) == ("male", "female")


@pytest.mark.parametrize("word", ["male", " M ", "Boy", Sex.MALE])
def test_male_words(word: object) -> None:
    assert parse_sex(word) is Sex.MALE


@pytest.mark.parametrize("word", ["female", "f", "GIRL", Sex.FEMALE])
def test_female_words(word: object) -> None:
    assert parse_sex(word) is Sex.FEMALE


@pytest.mark.parametrize("word", [None, "", "unknown", "O", float("nan"), "n/a", "<NA>", "-"])
def test_unknown_words(word: object) -> None:
    assert parse_sex(word) is None


@pytest.mark.parametrize("word", ["mail", "2", "12y", 0.5, 1, "0", True, "False"])
def test_other_words_are_refused_with_their_place(word: object) -> None:
    with pytest.raises(UsageError, match=r"ages\.csv, row 3: .*male, female or unknown") as raised:
        parse_sex(word, where="ages.csv, row 3")
    assert raised.value.code == "unknown_sex"


def test_expectation_by_hand() -> None:
    distribution = np.zeros((2, 240))
    distribution[0, 119] = 1.0  # 120 months
    distribution[1, [0, 239]] = [0.75, 0.25]  # .75 * 1 + .25 * 240
    np.testing.assert_allclose(expectation_months(distribution), [120.0, 60.75])


def test_interval_of_one_month_by_hand() -> None:
    distribution = np.zeros(240)
    distribution[99] = 1.0  # constant from 99.5 to 100.5
    assert central_interval_months(distribution, 0.05) == pytest.approx((99.55, 100.45))


def test_interval_of_two_months_by_hand() -> None:
    distribution = np.zeros(240)
    distribution[[9, 19]] = 0.5  # months 10 and 20, half each
    assert central_interval_months(distribution, 0.1) == pytest.approx((9.7, 20.3))


def test_interval_stays_on_the_axis() -> None:
    first, last = np.zeros(240), np.zeros(240)
    first[0], last[-1] = 1.0, 1.0
    assert central_interval_months(first, 0.01)[0] == 1.0
    assert central_interval_months(last, 0.01)[1] == 240.0


@given(st.lists(st.floats(0.01, 1.0), min_size=240, max_size=240), st.floats(0.01, 0.45))
def test_smaller_tails_make_wider_intervals(weights: list[float], tail: float) -> None:
    distribution = np.array(weights) / sum(weights)
    lower, upper = central_interval_months(distribution, tail)
    wide_lower, wide_upper = central_interval_months(distribution, tail / 2)
    assert 1.0 <= wide_lower <= lower <= upper <= wide_upper <= 240.0
