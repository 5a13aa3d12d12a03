"""A result is there whole, or what was there before is."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneage.atomic import replacing, write_atomically
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

    with pytest.raises(expected) as caught:
        write()
    if expected is OutputError:
        assert str(file) in str(caught.value)
        assert "No space left" in str(caught.value)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_results_may_be_read_by_those_who_may_read_other_files(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write_atomically(tmp_path / "result", "")
    assert (tmp_path / "result").stat().st_mode == plain.stat().st_mode
