"""A result is there whole, or what was there before is."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneage.atomic import replace_folder, replacing, write_atomically
from boneage.errors import OutputError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "result.txt"
    write_atomically(file, "first")
    write_atomically(file, b"second")
    assert file.read_text() == "second"
    with replacing(file) as waiting:
        waiting.write_text("third")
        assert file.read_text() == "second"
    assert file.read_text() == "third"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(OSError(28, "No space left on device"), OutputError), (ValueError("a bad value"), ValueError)],
)
def test_a_writer_that_fails_leaves_what_was_there(
    tmp_path: Path, raised: Exception, expected: type[Exception]
) -> None:
    file = tmp_path / "result.txt"
    file.write_text("before")

    def write() -> None:
        with replacing(file) as waiting:
            waiting.write_text("half")
            raise raised

    with pytest.raises(expected) as failure:
        write()
    if isinstance(failure.value, OutputError):
        assert failure.value.code == "cannot_write"
        assert str(file) in str(failure.value)
        assert "No space left" in str(failure.value)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_results_may_be_read_by_those_who_may_read_other_files(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write_atomically(tmp_path / "result", "")
    assert (tmp_path / "result").stat().st_mode == plain.stat().st_mode


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished folder `work` with one file."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "new").write_text("new")
    return tmp_path / "work"


def _folder(path: Path, name: str) -> Path:
    path.mkdir()
    (path / name).write_text(name)
    return path


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_moves_to_a_free_place(tmp_path: Path, finished: Path) -> None:
    replace_folder(finished, tmp_path / "target")
    assert _names(tmp_path) == ["target"]
    assert _names(tmp_path / "target") == ["new"]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path, finished: Path) -> None:
    replace_folder(finished, _folder(tmp_path / "target", "old"))
    assert _names(tmp_path) == ["target"]
    assert _names(tmp_path / "target") == ["new"]


def test_the_working_directory_may_be_replaced(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_folder(tmp_path / "target", "old"))
    replace_folder(finished, ".")
    assert _names(tmp_path) == ["target"]
    assert _names(tmp_path / "target") == ["new"]


def test_the_older_folder_comes_back_when_the_move_fails(tmp_path: Path) -> None:
    target = _folder(tmp_path / "target", "old")
    with pytest.raises(OSError, match="missing"):
        replace_folder(tmp_path / "missing", target, aside=tmp_path / "aside")
    assert _names(tmp_path) == ["target"]
    assert _names(target) == ["old"]


def test_what_a_killed_swap_left_aside_goes_with_the_next_one(tmp_path: Path, finished: Path) -> None:
    _folder(tmp_path / "aside", "oldest")
    replace_folder(finished, _folder(tmp_path / "target", "old"), aside=tmp_path / "aside")
    assert _names(tmp_path) == ["target"]
    assert _names(tmp_path / "target") == ["new"]


def test_what_a_killed_swap_left_aside_comes_back_when_the_next_one_fails(tmp_path: Path) -> None:
    _folder(tmp_path / ".target.older", "old")
    with pytest.raises(OSError, match="missing"):
        replace_folder(tmp_path / "missing", tmp_path / "target")
    assert _names(tmp_path / "target") == ["old"]
