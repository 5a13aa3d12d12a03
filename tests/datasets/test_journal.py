"""A journal keeps the rows of finished work, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from boneage.datasets import journal as journal_module
from boneage.datasets.journal import Journal, read_journal
from boneage.errors import OutputError, UsageError

KEY = {"model": "ab12", "sizes": (1, 2)}
ROWS = [{"file": "a.png", "months": 120.5}, {"file": 'b\n".png', "months": None}, {"file": "\udcff", "months": 3}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with Journal(tmp_path / "new" / "run.jsonl", KEY) as journal:
        journal.append(ROWS[:1])
        journal.append(ROWS[1:])
    return tmp_path / "new" / "run.jsonl"


def test_rows_come_back_as_they_were_appended(file: Path) -> None:
    assert read_journal(file, KEY) == ROWS
    with Journal(file, KEY) as journal:
        assert journal.rows == ROWS
        journal.append([{"file": "d.png"}])
        assert journal.rows == [*ROWS, {"file": "d.png"}]
    assert read_journal(file, KEY) == [*ROWS, {"file": "d.png"}]


def test_a_missing_journal_has_no_rows(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none.jsonl", KEY) == []
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.parametrize("lost", [1, 2, 20])
def test_a_torn_last_line_is_dropped_and_written_over(file: Path, lost: int) -> None:
    os.truncate(file, file.stat().st_size - lost)
    assert read_journal(file, KEY) == ROWS[:2]
    with Journal(file, KEY) as journal:
        journal.append([{"file": "again"}])
    assert read_journal(file, KEY) == [*ROWS[:2], {"file": "again"}]


def test_a_journal_killed_within_its_first_line_begins_anew(file: Path) -> None:
    os.truncate(file, 7)
    assert read_journal(file, KEY) == []
    with Journal(file, KEY) as journal:
        journal.append(ROWS)
    assert read_journal(file, KEY) == ROWS


@pytest.mark.parametrize("damage", ["[1]", "{", "7", ""])
def test_rows_behind_a_damaged_line_are_dropped(file: Path, damage: str) -> None:
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], damage, *lines[2:]]) + "\n")
    assert read_journal(file, KEY) == ROWS[:1]


def test_rows_whose_data_is_gone_are_dropped_with_all_later_ones(file: Path) -> None:
    def holds(row: dict) -> bool:
        return row["months"] is not None

    assert read_journal(file, KEY, holds=holds) == ROWS[:1]
    with Journal(file, KEY, holds=holds) as journal:
        assert journal.rows == ROWS[:1]
    assert read_journal(file, KEY) == ROWS[:1]


def test_the_journal_of_another_run_is_refused_and_left_alone(file: Path, refuses) -> None:
    before = file.read_bytes()
    other = {**KEY, "model": "cd34"}
    with refuses(UsageError, "journal_of_another_run"):
        read_journal(file, other)
    with pytest.raises(UsageError, match=r"run\.jsonl.*different: model\)") as raised:
        Journal(file, other)
    assert raised.value.code == "journal_of_another_run"
    assert file.read_bytes() == before


def test_a_file_that_is_not_a_journal_is_refused(tmp_path: Path, refuses) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes\n")
    with refuses(UsageError, "journal_of_another_run"):
        Journal(file, KEY)
    assert file.read_text() == "my notes\n"


def test_the_journal_of_another_run_is_replaced_on_request(file: Path) -> None:
    with Journal(file, {"model": "cd34"}, replace_other=True) as journal:
        assert journal.rows == []
        journal.append([{"file": "c.png"}])
    assert read_journal(file, {"model": "cd34"}) == [{"file": "c.png"}]


def test_a_row_is_on_disk_when_append_returns(file: Path) -> None:
    with Journal(file, KEY) as journal:
        journal.append([{"file": "d.png"}])
        assert json.loads(file.read_text().splitlines()[-1]) == {"file": "d.png"}


def test_a_removed_journal_is_gone(file: Path) -> None:
    with Journal(file, KEY) as journal:
        journal.remove()
    assert not file.exists()


def test_a_full_disk_is_an_output_error_and_keeps_the_rows(
    file: Path, monkeypatch: pytest.MonkeyPatch, refuses
) -> None:
    def full(stream: object) -> None:
        raise OSError(28, "No space left on device")

    with Journal(file, KEY) as journal:
        monkeypatch.setattr(journal_module, "flush_to_disk", full)
        with refuses(OutputError, "cannot_write"):
            journal.append([{"file": "d.png"}])
        assert journal.rows == ROWS
    assert read_journal(file, KEY)[:3] == ROWS


def test_a_folder_in_the_way_is_an_output_error(tmp_path: Path, refuses) -> None:
    with refuses(OutputError, "cannot_read"):
        read_journal(tmp_path, KEY)
