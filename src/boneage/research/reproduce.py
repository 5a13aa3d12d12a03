"""Which experiments there are, and running them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from boneage.errors import UsageError
from boneage.research import age_experiments as ages
from boneage.research import baseline_experiments as compared_baselines
from boneage.research import figures as pictures
from boneage.research import localization_experiments as localization
from boneage.research.results import Result
from boneage.research.runner import ExperimentRunner

_TABLES: Final[Mapping[str, Callable[[ExperimentRunner, ages.Report], Result]]] = {
    "table1": localization.table1,
    "table2": ages.table2,
    "table3": ages.table3,
    "table4": ages.table4,
    "table5": ages.table5,
    "figure5": ages.figure5,
    "delta": ages.delta,
    "label-width": localization.label_width,
    "localizer-loss": localization.localizer_loss,
    "whole-or-hand": localization.whole_or_hand,
    "class-average": localization.class_average,
    "fusion": ages.fusion,
    "kl-direction": ages.kl_direction,
    "data-size": ages.data_size,
    "baselines": compared_baselines.baselines,
    "end-to-end": compared_baselines.end_to_end,
}
_PICTURES: Final[Mapping[str, Callable[[ExperimentRunner, Path], Path]]] = {
    "figure1": pictures.figure1,
    "figure3": pictures.figure3,
    "figure4": pictures.figure4,
}


def _rank(name: str) -> tuple[int, str]:
    """Tables first, then figures, then what is beyond the paper."""
    return (0 if name.startswith("table") else 1 if name.startswith("figure") else 2), name


EXPERIMENTS: Final = {
    name: " ".join((function.__doc__ or "").split())
    for name, function in sorted({**_TABLES, **_PICTURES}.items(), key=lambda item: _rank(item[0]))
}
"""Name -> what it shows."""


def reproduce(runner: ExperimentRunner, names: Sequence[str], command: str = "") -> list[Path]:
    """Run experiments; what is complete in the bench's folder is not run again.

    Args:
        bench: data, scale, folder.
        names: of `EXPERIMENTS`, or "all".
        command: what rebuilds a result; `{name}` in it becomes the experiment's name.

    Returns:
        The Markdown files and pictures, in the order in which they were made. A table is written anew after each of
        its cells, so that a stopped run leaves what it has found.

    Raises:
        UsageError: no such experiment.
        DatasetError, TrainingError, OutputError: see `ExperimentRunner`.
    """
    if unknown := [name for name in names if name not in EXPERIMENTS and name != "all"]:
        raise UsageError(f"'{unknown[0]}' is no experiment. Take all, or some of {', '.join(EXPERIMENTS)}.")
    wanted = list(EXPERIMENTS) if "all" in names else list(dict.fromkeys(names))
    made: list[Path] = []

    def keep(result: Result) -> None:
        dataclasses.replace(result, command=command.replace("{name}", name)).write(runner.out)
        file = runner.out / f"{result.name}.md"
        if file not in made:
            made.append(file)

    for place, name in enumerate(wanted):
        left = ", ".join(wanted[place + 1 :])
        runner.say(f"{name}: {EXPERIMENTS[name]}" + (f" Left after it: {left}." if left else ""))
        if name in _PICTURES:
            made.append(_PICTURES[name](runner, runner.out))
        else:
            keep(_TABLES[name](runner, keep))
    return made
