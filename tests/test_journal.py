"""A journal keeps the rows of finished work, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from boneage import journal as journal_module
from boneage.errors import OutputError, UsageError
from boneage.journal import CsvJournal, Journal, read_journal

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


COLUMNS = ("number", "file", "note")


def write_table(file: Path) -> bytes:
    with CsvJournal(file, COLUMNS) as journal:
        journal.append([{"number": 1, "file": 'the "first"\nhand.png', "note": "a"}, {"number": 2, "file": "\udcff"}])
    return file.read_bytes()


def test_a_table_grows_like_a_journal_and_is_a_table_at_any_moment(tmp_path: Path) -> None:
    file = tmp_path / "new" / "table.csv"
    assert write_table(file).decode() == 'number,file,note\n1,"the ""first""\nhand.png",a\n2,\\udcff,\n'
    with CsvJournal(file, COLUMNS) as journal:
        assert journal.rows == [
            {"number": "1", "file": 'the "first"\nhand.png', "note": "a"},
            {"number": "2", "file": "\\udcff", "note": ""},
        ]
        journal.append([{"number": 3}])
    assert file.read_text().endswith("\n3,,\n")


@pytest.mark.parametrize("torn", [b"3", b"3,b.png,c", b'3,"b\n', b"3,b.png\n4,c.png,d\n", b"\xff\x00\n", b"\n"])
def test_what_was_cut_off_at_the_end_of_a_table_is_done_again(tmp_path: Path, torn: bytes) -> None:
    whole = write_table(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open("ab") as stream:
        stream.write(torn)
    with CsvJournal(tmp_path / "table.csv", COLUMNS) as journal:
        assert len(journal.rows) == 2
    assert (tmp_path / "table.csv").read_bytes() == whole


def test_a_table_killed_within_its_header_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("number,fi")
    with CsvJournal(tmp_path / "table.csv", COLUMNS) as journal:
        assert journal.rows == []
    assert (tmp_path / "table.csv").read_text() == "number,file,note\n"


def test_a_table_with_other_columns_is_refused_and_left_alone(tmp_path: Path, refuses) -> None:
    (tmp_path / "table.csv").write_text("id,width\n1,300\n")
    with refuses(UsageError, "other_columns"):
        CsvJournal(tmp_path / "table.csv", COLUMNS)
    assert (tmp_path / "table.csv").read_text() == "id,width\n1,300\n"


def test_rows_whose_data_is_gone_are_cut_off_a_table(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    with CsvJournal(tmp_path / "table.csv", COLUMNS, holds=lambda row: row["number"] != "2") as journal:
        assert [row["number"] for row in journal.rows] == ["1"]
