"""The results in docs/results: every command there is a valid command of today, and every link leads to a file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

pytest.importorskip("lightning")

from boneage.cli import app
from boneage.research.experiments import EXPERIMENTS
from boneage.research.scales import find_scale
from boneage.training.recipes import replace_settings

RESULTS = Path(__file__).parents[2] / "docs" / "results"
TEXTS = {str(file.relative_to(RESULTS)): file.read_text(encoding="utf-8") for file in sorted(RESULTS.rglob("*.md"))}
COMMANDS = sorted(
    {
        found
        for text in TEXTS.values()
        for found in re.findall(r"^(?:Rebuild it: `)?(boneage reproduce [^`\n]+)", text, re.M)
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_of_today(command: str) -> None:
    group = typer.main.get_command(app)
    _, reproduce, words = group.resolve_command(
        group.make_context("boneage", [], resilient_parsing=True), shlex.split(command)[1:]
    )
    asked = reproduce.make_context("reproduce", words).params
    assert set(asked["experiments"]) <= {*EXPERIMENTS, "all"}
    scale = replace_settings(find_scale(asked["scale"]), asked["assign"] or [])
    assert scale.name == asked["scale"]


def test_every_table_has_its_command() -> None:
    tables = {file.stem for file in RESULTS.rglob("*.csv") if not file.stem.startswith("training")}
    assert len(COMMANDS) >= len(tables)
    assert {name.split("-")[0] if name.startswith("figure") else name for name in tables} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_to_a_file(name: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", TEXTS[name]):
        assert (RESULTS / name).parent.joinpath(target).exists(), target
