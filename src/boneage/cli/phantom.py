"""`boneage phantom`: synthetic radiographs with known truth."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from boneage.errors import UsageError
from boneage.model.folder import available_cores
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.phantom.truth import NOTICE


class Coding(StrEnum):
    """How DICOM pixels are stored."""

    NONE = "none"
    RLE = "rle"
    JPEG2000 = "jpeg2000"
    JPEGLS = "jpegls"


class Sexes(StrEnum):
    """Whose hands are made."""

    BOTH = "both"
    MALE = "male"
    FEMALE = "female"


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one that this command has begun.")],
    count: Annotated[int, typer.Option(help="How many phantoms the folder holds in the end.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    size: Annotated[int, typer.Option(help="Shorter side of a film in pixels.")] = 512,
    ages: Annotated[
        str, typer.Option(metavar="LOW-HIGH|A,B,...", help="Bone ages in months: a range, or ages taken in turn.")
    ] = "6-228",
    sex: Annotated[Sexes, typer.Option(help="Whose hands.")] = Sexes.BOTH,
    label_sd: Annotated[float, typer.Option(help="Months of a rater's noise on the label.")] = 5.0,
    two_hands: Annotated[float, typer.Option(help="Share of films with both hands, 0 to 1.")] = 0.0,
    partial: Annotated[float, typer.Option(help="Share of films that cut off a part of the hand.")] = 0.0,
    inverted: Annotated[float, typer.Option(help="Share of films with dark bones (PNG only).")] = 0.0,
    dicom: Annotated[bool, typer.Option("--dicom", help="DX and CR objects of 12 to 16 bits instead of PNG.")] = False,
    coding: Annotated[Coding, typer.Option(help="Coding of DICOM pixels.")] = Coding.NONE,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; they do not change a byte.")] = None,
) -> None:
    """Write synthetic hand radiographs whose ages, regions and bones are known, in the layout of the RSNA challenge.

    An interrupted run goes on where it stopped. Labels carry a rater's noise; truth.csv and truth/ hold the truth.
    Research use only, not a medical device: a figure reached on phantoms says nothing about children.
    """
    if inverted and dicom:
        raise UsageError("--inverted is for PNG: a DICOM header says whether bones are dark. Leave one of them out.")
    months, spread = parse_ages(ages)
    settings = Settings(
        seed=seed,
        size=size,
        ages=months,
        spread=spread,
        sexes=("male", "female") if sex is Sexes.BOTH else (sex.value,),
        label_sd_months=label_sd,
        two_hands=two_hands,
        partial=partial,
        inverted=inverted,
        dicom=dicom,
        coding=coding.value,
    )
    with _progress(count) as done:
        written = write_phantoms(folder, count, settings, workers=workers or available_cores(), done=done)
    typer.echo(f"{written.cases} phantoms in {written.folder}, {written.made} of them made now.")
    typer.echo(
        f"Best possible MAE against the labels: {written.best_mae_months:.2f} months expected, "
        f"{written.label_mae_months:.2f} on these {written.cases}."
    )
    typer.echo(NOTICE)


def parse_ages(text: str) -> tuple[tuple[float, ...], bool]:
    """`24-200` -> ((24, 200), True): a range; `24,60.5` -> ((24, 60.5), False): in turn.

    Raises:
        UsageError: neither.
    """
    number = r"\s*(\d+(?:\.\d+)?)\s*"
    if match := re.fullmatch(f"{number}-{number}", text):
        return (float(match[1]), float(match[2])), True
    if re.fullmatch(f"{number}(?:,{number})*", text):
        return tuple(float(part) for part in text.split(",")), False
    raise UsageError(f"--ages '{text}' is neither a range nor a list. Write 24-200, or 24,60,96.")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, plain lines (about every tenth of the work) otherwise; both on standard error."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("Phantoms"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total)
            yield lambda cases: bar.advance(task, cases)
        return
    there = 0

    def say(cases: int) -> None:
        nonlocal there
        before, there = there, there + cases
        step = max(1, total // 10)
        if cases and (there // step > before // step or there == total):
            typer.echo(f"{there} of {total} phantoms there", err=True)

    yield say
