"""Run experiments: from the options of `boneage reproduce` to tables and figures in a folder."""

from __future__ import annotations

import dataclasses
import importlib.util
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boneage.atomic import removed_if_empty
from boneage.errors import OutputError, UsageError
from boneage.progress import say
from boneage.research.experiments import EXPERIMENTS
from boneage.research.scales import Scale, find_scale

if TYPE_CHECKING:
    from boneage.datasets import Columns
    from boneage.research.results import Picture, Result
    from boneage.research.runner import ExperimentRunner
    from boneage.training.run.hardware import Machine

_LIBRARIES: Final = ("torch", "timm", "lightning")


@dataclass(frozen=True)
class Request:
    """What to run, on which data, into which folder.

    Attributes:
        experiments: names of `EXPERIMENTS`, or "all".
        data: folder of the data set; `table`, `columns`, `images` as for `boneage.datasets.read_dataset`.
        out: folder of the results and of the trained cells.
        scale: one of `boneage.research.scales.SCALES`.
        assignments: `key=value` pairs that replace settings of the scale.
        boxes, reader: CSV of readers' boxes, and the reader whose boxes are taken.
        localizers, weights, cache, seed: as for `ExperimentRunner`.
        command: the command that rebuilds a result; `{name}` in it stands for the experiment.
    """

    experiments: Sequence[str]
    data: Path | None
    out: Path | None
    scale: str = "compact"
    assignments: Sequence[str] = ()
    table: Path | None = None
    columns: Columns | None = None
    images: Path | None = None
    boxes: Path | None = None
    reader: str | None = None
    localizers: str | None = None
    weights: str | None = None
    cache: Path | None = None
    seed: int = 0
    command: str = ""


def list_experiments() -> str:
    """The experiments, one a line: name and what it shows."""
    width = max(map(len, EXPERIMENTS))
    return "\n".join(f"{name:{width}}  {summary}" for name, summary in EXPERIMENTS.items())


def reproduce(request: Request, machine: Machine) -> list[Path]:
    """Run the experiments of a request.

    The same request goes on where it was stopped: cells that are complete in `out` are not trained again.

    Returns:
        The Markdown files and pictures, in the order in which they were made.

    Raises:
        UsageError: a training library is not installed (`training_not_installed`), there is no such experiment
            (`unknown_experiment`), scale (`unknown_scale`) or folder of weights (`no_such_folder`), or the request
            names no data set (`no_data_set`) or no output folder (`no_output_folder`).
        DatasetError: the data set cannot be learned from.
        OutputError: a file could not be read or written; what is complete stays.
        TrainingError: phase I cannot be trained.
    """
    names, data, out = check_request(request)
    from boneage.training.pipeline import check_out

    with removed_if_empty(out):
        scale = _choose_scale(request)
        check_out(out, resume=True)
        runner = _make_runner(request, scale, data=data, out=out, machine=machine)
        try:
            return run_experiments(runner, names, request.command)
        except OSError as error:
            place = error.filename or out
            raise OutputError(
                f"{place}: could not be read or written ({error.strerror or error}). Free some space or check your "
                "permissions, and give the command again: it goes on where it stopped.",
                code="cannot_write",
            ) from error


def choose_experiments(names: Sequence[str]) -> list[str]:
    """The experiments in the order given, each once; "all" stands for all of them.

    Raises:
        UsageError: there is no such experiment (`unknown_experiment`).
    """
    if unknown := [name for name in names if name not in EXPERIMENTS and name != "all"]:
        raise UsageError(
            f"Unknown experiment '{unknown[0]}'. Take all, or some of {', '.join(EXPERIMENTS)}.",
            code="unknown_experiment",
        )
    return list(EXPERIMENTS) if "all" in names else list(dict.fromkeys(names))


def check_request(request: Request) -> tuple[list[str], Path, Path]:
    """Check what can be checked before a training library is loaded.

    Returns:
        The experiments, the folder of the data set, the output folder.

    Raises:
        UsageError: see `reproduce`.
    """
    names = choose_experiments(request.experiments)
    if request.data is None:
        raise UsageError("Name the data set (--data DIR).", code="no_data_set")
    if request.out is None:
        raise UsageError("Name a folder for the results (--out DIR).", code="no_output_folder")
    if request.weights not in (None, "timm") and not Path(str(request.weights)).is_dir():
        raise UsageError(f"--weights {request.weights}: there is no such folder.", code="no_such_folder")
    if missing := [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"Experiments train networks and need {', '.join(missing)}, which this installation lacks: "
            "pip install 'boneage[train]'.",
            code="training_not_installed",
        )
    return names, request.data, request.out


def run_experiments(runner: ExperimentRunner, names: Sequence[str], command: str = "") -> list[Path]:
    """Run experiments of `EXPERIMENTS` and write their results to the runner's folder.

    Args:
        command: rebuilds a result; `{name}` in it stands for the experiment.

    Returns:
        The Markdown files and pictures, in the order in which they were made.
    """
    made: list[Path] = []
    for place, name in enumerate(names):

        def write(result: Result | Picture, rebuild: str = command.replace("{name}", name)) -> None:
            file = dataclasses.replace(result, command=rebuild).write(runner.out)
            if file not in made:
                made.append(file)

        left = ", ".join(names[place + 1 :])
        runner.say(f"{name}: {EXPERIMENTS[name]}" + (f" Left after it: {left}." if left else ""))
        import_module(f"boneage.research.experiments.{name.replace('-', '_')}").run(runner, write)
    return made


def shorten_command(arguments: Sequence[str]) -> str:
    """The command line of `boneage reproduce` for the foot of a result.

    `{name}` stands for the experiments, and files and folders are given by their last name.
    """
    if arguments[:1] != ["reproduce"]:
        return ""
    kept: list[str] = []
    rest = iter(arguments[1:])
    for word in rest:
        if not word.startswith("--"):
            continue
        option, equals, value = word.partition("=")
        if option == "--quiet":
            continue
        value = value if equals else next(rest, "")
        kept += [option, value if option == "--set" else Path(value).name]
    return " ".join(["boneage reproduce {name}", shlex.join(kept)])


def _choose_scale(request: Request) -> Scale:
    from boneage.training.recipes import replace_settings

    return replace_settings(find_scale(request.scale), request.assignments)


def _make_runner(request: Request, scale: Scale, data: Path, out: Path, machine: Machine) -> ExperimentRunner:
    from boneage.datasets import read_boxes, read_dataset
    from boneage.model.folder import load_model
    from boneage.phantom.truth_folder import TruthFolder
    from boneage.research.runner import ExperimentRunner

    boxes = read_boxes(request.boxes, reader=request.reader) if request.boxes is not None else None
    if request.localizers is not None:
        load_model(request.localizers)
    dataset = read_dataset(data, table=request.table, columns=request.columns, images=request.images)
    say(dataset.report(), quiet=not machine.progress)
    return ExperimentRunner(
        dataset=dataset,
        scale=scale,
        out=out,
        machine=machine,
        cache=request.cache,
        localizers=request.localizers,
        weights=request.weights,
        boxes=boxes,
        truth=TruthFolder(data) if (data / "truth").is_dir() else None,
        seed=request.seed,
    )
