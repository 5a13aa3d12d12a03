"""Phantoms as a data set in the layout of the RSNA challenge, with the truth beside it.

    FOLDER/
      README.md                          description, and the notice that it is not a medical device
      phantoms.json                      the settings, which a resumed run has to repeat
      boneage-training-dataset.csv       id, boneage (the label, with a rater's noise), male
      boneage-training-dataset/<id>.png  or <id>.dcm
      truth.csv                          one row a case: true bone age, chronological age, sex, image
      truth/<id>.json                    the whole truth of one case
      annotations/boxes.csv              boxes with the margins of readers, by the labels of readers' boxes
      annotations/regions.csv            the true regions, tight around tissue and bone

A case depends only on the seed and its number. So any number of workers writes the same bytes, and a larger count adds
to a smaller one.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.atomic import write_atomically
from boneage.errors import OutputError, UsageError
from boneage.phantom.dataset_tables import FIRST_ID, read_record, write_tables
from boneage.phantom.synthesis import LARGEST_SIZE, Phantom, phantom
from boneage.phantom.truth import NOTICE
from boneage.radiograph import PHANTOM_MARK, SMALLEST_SIDE

IMAGES: Final = "boneage-training-dataset"
SETTINGS: Final = "phantoms.json"
VERSION: Final = 5
"""Of the generator; raised when the same settings give other files."""

Coding = Literal["none", "rle", "jpeg2000", "jpegls"]
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Settings:
    """The settings of a data set of phantoms.

    Attributes:
        seed: of the whole data set.
        size: shorter side of an image in pixels.
        ages: bone ages in months, taken in turn; with `spread` the two ends of a range.
        spread: draw the ages evenly from the range `ages`.
        sexes: taken in turn.
        label_sd_months: standard deviation of the rater's noise on the label.
        two_hands, partial, inverted: shares of such images, 0 to 1.
        dicom: DICOM instead of PNG.
        coding: of DICOM pixels.

    Raises:
        UsageError: a value is out of its range (codes `invalid_age`, `invalid_size`, `invalid_number`,
            `unknown_sex`), or the coding is for DICOM only (code `contradicting_options`).
    """

    seed: int = 0
    size: int = 512
    ages: tuple[float, ...] = (6.0, 228.0)
    spread: bool = True
    sexes: tuple[str, ...] = ("male", "female")
    label_sd_months: float = 5.0
    two_hands: float = 0.0
    partial: float = 0.0
    inverted: float = 0.0
    dicom: bool = False
    coding: Coding = "none"

    def __post_init__(self) -> None:
        wrong = [age for age in self.ages if not FIRST_MONTH <= age <= LAST_MONTH]
        if wrong or not self.ages:
            raise UsageError(
                f"bone ages {wrong or '(none)'}: give ages from {FIRST_MONTH} to {LAST_MONTH} months.",
                code="invalid_age",
            )
        if self.spread and (len(self.ages) != 2 or self.ages[0] > self.ages[1]):
            raise UsageError(f"ages {self.ages}: give a range by its two ends, the smaller first.", code="invalid_age")
        if not self.sexes or not set(self.sexes) <= {sex.value for sex in Sex}:
            raise UsageError(f"sexes {self.sexes}: give male, female or both.", code="unknown_sex")
        if not SMALLEST_SIDE <= self.size <= LARGEST_SIZE:
            raise UsageError(
                f"a phantom cannot be {self.size} pixels wide. Give {SMALLEST_SIDE} to {LARGEST_SIZE}.",
                code="invalid_size",
            )
        if not 0 <= self.label_sd_months <= 60:
            raise UsageError(
                f"a rater's noise of {self.label_sd_months} months is not possible. Give 0 to 60.",
                code="invalid_number",
            )
        for name in ("two_hands", "partial", "inverted"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"the share '{name}' is {getattr(self, name)}. Give 0 to 1.", code="invalid_number")
        if self.seed < 0:
            raise UsageError(f"the seed {self.seed} is negative. Give 0 or more.", code="invalid_number")
        if self.coding != "none" and not self.dicom:
            raise UsageError(
                f"the coding {self.coding} is for DICOM. Ask for DICOM as well.", code="contradicting_options"
            )

    @property
    def best_mae_months(self) -> float:
        """Expected mean absolute error of the true bone ages against the labels (before rounding)."""
        return self.label_sd_months * math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class WrittenPhantoms:
    """A data set of phantoms after a run.

    Attributes:
        folder: of the data set.
        cases: how many it holds.
        made: how many of them this run made.
        best_mae_months: expected mean absolute error of the true bone ages against the labels.
        label_mae_months: the same, measured on these cases.
    """

    folder: Path
    cases: int
    made: int
    best_mae_months: float
    label_mae_months: float


def write_phantoms(
    folder: str | Path,
    count: int,
    settings: Settings | None = None,
    *,
    workers: int = 1,
    advance: Callable[[int], None] = lambda cases: None,
) -> WrittenPhantoms:
    """Write a data set, or the missing cases of one that was begun with the same settings.

    Args:
        folder: made where there is none.
        count: how many cases.
        settings: of the set.
        workers: processes; their number does not change a byte.
        advance: called with the number of further cases that are done.

    Raises:
        UsageError: the folder holds other files (code `folder_not_empty`), phantoms of other settings
            (`other_settings`) or more phantoms (`more_phantoms`); or a number is under 1 (`invalid_number`).
        OutputError: a file cannot be written (code `cannot_write`), or an existing file has other content
            (`file_in_the_way`).
    """
    settings = settings or Settings()
    root = Path(folder)
    if count < 1:
        raise UsageError(f"{count} phantoms are too few. Give 1 or more.", code="invalid_number")
    if workers < 1:
        raise UsageError(f"{workers} workers are too few. Give 1 or more.", code="invalid_number")
    if settings.dicom:
        from boneage.phantom.dicom import check_coding

        check_coding(settings.coding)
    _claim(root, settings, count)
    waiting = [index for index in range(count) if not (root / "truth" / f"{FIRST_ID + index}.json").is_file()]
    advance(count - len(waiting))
    for _ in _make_all(root, settings, waiting=waiting, workers=workers):
        advance(1)
    records = [read_record(root, index) for index in range(count)]
    write_tables(
        root,
        records,
        label_sd_months=settings.label_sd_months,
        best_mae_months=settings.best_mae_months,
        seed=settings.seed,
    )
    distances = [abs(record["label_months"] - record["truth"]["bone_age_months"]) for record in records]
    return WrittenPhantoms(
        folder=root,
        cases=count,
        made=len(waiting),
        best_mae_months=settings.best_mae_months,
        label_mae_months=float(np.mean(distances)),
    )


def _claim(root: Path, settings: Settings, count: int) -> None:
    """Claim an empty folder, or one that was begun with these settings."""
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: this is a file. Name a folder.", code="not_a_folder")
    note = {"made_by": PHANTOM_MARK, "version": VERSION, "notice": NOTICE, "settings": asdict(settings)}
    note = json.loads(json.dumps(note))
    file = root / SETTINGS
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        other = [name for name, value in note["settings"].items() if found.get("settings", {}).get(name) != value]
        if found.get("version") != VERSION:
            other.insert(0, "version of the generator")
        if found.get("made_by") != PHANTOM_MARK or other:
            names = f" (different: {', '.join(other)})" if other else ""
            raise UsageError(
                f"{root}: holds phantoms of other settings{names}. Repeat those settings, or name a new folder.",
                code="other_settings",
            )
        if (root / "truth" / f"{FIRST_ID + count}.json").is_file():
            raise UsageError(
                f"{root}: holds more than {count} phantoms. Give a larger count, or name a new folder.",
                code="more_phantoms",
            )
        return
    if root.is_dir() and any(root.iterdir()):
        raise UsageError(f"{root}: holds other files. Name a new or an empty folder.", code="folder_not_empty")
    write_atomically(file, json.dumps(note, indent=1) + "\n")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that start in the block use one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _make_all(root: Path, settings: Settings, waiting: list[int], workers: int) -> Iterator[None]:
    if min(workers, len(waiting)) <= 1:
        for index in waiting:
            _make(root, settings, index)
            yield
        return
    with _one_thread(), ProcessPoolExecutor(min(workers, len(waiting)), get_context("spawn")) as pool:
        futures = [pool.submit(_make, root, settings, index) for index in waiting]
        try:
            for future in futures:
                future.result()
                yield
        finally:
            pool.shutdown(cancel_futures=True)


def make_case(settings: Settings, index: int) -> tuple[Phantom, dict[str, Any]]:
    """Make case `index` of a data set: its phantom, and its record with the label."""
    seed = settings.seed * 1_000_003 + index
    rng = np.random.default_rng([seed, 99])
    drawn = rng.random(4)
    noise = float(rng.normal(0.0, 1.0))
    if settings.spread:
        low, high = settings.ages
        age = round(float(low + (high - low) * drawn[0]), 2)
    else:
        age = float(settings.ages[index // len(settings.sexes) % len(settings.ages)])
    sex = settings.sexes[index % len(settings.sexes)]
    partial, inverted = bool(drawn[2] < settings.partial), bool(drawn[3] < settings.inverted)
    made = phantom(
        age,
        sex,
        seed=seed,
        size=settings.size,
        hands=2 if drawn[1] < settings.two_hands else 1,
        partial=partial,
        inverted=inverted and not settings.dicom,
        bits=12 + index % 5 if settings.dicom else 8,
    )
    label = int(np.clip(round(age + settings.label_sd_months * noise), FIRST_MONTH, LAST_MONTH))
    record = {"id": FIRST_ID + index, "label_months": label, "partial": partial, "truth": made.truth.as_record()}
    return made, record


def encode_png(made: Phantom) -> bytes:
    """Encode a phantom as a gray PNG that is marked as one (`PHANTOM_MARK`)."""
    info = PngInfo()
    info.add_text("Software", PHANTOM_MARK)
    info.add_text("Comment", NOTICE)
    stream = io.BytesIO()
    Image.fromarray(made.pixels).save(stream, "PNG", pnginfo=info, compress_level=4)
    return stream.getvalue()


def _make(root: Path, settings: Settings, index: int) -> None:
    made, record = make_case(settings, index)
    case = record["id"]
    if settings.dicom:
        from boneage.phantom.dicom import encode_dicom

        data, name = encode_dicom(made, case, style=index, coding=settings.coding), f"{case}.dcm"
    else:
        data, name = encode_png(made), f"{case}.png"
    _write(root / IMAGES / name, data)
    # Last, because the record marks the case as complete.
    write_atomically(root / "truth" / f"{case}.json", json.dumps(record, separators=(",", ":")) + "\n")


def _write(path: Path, data: bytes) -> None:
    """Write a file unless it exists: an interrupted run left it whole or not at all."""
    if path.exists():
        if path.read_bytes() != data:
            raise OutputError(
                f"{path}: exists and is not a phantom of this data set. Move it and repeat.", code="file_in_the_way"
            )
        return
    write_atomically(path, data)
