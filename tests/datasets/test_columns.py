from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.datasets.columns import Columns, case_id, find_columns, normalize_name, stem_of
from boneage.datasets.tabular import Sheet

COLUMNS = {
    "id": "id",
    "Image ID": "id",
    "Case ID": "id",
    "Bone Age (months)": "age",
    "Ground truth bone age (months)": "age",
    "boneage": "age",
    "male": "male",
    "Sex": "sex",
    "Chronological": "chronological_age",
    "dir": "folder",
    "split": "split",
}


def spelled(name: str, seed: int) -> str:
    """The name with any case, and spaces or underscores wherever people put them."""
    chance = random.Random(seed)
    letters = [chance.choice((letter.lower(), letter.upper())) + chance.choice(("", "", " ", "_")) for letter in name]
    return chance.choice(("", " ", "_")) + "".join(letters)


@given(st.sampled_from(sorted(COLUMNS)), st.integers(0, 2**32))
@settings(deadline=None)
def test_columns_are_found_however_they_are_spelled(name: str, seed: int) -> None:
    header = ("other", spelled(name, seed))
    assert find_columns(Sheet(Path("t.csv"), header, ()), Columns()) == {COLUMNS[name]: (1,)}
    assert normalize_name(header[1]) == normalize_name(name)


@given(st.integers(0, 2**32), st.integers(0, 2**32))
@settings(deadline=None)
def test_columns_that_the_user_names_are_found_however_they_are_spelled(written: int, asked: int) -> None:
    header = ("id", spelled("Knochenalter", written))
    indices = find_columns(Sheet(Path("t.csv"), header, ()), Columns(age=spelled("Knochenalter", asked)))
    assert indices["age"] == (1,)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("1377", "1377"),
        ("1377.png", "1377"),
        (" a/b/1377.PNG ", "1377"),
        ("c:\\x\\00001.jpg", "00001"),
        ("1377.0", "1377"),
        ("00001", "00001"),
        ("1.2.840.10008.5", "1.2.840.10008.5"),
        ("scan.final", "scan.final"),
    ],
)
def test_ids_keep_their_zeros_and_lose_extensions(written: str, name: str) -> None:
    assert case_id(written) == name


def test_stems_keep_dots_that_do_not_begin_an_extension() -> None:
    assert stem_of("x/1.2.840.dcm") == "1.2.840"
