from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from boneage.errors import DatasetError
from boneage.model.folder import Localizer, Network
from boneage.pipeline.localization import Localization, RegionLocalizer
from boneage.regions import Box, Region
from boneage.training.localization.regions_table import (
    Finder,
    read_maps,
    read_regions,
    write_maps,
    write_regions,
)
from boneage.training.networks.export import export_localizer
from boneage.training.networks.localizer import Localizer as LocalizerNetwork
from boneage.training.recipes.settings import Backbone, LocalizerSettings


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Localizer]:
    folder = tmp_path_factory.mktemp("chain")
    steps = []
    for region, input_view in ((Region.HAND, "O"), (Region.REGION_1, "H"), (Region.REGION_2, "HE")):
        settings = LocalizerSettings(size=64, backbone=Backbone("mobilenetv2_050", stages=3), channels=8)
        file = export_localizer(LocalizerNetwork(settings), folder / f"{region.value}.onnx", 64)
        steps.append(Localizer(region, Network(region.value, file, 64, threads=1), input_view, tau=0.5, smallest=0.1))
    return steps


def test_known_maps_give_the_boxes_that_the_cascade_gives(
    toy: ModuleType, chain: Sequence[Localizer], tmp_path: Path
) -> None:
    training_set = toy.toy_training_set(3, 1)
    finder = Finder(training_set.images, "letterbox", threads=2, progress=False)
    known = {}
    for count, step in enumerate(chain, 1):
        write_maps(tmp_path / "maps.npz", finder.maps(chain[:count], training_set.ids, known))
        known[step.region] = read_maps(tmp_path / "maps.npz")
    table = finder.regions(chain, training_set.ids, known)
    assert list(table) == training_set.ids
    for case_id in training_set.ids:
        expected = RegionLocalizer(chain).locate(training_set.images.image(case_id))
        assert table[case_id].boxes == expected.boxes
        assert table[case_id].missing == expected.missing
    lower = finder.regions([dataclasses.replace(chain[0], tau=0.05)], training_set.ids, known)
    assert sum(found.boxes[Region.HAND].area for found in lower.values()) >= sum(
        found.boxes[Region.HAND].area for found in table.values()
    )


def test_a_table_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    table = {
        "007": Localization({Region.HAND: Box(0.1 + 0.2, 1 / 3, 50, 60.5), Region.REGION_1: Box(1, 2, 3, 4)}),
        "8": Localization(
            {Region.HAND: Box(0, 0, 9, 9), Region.REGION_1: Box(0, 0, 9, 9)}, {}, frozenset({Region.REGION_1})
        ),
    }
    file = write_regions(tmp_path / "new" / "regions.csv", table, {"007": (64, 80), "8": (9, 9)})
    back = read_regions(file)
    assert {key: (found.boxes, found.missing) for key, found in back.items()} == {
        key: (found.boxes, found.missing) for key, found in table.items()
    }
    header, first, _ = file.read_text().splitlines()
    assert header.startswith("id,width,height,hand_x0")
    assert first.startswith("007,64,80,")
    assert "not a medical device" in first


def test_a_damaged_table_is_refused(tmp_path: Path, refuses: Any) -> None:
    file = tmp_path / "regions.csv"
    with refuses(DatasetError, "unreadable_regions_table"):
        read_regions(file)
    file.write_text("id,hand_x0,hand_y0,hand_x1,hand_y1,missing\n1,a,2,3,4,\n")
    with refuses(DatasetError, "unreadable_regions_table"):
        read_regions(file)
