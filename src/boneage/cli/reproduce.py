"""`boneage reproduce`: the paper's tables and figures, and those beyond it, on any data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from boneage.assessment import NOTICE
from boneage.atomic import removed_if_empty
from boneage.cli.columns import Column, Images, Table, named_columns
from boneage.cli.hardware import Accelerator, Precision, Quiet, Workers, machine_of
from boneage.cli.output import write_out
from boneage.sole_writer import SoleWriter


def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(help="table1 to table5, figure1, figure3 to figure5, ... or all. Without a name: the list."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set, or of any CSV and its pictures.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables, figures and the trained cells.")] = None,
    scale: Annotated[str, typer.Option(help="paper, compact or tiny: networks, sizes, epochs.")] = "compact",
    table: Table = None,
    images: Images = None,
    column: Column = None,
    boxes: Annotated[
        Path | None, typer.Option(help="CSV of readers' boxes, to measure localization (id,reader,label,x0,...).")
    ] = None,
    reader: Annotated[
        str | None, typer.Option(help="Reader whose boxes are taken where two readers boxed the same radiograph.")
    ] = None,
    localizers: Annotated[
        str | None, typer.Option(help="Take the regions of this model instead of training phase I.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Folder of ImageNet weights (<timm name>.*.safetensors or .pth), or 'timm' to fetch them."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the cached images; trainings may share it. Else OUT/images.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")] = 0,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of the scale, e.g. age.schedule.epochs=4."),
    ] = None,
    workers: Workers = 0,
    accelerator: Accelerator = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Run the paper's experiments. Each cell is trained from ages alone.

    Every cell is kept in OUT: the same command goes on where it was stopped, and experiments share equal cells.

    Training needs more libraries: pip install 'boneage[train]'. The list of experiments does not.
    """
    # Here, not above: --help should not import what only experiments need.
    from boneage.research.reproduce import Request, check_request, list_experiments, shorten_command
    from boneage.research.reproduce import reproduce as run

    if not experiments:
        typer.echo(list_experiments())
        return
    request = Request(
        experiments=experiments,
        data=data,
        out=out,
        scale=scale,
        assignments=assign or (),
        table=table,
        columns=named_columns(column),
        images=images,
        boxes=boxes,
        reader=reader,
        localizers=localizers,
        weights=weights,
        cache=cache,
        seed=seed,
        command=shorten_command(sys.argv[1:]),
    )
    _, _, folder = check_request(request)
    with removed_if_empty(folder), SoleWriter(folder):
        made = run(request, machine_of(workers, accelerator, precision, quiet=quiet))
    typer.echo(NOTICE, err=True)
    for file in made:
        write_out(f"{file}\n")
