"""Two runs never write one output at the same time; a run that is gone is in nobody's way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from boneage.errors import OutputError, UsageError
from boneage.sole_writer import SoleWriter


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path, refuses: Any) -> None:
    out = tmp_path / "new" / "out"
    with SoleWriter(out) as first:
        assert first.file.read_text() == f"{os.getpid()}\n"
        with refuses(UsageError, "output_in_use"):
            SoleWriter(out)
        with SoleWriter(tmp_path / "new" / "other"):
            pass
    with SoleWriter(out):
        pass
    assert list((tmp_path / "new").iterdir()) == []


def test_another_name_of_the_folder_has_the_same_lock(tmp_path: Path, refuses: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with SoleWriter(tmp_path / "out"), refuses(UsageError, "output_in_use"):
        SoleWriter(tmp_path / "link")


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path, refuses: Any) -> None:
    script = (
        "import sys; from boneage.sole_writer import SoleWriter\n"
        "held = SoleWriter(sys.argv[1]); print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with refuses(UsageError, "output_in_use"):
            SoleWriter(tmp_path / "out")
        other.kill()
    assert (tmp_path / ".out.lock").exists()
    with SoleWriter(tmp_path / "out"):
        pass
    assert not (tmp_path / ".out.lock").exists()


def test_a_place_where_nothing_can_be_made(tmp_path: Path, refuses: Any) -> None:
    (tmp_path / "file").touch()
    with refuses(OutputError, "cannot_write"):
        SoleWriter(tmp_path / "file" / "out")
