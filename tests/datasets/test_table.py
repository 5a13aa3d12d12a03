from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from boneage.ages import Sex
from boneage.datasets import Case, Dataset, Dropped, split_of, with_dropped
from boneage.errors import DatasetError


def case(name: str, **known: object) -> Case:
    facts: dict[str, object] = {"sex": Sex.MALE, "age_months": 100.0, "split": "train"} | known
    return Case(name, Path(f"{name}.png"), **facts)  # type: ignore[arg-type]


def dataset(cases: list[Case], dropped: int = 0) -> Dataset:
    return Dataset(
        "set", Path("set"), tuple(cases), tuple(Dropped(f"x{i}", "t.csv", "missing file") for i in range(dropped))
    )


# From the shell: h = the output of `printf %s 1377 | sha256sum` in capitals; `echo "ibase=16; $h % 64" | bc`.
@pytest.mark.parametrize(
    ("case_id", "last_two", "split"),
    [
        ("1377", 22, "train"),
        ("1378", 82, "train"),
        ("00001", 34, "train"),
        ("1", 15, "train"),
        ("1381", 14, "validation"),
        ("1527", 10, "validation"),
        ("1434", 9, "test"),
        ("1395", 8, "test"),
    ],
)
def test_splits_follow_the_hash_of_the_id(case_id: str, last_two: int, split: str) -> None:
    assert split_of(case_id) == split
    assert split == ("test" if last_two < 10 else "validation" if last_two < 15 else "train")


def test_labelled_moves_missing_labels_to_the_dropped() -> None:
    whole = dataset([case("a"), case("b", sex=None), case("c", age_months=None)])
    assert [item.id for item in whole.labelled.cases] == ["a"]
    assert [(item.id, item.reason) for item in whole.labelled.dropped] == [("b", "unknown sex"), ("c", "no age")]
    assert len(whole) == 3


def test_tables_without_ages_are_left_out_and_noted() -> None:
    whole = replace(dataset([case("a"), case("t", age_months=None)]), without_labels=frozenset({"t"}))
    ready = whole.check_for_training()
    assert [item.id for item in ready.cases] == ["a"]
    assert not ready.dropped
    assert "1 cases of tables without ages" in ready.report()


def test_training_stops_above_five_per_cent() -> None:
    cases = [case(str(number)) for number in range(95)]
    assert len(dataset(cases, dropped=5).check_for_training()) == 95
    with pytest.raises(DatasetError, match=r"6 of 100 rows were dropped, more than 5%(?s:.)*missing file: 6") as raised:
        dataset(cases[:94], dropped=6).check_for_training()
    assert raised.value.code == "too_many_dropped"


def test_cases_that_are_dropped_later_count(refuses) -> None:
    cases = [case(str(number)) for number in range(20)]
    late = with_dropped(
        dataset(cases), [Dropped("0", "0.png", "unreadable file"), Dropped("1", "1.png", "unreadable file")]
    )
    assert len(late) == 18
    with refuses(DatasetError, "too_many_dropped"):
        late.check_for_training()


def test_a_set_without_training_cases_is_refused(refuses) -> None:
    with refuses(DatasetError, "no_training_case"):
        dataset([]).check_for_training()
    with refuses(DatasetError, "no_training_case"):
        dataset([case("a", split="test")]).check_for_training()


def test_of_keeps_the_asked_splits() -> None:
    whole = dataset([case("a"), case("b", split="validation"), case("c", split="test")], dropped=1)
    assert [item.id for item in whole.of("validation", "test").cases] == ["b", "c"]
    assert len(whole.of("train").dropped) == 1


def test_the_report_names_examples_and_counts_the_rest() -> None:
    text = dataset([case("a")], dropped=8).report()
    assert "train 1, validation 0, test 0" in text
    assert "8 of 9 rows dropped (88.9%)" in text
    assert "x0, t.csv" in text
    assert "and 3 more" in text
