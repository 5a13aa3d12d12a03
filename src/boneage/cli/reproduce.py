"""`boneage reproduce`: the paper's tables and figures, and those beyond it, on any data set."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from boneage.assessment import NOTICE
from boneage.atomic import removed_if_empty
from boneage.cli.columns import Column, Images, Table, named_columns
from boneage.cli.hardware import Accelerator, Precision, Quiet, Workers, machine_of
from boneage.errors import OutputError, UsageError


def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(help="table1 to table5, figure1, figure3 to figure5, ...; all; none lists them."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set, or of any CSV and its pictures.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables, pictures and the trained cells.")] = None,
    scale: Annotated[str, typer.Option(help="paper, compact or tiny: networks, sizes, epochs.")] = "compact",
    table: Table = None,
    images: Images = None,
    column: Column = None,
    boxes: Annotated[
        Path | None, typer.Option(help="CSV of readers' boxes, to measure localization (id,reader,label,x0,...).")
    ] = None,
    reader: Annotated[str | None, typer.Option(help="Whose boxes to take, where two readers boxed the same.")] = None,
    localizers: Annotated[
        str | None, typer.Option(help="Take the regions of this model instead of training phase I.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Folder of ImageNet weights (<timm name>.*.safetensors or .pth), or 'timm' to fetch them."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the decoded films; trainings may share it. Else OUT/films.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all randomness.")] = 0,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of the scale, e.g. age.schedule.epochs=4."),
    ] = None,
    workers: Workers = 0,
    accelerator: Accelerator = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Run the paper's experiments, each cell trained from ages alone.

    Every cell is kept in OUT: the same command goes on where it was stopped, and experiments share equal cells.
    """
    # Here, not above: torch takes seconds to import, and --help should not.
    from boneage.datasets import read_boxes, read_dataset
    from boneage.model.folder import load_model
    from boneage.phantom.truth_folder import TruthFolder
    from boneage.research import EXPERIMENTS, ExperimentRunner, find_scale
    from boneage.research import reproduce as run
    from boneage.training.pipeline import check_out
    from boneage.training.recipes import replaced

    if not experiments:
        width = max(map(len, EXPERIMENTS))
        for name, what in EXPERIMENTS.items():
            typer.echo(f"{name:{width}}  {what}")
        return
    if unknown := [name for name in experiments if name not in EXPERIMENTS and name != "all"]:
        raise UsageError(f"'{unknown[0]}' is no experiment. Take all, or some of {', '.join(EXPERIMENTS)}.")
    if data is None or out is None:
        raise UsageError("Name the data set (--data DIR) and a folder for the results (--out DIR).")
    if weights not in (None, "timm") and not Path(str(weights)).is_dir():
        raise UsageError(f"--weights {weights}: there is no such folder.")
    settings = replaced(find_scale(scale), assign or [])
    truths = read_boxes(boxes, reader=reader) if boxes is not None else None
    if localizers is not None:
        load_model(localizers)
    machine = machine_of(workers, accelerator, precision, quiet=quiet)
    with removed_if_empty(out):
        check_out(out, resume=True)
        dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
        if not quiet:
            typer.echo(dataset.report(), err=True)
        runner = ExperimentRunner(
            dataset,
            settings,
            out,
            machine,
            cache=cache,
            localizers=localizers,
            weights=weights,
            boxes=truths,
            truth=TruthFolder(data) if (data / "truth").is_dir() else None,
            seed=seed,
        )
        try:
            made = run(runner, experiments, _command(sys.argv[1:]))
        except OSError as error:
            place = error.filename or out
            raise OutputError(
                f"{place}: could not be read or written ({error.strerror or error}). Free some space or check your "
                "rights, and give the command again: it goes on where it stopped."
            ) from error
    typer.echo(NOTICE, err=True)
    for file in made:
        sys.stdout.write(f"{file}\n")


def _command(arguments: list[str]) -> str:
    """The command with `{name}` for the experiments, and folders by their last name."""
    if arguments[:1] != ["reproduce"]:
        return ""
    kept: list[str] = []
    flags = {"--quiet"}
    rest = iter(arguments[1:])
    for word in rest:
        if not word.startswith("--"):
            continue
        option, equals, value = word.partition("=")
        if option in flags:
            continue
        value = value if equals else next(rest, "")
        kept += [option, value if option == "--set" else Path(value).name]
    return " ".join(["boneage reproduce {name}", shlex.join(kept)])
