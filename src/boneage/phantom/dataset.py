"""Phantoms as a data set in the layout of the RSNA challenge, with the truth beside it.

    FOLDER/
      README.md                          what this is, and that it is no medical device
      phantoms.json                      the settings; by them an interrupted run goes on
      boneage-training-dataset.csv       id, boneage (the label, with a rater's noise), male
      boneage-training-dataset/<id>.png  or <id>.dcm
      truth.csv                          one row a case: true bone age, chronological age, sex, film
      truth/<id>.json                    everything that is known of one case
      annotations/boxes.csv              boxes as a reader draws them, by the labels of readers' boxes
      annotations/regions.csv            the true regions, tight around tissue and bone

A case depends on the seed and its number alone, so that any number of workers writes the same bytes and a larger
count adds to a smaller one.
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
VERSION: Final = 4
"""Of the generator: raised where the same settings give other files."""

Coding = Literal["none", "rle", "jpeg2000", "jpegls"]
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Settings:
    """What a data set of phantoms is made of.

    Attributes:
        seed: of the whole set.
        size: shorter side of a film in pixels.
        ages: bone ages in months; with `spread` the ends of a range that is drawn from evenly, else taken in turn.
        spread: see `ages`.
        sexes: taken in turn.
        label_sd_months: standard deviation of the rater's noise on the label.
        two_hands, partial, inverted: shares of such films, 0 to 1.
        dicom: DICOM instead of PNG.
        coding: of DICOM pixels.
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
            raise UsageError(f"bone ages go from {FIRST_MONTH} to {LAST_MONTH} months, not {wrong or 'none'}.")
        if self.spread and (len(self.ages) != 2 or self.ages[0] > self.ages[1]):
            raise UsageError(f"a range of ages has two ends, the smaller first, not {self.ages}.")
        if not self.sexes or not set(self.sexes) <= {sex.value for sex in Sex}:
            raise UsageError(f"a phantom is male or female, not {self.sexes}.")
        if not SMALLEST_SIDE <= self.size <= LARGEST_SIZE:
            raise UsageError(f"a phantom cannot be {self.size} pixels wide. Give {SMALLEST_SIDE} to {LARGEST_SIZE}.")
        if not 0 <= self.label_sd_months <= 60:
            raise UsageError(f"a rater's noise of {self.label_sd_months} months is none. Give 0 to 60.")
        for name in ("two_hands", "partial", "inverted"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"the share '{name}' is {getattr(self, name)}. Give 0 to 1.")
        if self.seed < 0:
            raise UsageError(f"the seed {self.seed} is negative. Give 0 or more.")
        if self.coding != "none" and not self.dicom:
            raise UsageError(f"the coding {self.coding} is for DICOM. Ask for DICOM as well.")

    @property
    def best_mae_months(self) -> float:
        """Mean absolute error against the labels of somebody who knows every true bone age (before rounding)."""
        return self.label_sd_months * math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Written:
    """What a run did: how many cases there are, how many it made, and the label's mean distance from the truth."""

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
    done: Callable[[int], None] = lambda cases: None,
) -> Written:
    """Write a data set, or what is missing of one that was begun with the same settings.

    Args:
        folder: made where it does not exist.
        count: how many cases.
        settings: of the set.
        workers: processes; they do not change a byte.
        done: told how many further cases are there now.

    Raises:
        UsageError: the folder holds something else, or phantoms of other settings or of a larger count.
        OutputError: a file cannot be written, or stands in the way and is not what would be written.
    """
    settings = settings or Settings()
    root = Path(folder)
    if count < 1:
        raise UsageError(f"{count} phantoms are none. Give 1 or more.")
    if workers < 1:
        raise UsageError(f"{workers} workers are none. Give 1 or more.")
    if settings.dicom:
        from boneage.phantom.dicom import check_coding

        check_coding(settings.coding)
    _claim(root, settings, count)
    waiting = [index for index in range(count) if not (root / "truth" / f"{FIRST_ID + index}.json").is_file()]
    done(count - len(waiting))
    for _ in _made(root, settings, waiting, workers):
        done(1)
    records = [read_record(root, index) for index in range(count)]
    write_tables(root, records, settings.label_sd_months, settings.best_mae_months, settings.seed)
    distances = [abs(record["label_months"] - record["truth"]["bone_age_months"]) for record in records]
    return Written(root, count, len(waiting), settings.best_mae_months, float(np.mean(distances)))


def _claim(root: Path, settings: Settings, count: int) -> None:
    """Take an empty folder, or one that was begun with these settings."""
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: this is a file. Name a folder.")
    said = {"made_by": PHANTOM_MARK, "version": VERSION, "notice": NOTICE, "settings": asdict(settings)}
    said = json.loads(json.dumps(said))
    note = root / SETTINGS
    if note.is_file():
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        other = [name for name, value in said["settings"].items() if found.get("settings", {}).get(name) != value]
        if found.get("made_by") != PHANTOM_MARK or found.get("version") != VERSION or other:
            why = f" (other: {', '.join(other)})" if other else ""
            raise UsageError(
                f"{root}: holds phantoms of other settings{why}. Repeat those settings, or name a new folder."
            )
        if (root / "truth" / f"{FIRST_ID + count}.json").is_file():
            raise UsageError(f"{root}: holds more than {count} phantoms. Give a larger count, or name a new folder.")
        return
    if root.is_dir() and any(root.iterdir()):
        raise UsageError(f"{root}: holds other files. Name a new or an empty folder.")
    write_atomically(note, json.dumps(said, indent=1) + "\n")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Workers start with one thread each: they are many already."""
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


def _made(root: Path, settings: Settings, waiting: list[int], workers: int) -> Iterator[None]:
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
    """Case `index` of a set: its phantom, and its record with the label."""
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
        seed,
        settings.size,
        hands=2 if drawn[1] < settings.two_hands else 1,
        partial=partial,
        inverted=inverted and not settings.dicom,
        bits=12 + index % 5 if settings.dicom else 8,
    )
    label = int(np.clip(round(age + settings.label_sd_months * noise), FIRST_MONTH, LAST_MONTH))
    record = {"id": FIRST_ID + index, "label_months": label, "partial": partial, "truth": made.truth.as_record()}
    return made, record


def png_bytes(made: Phantom) -> bytes:
    """The phantom as a gray PNG that says what it is."""
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
        from boneage.phantom.dicom import dicom_bytes

        data, name = dicom_bytes(made, case, style=index, coding=settings.coding), f"{case}.dcm"
    else:
        data, name = png_bytes(made), f"{case}.png"
    _write(root / IMAGES / name, data)
    # Last, since it says that the case is complete.
    write_atomically(root / "truth" / f"{case}.json", json.dumps(record, separators=(",", ":")) + "\n")


def _write(path: Path, data: bytes) -> None:
    """Write a file unless it is there already; an interrupted run left it whole or not at all."""
    if path.exists():
        if path.read_bytes() != data:
            raise OutputError(f"{path}: stands in the way and is not a phantom of this set. Move it and repeat.")
        return
    write_atomically(path, data)
