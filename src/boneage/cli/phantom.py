"""`boneage phantom`: synthetic radiographs with known truth."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from boneage.atomic import removed_if_empty
from boneage.errors import UsageError
from boneage.model.folder import available_cores
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.phantom.truth import NOTICE
from boneage.progress import progress
from boneage.sole_writer import SoleWriter


class Coding(StrEnum):
    """How DICOM pixels are stored."""

    NONE = "none"
    RLE = "rle"
    JPEG2000 = "jpeg2000"
    JPEGLS = "jpegls"


class Sexes(StrEnum):
    """The sexes of the phantoms."""

    BOTH = "both"
    MALE = "male"
    FEMALE = "female"


def phantom(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder, or one that this command has begun to fill.")
    ],
    count: Annotated[int, typer.Option(help="Number of phantoms in the folder when the command is done.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    size: Annotated[int, typer.Option(help="Shorter side of the images in pixels.")] = 512,
    ages: Annotated[
        str, typer.Option(metavar="LOW-HIGH|A,B,...", help="Bone ages in months: a range, or ages taken in turn.")
    ] = "6-228",
    sex: Annotated[Sexes, typer.Option(help="Sex of the phantoms.")] = Sexes.BOTH,
    label_sd: Annotated[
        float, typer.Option(help="Standard deviation of the rater's noise on the labels, in months.")
    ] = 5.0,
    two_hands: Annotated[float, typer.Option(help="Share of images with both hands, 0 to 1.")] = 0.0,
    partial: Annotated[float, typer.Option(help="Share of images that cut off a part of the hand.")] = 0.0,
    inverted: Annotated[float, typer.Option(help="Share of images with dark bones (PNG only).")] = 0.0,
    dicom: Annotated[bool, typer.Option("--dicom", help="DX and CR objects of 12 to 16 bits instead of PNG.")] = False,
    coding: Annotated[Coding, typer.Option(help="Coding of DICOM pixels.")] = Coding.NONE,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; their number does not change the files.")
    ] = None,
) -> None:
    """Write synthetic hand radiographs whose ages, regions and bones are known, in the layout of the RSNA challenge.

    An interrupted run goes on where it stopped. Labels carry a rater's noise; truth.csv and truth/ hold the truth.
    Research use only, not a medical device: a figure reached on phantoms says nothing about children.
    """
    if inverted and dicom:
        raise UsageError(
            "--inverted is for PNG: a DICOM header declares dark bones. Leave one of the two out.",
            code="contradicting_options",
        )
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
    with removed_if_empty(folder), SoleWriter(folder), progress("Making phantoms", count) as advance:
        written = write_phantoms(folder, count, settings, workers=workers or available_cores(), advance=advance)
    typer.echo(f"{written.cases} phantoms in {written.folder}, {written.made} of them made now.")
    typer.echo(
        f"Best possible MAE against the labels: {written.best_mae_months:.2f} months expected, "
        f"{written.label_mae_months:.2f} on these {written.cases}."
    )
    typer.echo(NOTICE)


def parse_ages(text: str) -> tuple[tuple[float, ...], bool]:
    """`24-200` -> ((24, 200), True): a range; `24,60.5` -> ((24, 60.5), False): in turn.

    Raises:
        UsageError: the text is neither (code `invalid_age`).
    """
    number = r"\s*(\d+(?:\.\d+)?)\s*"
    if match := re.fullmatch(f"{number}-{number}", text):
        return (float(match[1]), float(match[2])), True
    if re.fullmatch(f"{number}(?:,{number})*", text):
        return tuple(float(part) for part in text.split(",")), False
    raise UsageError(f"--ages '{text}' is neither a range nor a list. Write 24-200, or 24,60,96.", code="invalid_age")
