"""The command in processes as services, consoles and schedulers make them."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from boneage.cli import app


@pytest.fixture
def folder(tmp_path: Path, hand_pixels: Any) -> Path:
    (tmp_path / "hands").mkdir()
    for name in ("a.png", "手.png"):
        Image.fromarray(hand_pixels()).save(tmp_path / "hands" / name)
    return tmp_path / "hands"


def _command(folder: Path, model: Path, *arguments: object) -> list[str]:
    given = ["assess", folder, "--sex", "male", "--model", model, *arguments]
    return [sys.executable, "-m", "boneage", *map(str, given)]


def _environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **changes}


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("form", ["csv", "json", "table"])
def test_a_character_that_the_output_lacks_is_spelt_out(
    folder: Path, standin_model: Path, encoding: str, form: str
) -> None:
    command = _command(folder, standin_model, "--format", form)
    done = subprocess.run(
        command, env=_environment(PYTHONIOENCODING=encoding), capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert "a.png" in text
    assert "\\u624b.png" in text
    if form == "table":
        assert "?" not in text
        assert "\\u2500" not in text


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
def test_a_process_without_standard_error_gives_its_results(folder: Path, standin_model: Path, closed: str) -> None:
    shell = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *_command(folder, standin_model, "--format", "csv")]
    done = subprocess.run(shell, env=_environment(), stdout=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 0
    assert [row["status"] for row in csv.DictReader(io.StringIO(done.stdout.decode()))] == ["assessed"] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_run_that_is_ended_leaves_its_report_and_nothing_hidden(
    tmp_path: Path, folder: Path, standin_model: Path
) -> None:
    for number in range(40):
        (folder / f"b{number:02}.png").symlink_to(folder / "a.png")
    command = _command(folder, standin_model, "--format", "json", "--workers", 1, "--report", tmp_path / "rep")
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        # The second line is printed when the first radiograph is in the report.
        second = running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        rest = running.stdout.read().splitlines()
    assert running.returncode == 128 + signal.SIGTERM
    assert (first[:1], second[:1]) == (b"{", b"{")
    assert {path.name for path in tmp_path.iterdir() if path.name != "hand.png"} == {"hands", "rep"}
    kept = (tmp_path / "rep" / "results.jsonl").read_bytes().splitlines()
    assert 1 <= len(kept) <= 2 + len(rest)
    assert len(list((tmp_path / "rep").glob("0*.html"))) == len(kept)
    assert 'data-code="interrupted"' in (tmp_path / "rep" / "index.html").read_text()


def test_help_texts_keep_their_brackets_and_every_command_has_a_short_help() -> None:
    groups = {"assess": [], "train": [], "evaluate": [], "reproduce": [], "regions": [], "phantom": []} | {
        "models": ["list", "verify", "info", "index", "regional-heads"]
    }
    for name, parts in groups.items():
        for path in ([name], *([name, part] for part in parts)):
            result = CliRunner().invoke(app, [*path, "-h"])
            assert result.exit_code == 0, path
            assert "-h, --help" in result.stdout
    for part in ("index", "regional-heads"):
        assert "boneage[train]" in CliRunner().invoke(app, ["models", part, "-h"]).stdout
    assert "boneage[train]" in CliRunner().invoke(app, ["reproduce", "--help"]).stdout
