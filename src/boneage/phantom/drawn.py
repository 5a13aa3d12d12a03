"""Drawn stand-in hands: a schematic left hand whose bones grow up as bones do.

They are drawings, not simulated radiographs. Carpal bones appear one after the other and grow, epiphyses appear,
widen and fuse, the hand becomes longer; so there is something for a network to learn and something for a person
to see. A model for radiographs has no business with them, and a figure reached on them says nothing about
children.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boneage.ages import Sex
from boneage.errors import UsageError
from boneage.phantom.anatomy import GROWTH, RAYS, Maturity, Ray
from boneage.phantom.canvas import Canvas, Place, along, spindle
from boneage.phantom.skeleton import around, draw_bones
from boneage.radiograph import PHANTOM_MARK
from boneage.regions import Box, Region

SMALLEST_SIZE: Final = 64
ASPECT: Final = 1.3
"""Height of a drawn film over its width."""

_FILL: Final = (0.62, 0.93)
"""Share of the film's height between forearm and fingertip, for the youngest and the oldest hand."""

_TISSUE: Final = 0.30


def drawn_hand(
    age_months: float, sex: Sex | str, seed: int, size: int = 300
) -> tuple[npt.NDArray[np.uint8], dict[Region, Box]]:
    """Draw one left hand as a film with bright bones; the same arguments give the same bytes.

    Args:
        age_months: bone age, 1 to 240.
        sex: girls' bones ripen earlier.
        seed: posture, tempo, exposure, noise and film border of this one child.
        size: width of the film in pixels, at least 64; its height is 1.3 times that.

    Returns:
        uint8 [round(1.3 * size), size], and the true boxes in its pixels: the hand with what the film shows of
        the forearm; region 1 (carpus with the ends of radius and ulna); region 2 (the five metacarpal heads).

    Raises:
        UsageError: the age, the sex or the size is out of range.
    """
    values, parts = _drawn(age_months, sex, seed, size)
    return values, {
        Region.HAND: parts["hand_mask"][0],
        Region.REGION_1: around([*parts["wrist"], *parts["radius"], *parts["ulna"]]),
        Region.REGION_2: around(parts["mcp"]),
    }


def write_drawn_dataset(folder: str | Path, count: int, seed: int = 0, size: int = 300) -> Path:
    """Write drawn hands in the layout of the RSNA challenge, with the true boxes in `annotations/boxes.csv`.

    Ages are spread evenly over 6 to 228 months and the sexes alternate. With five hands or more each of the splits
    by id has a case.

    Args:
        folder: made where it does not exist.
        count: how many hands.
        seed: of the whole set.
        size: width in pixels.

    Returns:
        The folder, with `boneage-training-dataset.csv` (id, boneage, male) and `boneage-training-dataset/<id>.png`.
    """
    root = Path(folder)
    images = root / "boneage-training-dataset"
    images.mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    mark = PngInfo()
    mark.add_text("Software", PHANTOM_MARK)
    ages = np.random.default_rng(seed).permutation(np.linspace(6, 228, max(count, 1)))[:count]
    with (
        (root / "boneage-training-dataset.csv").open("w", newline="", encoding="utf-8") as table,
        (root / "annotations" / "boxes.csv").open("w", newline="", encoding="utf-8") as annotations,
    ):
        rows, boxes = csv.writer(table), csv.writer(annotations)
        rows.writerow(["id", "boneage", "male"])
        boxes.writerow(["id", "reader", "label", "x0", "y0", "x1", "y1"])
        for index, age in enumerate(ages):
            case, months, male = 1000 + index, round(float(age)), index % 2 == 0
            values, parts = _drawn(months, Sex.MALE if male else Sex.FEMALE, seed * 100_003 + index, size)
            Image.fromarray(values).save(images / f"{case}.png", pnginfo=mark)
            rows.writerow([case, months, male])
            height, width = values.shape
            for label, found in parts.items():
                for box in found:
                    fractions = box.scaled(1 / width, 1 / height).as_list()
                    boxes.writerow([case, "drawn", label, *(f"{value:.5f}" for value in fractions)])
    return root


def _drawn(
    age_months: float, sex: Sex | str, seed: int, size: int
) -> tuple[npt.NDArray[np.uint8], dict[str, list[Box]]]:
    """The film, and the boxes of `hand_mask`, `wrist`, `radius`, `ulna` and the five `mcp`."""
    if not 1 <= age_months <= 240:
        raise UsageError(f"a bone age of {age_months} months cannot be drawn. Give 1 to 240.")
    if size < SMALLEST_SIZE:
        raise UsageError(f"a film {size} pixels wide shows no bones. Give {SMALLEST_SIZE} or more.")
    try:
        column = 0 if Sex(sex) is Sex.MALE else 1
    except ValueError:
        raise UsageError(f"'{sex}' is no sex that can be drawn. Write male or female.") from None
    rng = np.random.default_rng(seed)
    maturity = Maturity(age_months, column, float(rng.normal(1.0, 0.03)))
    canvas = _posed(age_months, size, rng)
    rays = [replace(ray, degrees=ray.degrees + rng.normal(0.0, 1.5)) for ray in RAYS]
    parts = draw_bones(canvas, maturity, rays, rng)
    _draw_tissue(canvas, maturity, rays, rng)
    film = _exposed(canvas, rng)
    height, width = film.shape
    seen = {label: [part for box in boxes if (part := box.within(width, height))] for label, boxes in parts.items()}
    return film, {"hand_mask": [canvas.extent()], **seen}


def _posed(age_months: float, size: int, rng: np.random.Generator) -> Canvas:
    """An empty canvas with this child's scale, place and rotation on the film."""
    width, height = size, round(ASPECT * size)
    growth = float(np.interp(age_months, *GROWTH)) / GROWTH[1][-1]
    fill = _FILL[0] + (_FILL[1] - _FILL[0]) * growth + rng.normal(0.0, 0.02)
    scale = height * min(fill, 0.96) / 224.0
    return Canvas(
        width,
        height,
        pixels_per_mm=scale,
        origin=(
            width * (0.5 + rng.normal(0.0, 0.015)) - 14.0 * scale,
            height * rng.uniform(0.02, 0.07) + 192.0 * scale,
        ),
        degrees=float(np.clip(rng.normal(0.0, 3.5), -8.0, 8.0)),
    )


def _draw_tissue(canvas: Canvas, maturity: Maturity, rays: Sequence[Ray], rng: np.random.Generator) -> None:
    """Fingers, palm and forearm; children are plumper."""
    plump = 1.12 + 0.30 * max(0.0, 1.0 - maturity.age_months / 120.0) + rng.normal(0.0, 0.03)
    palm: list[Place] = []
    for index, ray in enumerate(rays):
        direction = ray.degrees + ray.fan
        start = along(ray.base, ray.degrees, ray.lengths[0])
        reach = sum(ray.lengths[1:]) + 1.6 * len(ray.lengths)
        wide = plump * (1.0 if index else 1.1) * ray.widths[1]
        t = np.linspace(-0.35, 1.0, 40)
        tip = np.sqrt(np.clip(1.0 - np.clip((t - 0.86) / 0.14, 0.0, 1.0) ** 2, 0.0, 1.0))
        canvas.tissue(spindle(start, direction, t * (reach + 4.0), wide * (1.05 - 0.22 * t) * tip), _TISSUE)
        palm.append(along(start, direction, 9.0))
        palm.append(along(along(start, direction, 4.0), 90.0 if index < 4 else -90.0, 9.0 if index in (0, 4) else 0.0))
    web = along(along(rays[0].base, rays[0].degrees, 52.0), -50.0, 16.0)
    palm = [
        (22.0 * plump, -4.0),
        (29.0 * plump, 20.0),
        palm[1],
        palm[0],
        web,
        *palm[2::2],
        palm[-1],
        (-21.0 * plump, 26.0),
    ]
    canvas.tissue(np.array([*palm, (-22.0 * plump, -4.0)]), _TISSUE)
    forearm = np.array([-130.0, -60.0, -20.0, -3.0, 6.0])
    canvas.tissue(spindle((0.0, 0.0), 0.0, forearm, plump * np.array([28.0, 26.0, 23.0, 22.0, 22.0])), _TISSUE)


def _exposed(canvas: Canvas, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Blur, exposure, heel effect, collimation, marker and noise: from thickness to gray values."""
    film = canvas.film()
    height, width = film.shape
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slope = rng.normal(0.0, 0.05, 2)
    film += 0.05 + (slope[0] * (down - 0.5) + slope[1] * (across - 0.5)) * 0.6
    film = np.clip(film * rng.uniform(0.85, 1.1), 0.0, 1.2) ** rng.uniform(0.85, 1.15)
    _add_marker(film, rng)
    grain = rng.normal(0.0, 1.0, film.shape)
    film += 0.012 * grain
    if rng.random() < 0.6:
        edge = rng.uniform(0.0, 0.035, 4)
        tilt = rng.normal(0.0, 0.012)
        x, y = across + tilt * (down - 0.5), down - tilt * (across - 0.5)
        inside = (x > edge[0]) & (x < 1 - edge[1]) & (y > edge[2]) & (y < 1 - edge[3])
        film = np.where(inside, film, rng.choice([0.02, 0.9]) + 0.01 * grain)
    return np.asarray(np.rint(np.clip(film, 0.0, 1.0) * 255), dtype=np.uint8)


def _add_marker(film: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    """A burnt-in "L" in a lower or upper corner, on most films."""
    if rng.random() < 0.25:
        return
    height, width = film.shape
    tall = round(0.05 * height)
    thick = max(1, tall // 5)
    x, y = round(width * rng.uniform(0.06, 0.12)), round(height * rng.uniform(0.06, 0.16))
    film[y : y + tall, x : x + thick] = 0.95
    film[y + tall - thick : y + tall, x : x + round(0.6 * tall)] = 0.95
