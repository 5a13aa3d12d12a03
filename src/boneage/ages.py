"""The age axis and the sexes. Months run from 1 to 240; only this module holds these limits."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.errors import UsageError

FIRST_MONTH: Final = 1
LAST_MONTH: Final = 240
MONTHS: Final[npt.NDArray[np.int64]] = np.arange(FIRST_MONTH, LAST_MONTH + 1)
"""The age axis, int64 [240]: `distribution[k]` is the probability of `MONTHS[k]` months."""
MONTHS.setflags(write=False)

_MALE_WORDS: Final = frozenset({"male", "m", "boy"})
_FEMALE_WORDS: Final = frozenset({"female", "f", "girl"})
MISSING_WORDS: Final = frozenset({"", "nan", "none", "na", "n/a", "<na>", "nat", "null", "?", "-"})
"""How tables and their readers write a value that is missing, in lower case."""
_UNKNOWN_WORDS: Final = frozenset({"unknown", "u", "o", "other"}) | MISSING_WORDS


class Sex(StrEnum):
    """A child's sex, as the standards for bone age distinguish it. Unknown is `None` everywhere."""

    MALE = "male"
    FEMALE = "female"

    @property
    def sign(self) -> float:
        """The input of the age network: male +1, female -1."""
        return 1.0 if self is Sex.MALE else -1.0


def parse_sex(word: object, *, where: str = "") -> Sex | None:
    """Read a word for a sex (`male`, `F`, `girl`, `unknown`, ...), without regard to case.

    Numbers and booleans (1, 0, True, ...) are refused: 1 is male in one table and female in the next.

    Args:
        word: the word; None and NaN count as unknown.
        where: file and row, for the message.

    Returns:
        The sex, or None where the word means unknown.

    Raises:
        UsageError: the word is not known (code `unknown_sex`).
    """
    text = "" if word is None else str(word).strip().lower()
    if text in _MALE_WORDS:
        return Sex.MALE
    if text in _FEMALE_WORDS:
        return Sex.FEMALE
    if text in _UNKNOWN_WORDS:
        return None
    place = f"{where}: " if where else ""
    raise UsageError(
        f"{place}'{word}' is not a known word for a sex. Write male, female or unknown.", code="unknown_sex"
    )


def is_missing(value: object) -> bool:
    """Whether a value of a table (None, NaN, an empty text, `n/a`, ...) stands for nothing at all."""
    return value is None or str(value).strip().lower() in MISSING_WORDS


def expectation_months(distribution: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Bone age as the expectation of a distribution over `MONTHS` (the paper's Eq. 8).

    Args:
        distribution: float [..., 240], each row summing to 1.

    Returns:
        float64 [...], months.
    """
    return np.asarray(distribution, dtype=np.float64) @ MONTHS.astype(np.float64)


def central_interval_months(distribution: npt.NDArray[np.floating], tail: float) -> tuple[float, float]:
    """The interval with a probability of `tail` below it and above it.

    The distribution is a density that is constant within each month [k - 1/2, k + 1/2], so the ends move continuously
    with `tail`.

    Args:
        distribution: float [240], summing to 1.
        tail: probability outside at each end, in (0, 1/2).

    Returns:
        (lower, upper) in months, within [1, 240].
    """
    cumulative = np.concatenate([[0.0], np.cumsum(np.asarray(distribution, dtype=np.float64))])
    cumulative /= cumulative[-1]
    edges = np.arange(FIRST_MONTH, LAST_MONTH + 2) - 0.5
    lower, upper = np.interp([tail, 1.0 - tail], cumulative, edges)
    return float(np.clip(lower, FIRST_MONTH, LAST_MONTH)), float(np.clip(upper, FIRST_MONTH, LAST_MONTH))
