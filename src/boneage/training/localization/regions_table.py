"""The regions of a whole data set: found once, by the same localizer that assesses, and kept as files.

`maps.npz` holds a localizer's attention maps, `regions.csv` the boxes in pixels of the images.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from boneage.assessment import NOTICE, Attention
from boneage.atomic import replacing
from boneage.errors import DatasetError
from boneage.model.document import Layout
from boneage.model.folder import Localizer
from boneage.pipeline.localization import Answers, Localization, RegionLocalizer
from boneage.progress import track
from boneage.regions import Box, Region
from boneage.training.data.views_data import Images
from boneage.views import ImageArray

RegionsTable = Mapping[str, Localization]
Maps = Mapping[str, npt.NDArray[np.float32]]
"""One localizer's attention maps by case id: float32 [m, m] in [0, 1], cells outside the image zero."""

MAPS_FILE, REGIONS_FILE = "maps.npz", "regions.csv"

T = TypeVar("T")

_CORNERS = ("x0", "y0", "x1", "y1")


class Replay(RegionLocalizer):
    """A localizer with maps that are known already, so that boxes for another tau cost nothing."""

    def __init__(
        self, localizers: Sequence[Localizer], layout: Layout, known: Mapping[Region, npt.NDArray[np.float32]]
    ) -> None:
        super().__init__(localizers, layout)
        self.known = known

    def attention(self, localizer: Localizer, image: ImageArray, box: Box, memo: Answers | None = None) -> Attention:
        if localizer.region in self.known:
            return Attention(self.known[localizer.region], box)
        return super().attention(localizer, image, box, memo)


@dataclass(frozen=True)
class Finder:
    """Finds the regions of many images.

    Attributes:
        images: the decoded images.
        layout: as the model will have it.
        threads: images at a time; each network should then run in one thread.
        progress: show progress.
    """

    images: Images
    layout: Layout
    threads: int = 1
    progress: bool = True

    def maps(self, localizers: Sequence[Localizer], ids: Sequence[str], known: Mapping[Region, Maps]) -> Maps:
        """The maps of the last of `localizers` for each id; those in front of it replay their `known` maps."""
        last = localizers[-1].region
        return self.each(
            localizers, ids, known=known, kept=lambda found: found.attention[last].map, what=f"maps of {last.value}"
        )

    def regions(
        self, localizers: Sequence[Localizer], ids: Sequence[str], known: Mapping[Region, Maps]
    ) -> RegionsTable:
        """The regions of each id (without their maps), from known maps as far as there are any."""

        def without_maps(found: Localization) -> Localization:
            return Localization(boxes=found.boxes, attention={}, missing=found.missing, remarks=found.remarks)

        return self.each(localizers, ids, known=known, kept=without_maps, what="boxes")

    def each(
        self,
        localizers: Sequence[Localizer],
        ids: Sequence[str],
        known: Mapping[Region, Maps],
        kept: Callable[[Localization], T],
        what: str,
    ) -> dict[str, T]:
        """Find the regions of each id, and keep of them what `kept` returns; `what` names that in progress lines."""

        def one(case_id: str) -> T:
            region_localizer = Replay(
                localizers, self.layout, {region: maps[case_id] for region, maps in known.items()}
            )
            return kept(region_localizer.locate(self.images.image(case_id)))

        with ThreadPoolExecutor(self.threads) as pool:
            found = track(pool.map(one, ids), f"Finding {what}", len(ids), quiet=not self.progress)
            return dict(zip(ids, found, strict=True))


def write_maps(file: Path, maps: Maps) -> None:
    """Keep maps as one .npz file in single precision: a box must not depend on whether it was kept."""
    with replacing(file) as waiting, waiting.open("wb") as stream:
        np.savez(stream, ids=np.array(list(maps)), maps=np.stack(list(maps.values())).astype(np.float32))


def read_maps(file: Path) -> Maps:
    """Read what `write_maps` wrote."""
    with np.load(file) as stored:
        return dict(zip(stored["ids"].tolist(), stored["maps"], strict=True))


def write_regions(file: Path, table: RegionsTable, sizes: Mapping[str, tuple[int, int]]) -> Path:
    """Write a regions table as CSV.

    Columns: id, width, height (of the image, pixels), for each region four corners in pixels of the image
    (`hand_x0`, ...), `missing` (regions with a stand-in box, separated by blanks), notice.

    Args:
        sizes: (width, height) of each image.

    Raises:
        OutputError: the file cannot be written.
    """
    regions = [region for region in Region if any(region in found.boxes for found in table.values())]
    header = ["id", "width", "height", *(f"{region.value}_{at}" for region in regions for at in _CORNERS)]
    with replacing(file) as waiting, waiting.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*header, "missing", "notice"])
        for case_id, found in table.items():
            # repr keeps every bit, so that a table that was read back cuts the very same views.
            corners = [repr(float(x)) for region in regions for x in found.boxes[region].as_list()]
            missing = " ".join(sorted(region.value for region in found.missing))
            writer.writerow([case_id, *sizes[case_id], *corners, missing, NOTICE])
    return file


def read_regions(file: Path) -> dict[str, Localization]:
    """Read a regions table.

    Raises:
        DatasetError: it is missing or damaged.
    """
    table = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                boxes = {
                    region: Box(*(float(row[f"{region.value}_{at}"]) for at in _CORNERS))
                    for region in Region
                    if f"{region.value}_x0" in row
                }
                table[row["id"]] = Localization(boxes, {}, frozenset(Region(word) for word in row["missing"].split()))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{file}: cannot be read as a regions table ({error}). Make it again.", code="unreadable_regions_table"
        ) from error
    return table
