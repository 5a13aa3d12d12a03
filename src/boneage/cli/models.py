"""`boneage models`: list, verify and describe models, index their training cases, fit regional heads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from boneage.cli.columns import Column, Data, Images, Table, named_columns
from boneage.cli.output import write_out
from boneage.errors import ModelError, UsageError
from boneage.model.folder import (
    METRICS_FILE,
    MODELS_FOLDER,
    SETTINGS_FILE,
    Model,
    check_files,
    default_model,
    load_model,
    shipped_models,
    try_out,
)
from boneage.sole_writer import SoleWriter

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List, verify, describe and extend models.",
)

_Asked = Annotated[
    str | None,
    typer.Argument(metavar="NAME|DIR", help="A shipped model or a model folder; if left out, the default model."),
]


@app.command("list")
def list_models() -> None:
    """List the models that came with the package; a star marks the default."""
    names = shipped_models()
    if not names:
        write_out("No model is shipped. Train one with `boneage train` and give its folder with --model DIR.\n")
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
    """Verify a model: settings, checksums, and that every network runs. Exit status 2 if it is damaged."""
    loaded = load_model(model)
    unsigned = check_files(loaded)
    try_out(loaded)
    for network in loaded.networks.values():
        write_out(f"ok  {network.path.name}  {network.sha256}\n")
    for name, checksum in loaded.settings.files.items():
        write_out(f"ok  {name}  {checksum}\n")
    write_out(f"ok  {loaded.name}  {loaded.sha256}\n")
    for name in unsigned:
        typer.echo(
            f"Warning: {loaded.folder / name}: has no checksum in {SETTINGS_FILE}, so it was not verified.", err=True
        )


@app.command()
def info(
    model: _Asked = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print model.json.")] = False,
) -> None:
    """Show a model: recipe, views, thresholds, training data and its terms, accuracy."""
    loaded = load_model(model)
    check_files(loaded)
    if as_json:
        write_out((loaded.folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        return
    settings = loaded.settings
    calibration = settings.calibration
    data = settings.training_data
    lines = {
        "name": f"{settings.name} {settings.version}".strip(),
        "folder": str(loaded.folder),
        "sha256": loaded.sha256,
        "recipe": f"{settings.recipe} (boneage {settings.code_version}, {settings.created})",
        "size": f"{loaded.bytes_on_disk / 1e6:.1f} MB",
        "image": "own resolution"
        if settings.image_short_side is None
        else f"short side {settings.image_short_side} px",
        "regions": "; ".join(
            f"{entry.region} on {entry.input_view} at {entry.network.input_size} px, tau {entry.tau:g}"
            for entry in loaded.localizers
        )
        or "none",
        "age network": f"views {', '.join(settings.views)} at {loaded.regressor.input_size} px, "
        f"{'takes the sex' if settings.sex_input else 'does not take the sex'}",
        "interval": f"{'by age and sex' if calibration.correction else f'tail {calibration.tail:g}'}"
        f" on {calibration.cases} cases of {calibration.split}",
        "regional heads": _describe_regional_heads(loaded),
        "trained on": "not stated"
        if data is None
        else ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in data.model_dump().items() if value),
        "accuracy": _describe_accuracy(loaded.metrics),
    }
    for word, origin in (("localizers of", settings.localizers_of), ("weights of", settings.regressor_of)):
        if origin is not None:
            lines[word] = f"{origin.name}, sha256 {origin.sha256}"
    if settings.phantom_trained:
        lines["caution"] = "trained on phantoms: its ages mean nothing for a child"
    lines = {key: line for key, line in lines.items() if line}
    width = max(map(len, lines))
    write_out("".join(f"{key.ljust(width)}  {value}\n" for key, value in lines.items()))


@app.command("index")
def index_cases(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The index to write, for instance rsna.npz.")],
    model: _Asked = None,
    table: Table = None,
    images: Images = None,
    column: Column = None,
    terms: Annotated[str, typer.Option(help="The data set's terms of use; the index keeps them.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Make an index of the training cases of a finished model, for `boneage assess --index FILE`.

    It holds ids, ages, sexes and features of the data set's training cases, no images. Its error is measured on the
    validation cases. Needs boneage[train].
    """
    from boneage.datasets import read_dataset
    from boneage.formats import read_radiograph
    from boneage.pipeline.similar_cases import write_index
    from boneage.training.heads.similar_cases import index_dataset

    if out.is_dir() or (out.exists() and not force):
        raise UsageError(
            f"{out}: exists already. Name another file with --out, or replace a file with --force.",
            code="output_exists",
        )
    loaded = load_model(model)
    dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
    if not quiet:
        typer.echo(dataset.report(), err=True)
    with SoleWriter(out):
        index, used = index_dataset(loaded, dataset, read_radiograph, file=out, terms=terms, progress=not quiet)
        if len(used.dropped) > len(dataset.dropped):
            typer.echo(used.report(), err=True)
        write_index(index)
    typer.echo(index.summary(), err=True)
    write_out(f"{out}\n")


def _describe_accuracy(metrics: Mapping[str, Any]) -> str:
    """The mean absolute error on each split that `metrics.json` has one for."""
    found: list[tuple[str, float, Any, int]] = []
    if "mae_months" in (validation := metrics.get("validation", {})):
        found.append(
            ("validation", validation["mae_months"], validation.get("mae_interval_95"), validation.get("cases", 0))
        )
    if mae := metrics.get("test", {}).get("overall", {}).get("mae"):
        found.append(("test", mae["value"], mae["interval_95"], mae["n"]))
    lines = [
        f"MAE {value:.2f} months"
        + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")
        + f" on {split}, n = {cases:,}"
        for split, value, interval, cases in found
        if value is not None
    ]
    return "; ".join([*lines, f"all figures: {METRICS_FILE}"]) if metrics else "not stated"


def _describe_regional_heads(model: Model) -> str:
    if model.regional_heads is None:
        return ""
    data = model.regional_heads.settings.data
    cases = "" if data is None else f", fitted on {data.cases} training cases"
    return f"carpal and tubular bone age{cases}"


@app.command("regional-heads")
def fit_regional_heads(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model folder to write.")],
    model: _Asked = None,
    table: Table = None,
    images: Images = None,
    column: Column = None,
    terms: Annotated[str, typer.Option(help="The data set's terms of use; the model keeps them.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Add carpal and tubular bone age to a finished model, as `boneage train` does with regional_heads=true.

    Heads are fitted on the data set's training cases and measured on its validation cases. Networks and bone ages do
    not change. The new folder is another model: its SHA-256 covers the heads. Needs boneage[train].
    """
    from boneage.datasets import read_dataset
    from boneage.formats import read_radiograph
    from boneage.training.heads.regional import fit_regional_heads_on_dataset

    if out.exists() and not force:
        raise UsageError(
            f"{out}: exists already. Name another folder with --out, or replace a model with --force.",
            code="output_exists",
        )
    if out.exists() and not (out / SETTINGS_FILE).is_file():
        raise UsageError(f"{out}: is not a model folder. Name another folder with --out.", code="not_a_model_folder")
    loaded = load_model(model)
    dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
    if not quiet:
        typer.echo(dataset.report(), err=True)
    with SoleWriter(out):
        heads, used = fit_regional_heads_on_dataset(loaded, dataset, read_radiograph, terms=terms, progress=not quiet)
        if len(used.dropped) > len(dataset.dropped):
            typer.echo(used.report(), err=True)
        heads.write(loaded, out)
    typer.echo(heads.summary(), err=True)
    write_out(f"{out}\n")


def _line(model: Model) -> str:
    recipe = model.settings.recipe or "unknown recipe"
    phantom = ", trained on phantoms" if model.settings.phantom_trained else ""
    return f"{model.version}  {recipe}  {model.bytes_on_disk / 1e6:.1f} MB  {model.sha256[:12]}{phantom}"
