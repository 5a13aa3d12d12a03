"""`boneage models`: list, verify, describe and index models, and give them further answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from boneage.cli.columns import Column, Data, Images, Table, named_columns
from boneage.cli.output import write_out
from boneage.errors import ModelError, UsageError
from boneage.model.folder import (
    MODELS_FOLDER,
    OTHER_FILES,
    SETTINGS_FILE,
    Model,
    check_files,
    default_model,
    load_model,
    shipped_models,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="List, verify, describe, index and extend models.")

_Asked = Annotated[str | None, typer.Argument(metavar="NAME|DIR", help="Shipped model or folder; else the default.")]


@app.command("list")
def list_models() -> None:
    """List the models that came with the package; the default is marked with a star."""
    names = shipped_models()
    if not names:
        write_out("No model is shipped. Train one with `boneage train` and use its folder with --model DIR.\n")
        return
    try:
        default = default_model()
    except ModelError as error:
        typer.echo(f"Warning: {error}", err=True)
        default = ""
    damaged = False
    for name in names:
        mark = "*" if name == default else " "
        try:
            write_out(f"{mark} {name}  {_line(load_model(MODELS_FOLDER / name))}\n")
        except ModelError as error:
            damaged = True
            write_out(f"{mark} {name}  damaged: {error}\n")
    if damaged:
        raise typer.Exit(1)


@app.command()
def verify(model: _Asked = None) -> None:
    """Verify a model: settings, checksums, and that every network runs. Exit status 2 where it is damaged."""
    loaded = load_model(model)
    unsigned = check_files(loaded)
    for network in loaded.networks.values():
        size = network.input_size
        inputs = {entry.name: entry for entry in network.session.get_inputs()}
        feeds: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
        for name, entry in inputs.items():
            channels = len(loaded.views) if network is loaded.regressor else 1
            if entry.type == "tensor(uint8)":
                feeds[name] = np.zeros((1, channels, size, size), np.uint8)
            else:
                feeds[name] = np.ones((1, 1), np.float32)
        network.run(feeds)
        write_out(f"ok  {network.path.name}  {network.sha256}\n")
    for name, checksum in (loaded.document.get(OTHER_FILES) or {}).items():
        write_out(f"ok  {name}  {checksum}\n")
    write_out(f"ok  {loaded.name}  {loaded.sha256}\n")
    for name in unsigned:
        typer.echo(
            f"Warning: {loaded.folder / name}: has no checksum in {SETTINGS_FILE}, so it was not verified.", err=True
        )


@app.command()
def info(
    model: _Asked = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole model.json.")] = False,
) -> None:
    """Say what a model is: recipe, views, thresholds, training data and its terms, figures."""
    loaded = load_model(model)
    check_files(loaded)
    if as_json:
        write_out(json.dumps(dict(loaded.document), indent=2) + "\n")
        return
    settings = loaded.settings
    calibration = settings.calibration
    data = loaded.document.get("training_data") or {}
    lines = {
        "name": f"{settings.name} {settings.version}".strip(),
        "folder": str(loaded.folder),
        "sha256": loaded.sha256,
        "recipe": f"{settings.recipe} (boneage {settings.code_version}, {settings.created})",
        "size": f"{loaded.bytes_on_disk / 1e6:.1f} MB",
        "film": "own resolution" if settings.image_short_side is None else f"short side {settings.image_short_side} px",
        "regions": "; ".join(
            f"{entry.region.value} on {entry.input_view} at {entry.network.input_size} px, tau {entry.tau:g}"
            for entry in loaded.localizers
        )
        or "none",
        "age network": f"views {', '.join(settings.views)} at {loaded.regressor.input_size} px, "
        f"{'sees the sex' if settings.sex_input else 'does not see the sex'}",
        "interval": f"{'by age and sex' if calibration.correction else f'tail {calibration.tail:g}'}"
        f" on {calibration.cases} cases of {calibration.split}",
        "regional_heads": _describe_regional_heads(loaded),
        "trained on": ", ".join(f"{key}: {value}" for key, value in data.items()) or "not said",
        "figures": json.dumps(loaded.document.get("metrics") or {}),
    }
    if origin := loaded.document.get("localizers_of"):
        lines["localizers of"] = f"{origin.get('name')}, sha256 {origin.get('sha256')}"
    if settings.phantom_trained:
        lines["warning"] = "trained on phantoms: its ages say nothing about children"
    width = max(map(len, lines))
    lines = {key: line for key, line in lines.items() if line}
    write_out("".join(f"{key.ljust(width)}  {value}\n" for key, value in lines.items()))


@app.command("index")
def index_cases(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The index to write, e.g. rsna.npz.")],
    model: _Asked = None,
    table: Table = None,
    images: Images = None,
    column: Column = None,
    terms: Annotated[str, typer.Option(help="The data set's terms of use, kept in the index.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Make an index of the training cases of a finished model, for `boneage assess --index FILE`.

    It holds ids, ages, sexes and features of the data set's train cases, no picture; what it says is measured on the
    select cases. Needs boneage[train].
    """
    from boneage.datasets import read_dataset
    from boneage.formats import read_radiograph
    from boneage.pipeline.similar_cases import write_index
    from boneage.training.heads.similar_cases import index_dataset

    if out.is_dir() or (out.exists() and not force):
        raise UsageError(f"{out}: is there already. Name another file with --out, or replace a file with --force.")
    loaded = load_model(model)
    dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
    if not quiet:
        typer.echo(dataset.report(), err=True)
    made, used = index_dataset(loaded, dataset, read_radiograph, terms=terms, progress=not quiet)
    if len(used.dropped) > len(dataset.dropped):
        typer.echo(used.report(), err=True)
    write_index(replace(made, file=out))
    typer.echo(made.summary(), err=True)
    write_out(f"{out}\n")


def _describe_regional_heads(model: Model) -> str:
    if model.regional_heads is None:
        return ""
    seen = (model.document.get("metrics") or {}).get("regional") or {}
    return f"carpal and tubular bone age by heads on {seen.get('train_cases', '?')} cases of train"


@app.command("regional-heads")
def fit_regional_heads(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model folder to write.")],
    model: _Asked = None,
    table: Table = None,
    images: Images = None,
    column: Column = None,
    terms: Annotated[str, typer.Option(help="The data set's terms of use, kept with the heads.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a model folder that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Give a finished model carpal and tubular bone age, as `boneage train` does with regional_heads=true.

    Heads are fitted on the data set's train cases and measured on its select cases; networks and answers stay as they
    are. The new folder is another model: its SHA-256 covers the heads. Needs boneage[train].
    """
    from boneage.datasets import read_dataset
    from boneage.formats import read_radiograph
    from boneage.training.heads.regional import fit_regional_heads_on_dataset

    if out.exists() and not force:
        raise UsageError(f"{out}: is there already. Name another folder with --out, or replace a model with --force.")
    if out.exists() and not (out / SETTINGS_FILE).is_file():
        raise UsageError(f"{out}: is no model folder. Name another folder with --out.")
    loaded = load_model(model)
    dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
    if not quiet:
        typer.echo(dataset.report(), err=True)
    made, used = fit_regional_heads_on_dataset(loaded, dataset, read_radiograph, terms=terms, progress=not quiet)
    if len(used.dropped) > len(dataset.dropped):
        typer.echo(used.report(), err=True)
    made.added_to(loaded, out)
    typer.echo(made.summary(), err=True)
    write_out(f"{out}\n")


def _line(model: Model) -> str:
    recipe = model.settings.recipe or "unknown recipe"
    phantom = ", trained on phantoms" if model.settings.phantom_trained else ""
    return f"{model.version}  {recipe}  {model.bytes_on_disk / 1e6:.1f} MB  {model.sha256[:12]}{phantom}"
