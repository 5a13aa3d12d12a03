"""A contact sheet: radiographs, boxes and attention of many cases in one image, for inspection by eye.

It shows radiographs: keep it on the disk of whoever holds them, out of repositories and pages.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from boneage.assessment import NOTICE, Assessment
from boneage.atomic import write_atomically
from boneage.batch import Outcome
from boneage.errors import UsageError
from boneage.evaluation.localization import REGION_OF_TRUTH, Corners, Truths
from boneage.evaluation.predictions import Prediction
from boneage.regions import Box, Region
from boneage.reports.overlays import COLOURS, attention_on, overlay

TILE: Final = 240
"""Pixels a side of one tile."""
_TRUTH: Final = "#f0e442"
_GAP, _LINE, _HEAD = 6, 16, 34


@dataclass(frozen=True, eq=False)
class Panel:
    """One case, already shrunk so that hundreds fit into memory.

    Attributes:
        title: one line above the tiles.
        image: uint8 [h, w], at most `TILE` pixels a side.
        regions: boxes in pixels of `image`.
        attention: region -> float32 [h, w] in [0, 1] over the image; zero outside the view of the localizer.
        truths: readers' boxes in pixels of `image`.
    """

    title: str
    image: npt.NDArray[np.uint8]
    regions: Mapping[Region, Box]
    attention: Mapping[Region, npt.NDArray[np.float32]]
    truths: Mapping[str, Box] = field(default_factory=dict)

    @classmethod
    def of(cls, assessment: Assessment, title: str, truths: Mapping[str, Corners] | None = None) -> Self:
        """Shrink an assessment to what the sheet needs; `truths` are fractions of width and height by truth name."""
        radiograph = assessment.radiograph
        scale = TILE / max(radiograph.width, radiograph.height)
        width, height = max(1, round(radiograph.width * scale)), max(1, round(radiograph.height * scale))
        to_x, to_y = width / radiograph.width, height / radiograph.height
        small = Image.fromarray(radiograph.pixels).resize((width, height), Image.Resampling.BILINEAR)
        return cls(
            title=title,
            image=np.asarray(np.clip(np.asarray(small) * 255.0, 0, 255), dtype=np.uint8),
            regions={region: box.scaled(to_x, to_y) for region, box in assessment.regions.items()},
            attention={
                region: attention_on(attention, radiograph, width=width, height=height)
                for region, attention in assessment.attention.items()
            },
            truths={name: Box(*corners).scaled(width, height) for name, corners in (truths or {}).items()},
        )


class PanelCollector:
    """Collects the panels of `count` cases while an evaluation runs (`boneage.evaluation.run(..., each=...)`).

    Args:
        ids: all cases; boxed ones are preferred.
        truths: readers' boxes.
        count: number of panels, at equal steps through the cases so that the sheet shows all of a data set.
    """

    def __init__(self, ids: Sequence[str], truths: Truths, count: int) -> None:
        self.panels: list[Panel] = []
        self._truths: dict[str, dict[str, Corners]] = {}
        for name, given in truths.items():
            for case, corners in given.items():
                self._truths.setdefault(case, {})[name] = corners
        self._shown = spread([case for case in ids if case in self._truths] or ids, count)

    def __call__(self, row: Prediction, outcome: Outcome) -> None:
        if row.id in self._shown and isinstance(outcome, Assessment):
            error = row.error_months
            age = "" if error is None else f"  {row.age_months:.0f} months, off by {error:+.1f}"
            self.panels.append(Panel.of(outcome, f"{row.id}  {row.sex or 'unknown'}{age}", self._truths.get(row.id)))


def spread(ids: Sequence[str], count: int) -> set[str]:
    """`count` ids at equal steps through the list."""
    return {ids[place * len(ids) // count] for place in range(count)} if count < len(ids) else set(ids)


def contact_sheet(panels: Sequence[Panel], path: str | Path, *, columns: int = 2) -> None:
    """Lay the panels out, `columns` cases a row, and write one PNG, atomically.

    Each case has a tile with all boxes and one for each region with its attention map, its box (solid) and the
    reader's box (yellow), where given.

    Raises:
        UsageError: no panel is given, or `columns` is under 1 ("no_panels").
        OutputError: the folder cannot be written to.
    """
    if not panels or columns < 1:
        raise UsageError("a contact sheet needs at least one assessed case and one column.", code="no_panels")
    columns = min(columns, len(panels))
    tiles = 1 + len(Region)
    wide, high = tiles * (TILE + _GAP) + 2 * _GAP, TILE + _LINE + 2 * _GAP
    lines = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * wide, _HEAD + lines * high), (18, 18, 18))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    draw.text((_GAP, 2), f"These are radiographs: keep them on your own disk. {NOTICE}", (220, 220, 220), font)
    x = _GAP
    legend = {str(region).replace("_", " "): colour for region, colour in COLOURS.items()}
    for name, colour in {**legend, "reader's box": _TRUTH}.items():
        draw.rectangle((x, 20, x + 10, 30), fill=colour)
        draw.text((x + 14, 18), name, (220, 220, 220), font)
        x += 110
    for place, panel in enumerate(panels):
        left, top = place % columns * wide + _GAP, _HEAD + place // columns * high
        draw.text((left, top), panel.title, (235, 235, 235), font)
        sheet.paste(_boxes(panel, tuple(Region), None), (left, top + _LINE))
        for step, region in enumerate(Region, start=1):
            tile = _boxes(panel, (region,), panel.attention.get(region))
            sheet.paste(tile, (left + step * (TILE + _GAP), top + _LINE))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


def _boxes(panel: Panel, regions: Sequence[Region], attention: npt.NDArray[np.float32] | None) -> Image.Image:
    """One tile: the image, the attention over it where given, and the boxes of the regions."""
    none = np.zeros(panel.image.shape, dtype=np.float32)
    tile = Image.fromarray(overlay(panel.image, none if attention is None else attention))
    draw = ImageDraw.Draw(tile)
    if attention is not None or len(regions) == 1:
        for name, truth in panel.truths.items():
            if REGION_OF_TRUTH.get(name) in regions:
                draw.rectangle(_inside(truth), outline=_TRUTH, width=1)
    for region in regions:
        if region in panel.regions:
            draw.rectangle(_inside(panel.regions[region]), outline=COLOURS[region], width=2)
    return tile


def _inside(box: Box) -> tuple[float, float, float, float]:
    """Pillow's rectangles include their last pixel."""
    return box.x0, box.y0, max(box.x0, box.x1 - 1), max(box.y0, box.y1 - 1)
