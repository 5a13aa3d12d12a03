"""`boneage train`: a recipe and a data set -> a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boneage.assessment import NOTICE
from boneage.atomic import removed_if_empty
from boneage.cli.columns import Column, Data, Images, Table, named_columns
from boneage.cli.hardware import Accelerator, Precision, Quiet, Workers, machine_of
from boneage.cli.output import write_out
from boneage.errors import OutputError
from boneage.sole_writer import SoleWriter
from boneage.training.recipes import NAMES


def train(
    recipe: Annotated[str, typer.Argument(help=f"{', '.join(NAMES)}, or a .py file with a RECIPE.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the stages; the model comes to OUT/model.")],
    table: Table = None,
    images: Images = None,
    column: Column = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for the decoded images; trainings may share it. Default: OUT/images."),
    ] = None,
    terms: Annotated[str, typer.Option(help="The data set's terms of use, for the model's provenance.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where it stopped; complete stages are not run again.")
    ] = False,
    index: Annotated[
        bool,
        typer.Option("--index", help="Also index the training cases (ids and ages) in OUT/index.npz."),
    ] = False,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, e.g. regressor.schedule.epochs=4."),
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs (or CPU processes) that train together.")] = 1,
    workers: Workers = 0,
    accelerator: Accelerator = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Train both phases from ages alone and write a model folder.

    Interrupted at any moment, the same command with --resume goes on from the last finished epoch, to the same weights.
    """
    # Imported here because torch takes seconds, and --help should not.
    from boneage.datasets import read_dataset
    from boneage.training.heads.similar_cases import INDEX_FILE
    from boneage.training.pipeline import check_out, train
    from boneage.training.recipes import find_recipe, replace_settings

    settings = replace_settings(find_recipe(recipe), assign or [])
    settings.check()
    columns = named_columns(column)
    machine = machine_of(workers, accelerator, precision, quiet=quiet, devices=devices)
    with removed_if_empty(out), SoleWriter(out):
        check_out(out, resume=resume)
        dataset = read_dataset(data, table=table, columns=columns, images=images)
        if not quiet:
            typer.echo(dataset.report(), err=True)
        try:
            folder = train(
                settings, dataset, out=out, machine=machine, resume=resume, cache=cache, terms=terms, index=index
            )
        except OSError as error:
            place = error.filename or out
            raise OutputError(
                f"{place}: could not be read or written ({error.strerror or error}). Free some space or check your "
                "rights, and go on with --resume.",
                code="unwritable_file",
            ) from error
    typer.echo(f"The model is in {folder}. Measure it: boneage evaluate --model {folder} --data {data}", err=True)
    if index:
        typer.echo(
            f"The index of its training cases: boneage assess --model {folder} --index {out / INDEX_FILE}", err=True
        )
    typer.echo(NOTICE, err=True)
    write_out(f"{folder}\n")
