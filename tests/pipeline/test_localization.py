from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from boneage.errors import ModelError
from boneage.model.folder import Localizer, Network, load_model
from boneage.pipeline.localization import Localization, RegionLocalizer, cut_views
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region
from boneage.views import View, erase, whole


class FixedNetwork(Network):
    """A network that always answers with the same maps, and remembers what it was shown."""

    def __init__(self, *maps: npt.NDArray[np.floating[Any]], input_size: int = 64) -> None:
        super().__init__("fixed", Path("fixed.onnx"), input_size)
        object.__setattr__(self, "maps", np.stack(maps).astype(np.float32))
        object.__setattr__(self, "shown", [])

    def run(self, feeds: Any) -> dict[str, npt.NDArray[np.float32]]:
        self.shown.append(feeds["view"])  # type: ignore[attr-defined]
        count = len(feeds["view"])
        maps: npt.NDArray[np.float32] = self.maps  # type: ignore[attr-defined]
        return {"attention": np.repeat(maps, count, axis=0) if len(maps) == 1 else maps[:count]}


def localizer(region: Region, network: Network, input_view: str = "O", **changes: Any) -> Localizer:
    return Localizer(region, network, input_view, **{"tau": 0.5, "average_mirror": False, **changes})


def peak(row: int, column: int, cells: int = 8) -> npt.NDArray[np.float32]:
    spot = np.full((cells, cells), -1.0, np.float32)
    spot[row, column] = 2.0
    return spot


@pytest.fixture
def image() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (120, 90), dtype=np.uint8)


def test_a_spot_becomes_a_box_at_its_place(image: npt.NDArray[np.uint8]) -> None:
    # The image is 90 wide and 120 high: a letterboxed view has 15 px on each side, a cell is 15 px.
    network = FixedNetwork(peak(2, 4))
    found = RegionLocalizer([localizer(Region.HAND, network)]).locate(image)
    box = found.boxes[Region.HAND]
    assert box.center == pytest.approx((4.5 * 15 - 15, 2.5 * 15), abs=0.5)
    assert 10 < box.width < 20
    assert found.attention[Region.HAND].box == Box(-15, 0, 105, 120)
    assert not found.remarks
    assert not found.missing


def test_a_squashed_view_gives_the_same_place(image: npt.NDArray[np.uint8]) -> None:
    found = RegionLocalizer([localizer(Region.HAND, FixedNetwork(peak(2, 4)))], layout="squash").locate(image)
    assert found.boxes[Region.HAND].center == pytest.approx((4.5 * 90 / 8, 2.5 * 15), abs=0.5)
    assert found.attention[Region.HAND].box == Box(0, 0, 90, 120)


def test_mirror_maps_are_turned_back_and_each_normalised(image: npt.NDArray[np.uint8]) -> None:
    network = FixedNetwork(peak(2, 2), 50 * peak(2, 7 - 2))
    region_localizer = RegionLocalizer([])
    attention = region_localizer.attention(localizer(Region.HAND, network, average_mirror=True), image, whole(image))
    assert attention.map[2, 2] == 1.0
    assert (attention.map > 0).sum() == 1
    (shown,) = network.shown  # type: ignore[attr-defined]
    np.testing.assert_array_equal(shown[1], shown[0][..., ::-1])


def test_light_on_padding_is_put_out(image: npt.NDArray[np.uint8]) -> None:
    spots = np.zeros((8, 8), np.float32)
    spots[:, 0], spots[3, 4] = 9.0, 1.0
    attention = RegionLocalizer([]).attention(localizer(Region.HAND, FixedNetwork(spots)), image, whole(image))
    assert (attention.map[:, 0] == 0).all()
    assert attention.map[3, 4] == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0, np.nan, np.inf])
def test_a_map_without_evidence_falls_back_and_says_so(image: npt.NDArray[np.uint8], value: float) -> None:
    empty = FixedNetwork(np.full((8, 8), value))
    spot = FixedNetwork(peak(3, 4))
    found = RegionLocalizer([localizer(Region.HAND, empty), localizer(Region.REGION_1, spot)]).locate(image)
    assert found.boxes[Region.HAND] == whole(image)
    assert found.missing == {Region.HAND}
    assert [remark.code for remark in found.remarks] == ["region_not_found"]

    chain = [localizer(Region.HAND, spot), *(localizer(region, empty, "H") for region in list(Region)[1:])]
    found = RegionLocalizer(chain).locate(image)
    assert found.boxes[Region.REGION_1] == found.boxes[Region.REGION_2] == found.boxes[Region.HAND]
    assert found.missing == {Region.REGION_1, Region.REGION_2}
    assert len(found.remarks) == 2
    assert {remark.code for remark in found.remarks} == {"region_not_found"}


def test_a_region_without_a_hand_localizer_falls_back_to_the_image(image: npt.NDArray[np.uint8]) -> None:
    found = RegionLocalizer([localizer(Region.REGION_1, FixedNetwork(np.zeros((8, 8))))]).locate(image)
    assert found.boxes[Region.REGION_1] == whole(image)


def test_a_region_on_the_hand_box_lies_where_the_hand_view_shows_it(image: npt.NDArray[np.uint8]) -> None:
    hand = FixedNetwork(peak(4, 4))
    region = FixedNetwork(peak(0, 7))
    found = RegionLocalizer(
        [localizer(Region.HAND, hand, smallest=0.5), localizer(Region.REGION_1, region, "H")]
    ).locate(image)
    box, inside = found.boxes[Region.HAND], found.boxes[Region.REGION_1]
    side = max(box.width, box.height)
    assert inside.center == pytest.approx((box.center[0] + side * 3 / 8, box.center[1] - side * 3.5 / 8), rel=0.1)


def test_erased_views_hide_region_1(image: npt.NDArray[np.uint8]) -> None:
    second = FixedNetwork(peak(5, 5))
    found = RegionLocalizer(
        [localizer(Region.REGION_1, FixedNetwork(peak(2, 3))), localizer(Region.REGION_2, second, "E")]
    ).locate(image)
    place, box = found.place(View.E, image)
    np.testing.assert_array_equal(place, erase(image, found.boxes[Region.REGION_1]))
    assert box == whole(image)
    assert (place != image).any()


def test_nothing_is_erased_where_region_1_was_not_found(image: npt.NDArray[np.uint8]) -> None:
    found = RegionLocalizer([localizer(Region.REGION_1, FixedNetwork(np.zeros((8, 8))))]).locate(image)
    np.testing.assert_array_equal(found.place(View.E, image)[0], image)


def test_a_box_of_a_few_pixels_grows_and_one_at_the_border_is_clipped(image: npt.NDArray[np.uint8]) -> None:
    tiny = localizer(Region.HAND, FixedNetwork(peak(7, 4, 8)), tau=1.0, smallest=0.5)
    box = RegionLocalizer([tiny]).locate(image).boxes[Region.HAND]
    assert box.y1 == 120
    assert box.width == pytest.approx(60)
    assert box.height < 60


@settings(max_examples=60, deadline=None)
@given(
    attention=arrays(np.float32, (8, 8), elements=st.floats(-5, 5, width=32)),
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    tau=st.floats(0.01, 1.0),
    margin=st.floats(-0.9, 3.0),
    smallest=st.floats(0.001, 1.0),
    layout=st.sampled_from(["letterbox", "squash"]),
    mirror=st.booleans(),
)
def test_boxes_lie_inside_the_image_whatever_the_maps_say(
    attention: npt.NDArray[np.float32],
    width: int,
    height: int,
    tau: float,
    margin: float,
    smallest: float,
    layout: Any,
    mirror: bool,
) -> None:
    network = FixedNetwork(attention, attention[::-1])
    image = np.arange(width * height, dtype=np.uint64).reshape(height, width).astype(np.uint8)
    how = {"tau": tau, "margin": margin, "smallest": smallest, "average_mirror": mirror}
    chain = [
        localizer(Region.HAND, network, "O", **how),
        localizer(Region.REGION_1, network, "H", **how),
        localizer(Region.REGION_2, network, "HE", **how),
    ]
    found = RegionLocalizer(chain, layout=layout).locate(image)
    for box in found.boxes.values():
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
    for seen in found.attention.values():
        assert seen.map.shape == (8, 8)
        assert seen.map.dtype == np.float32
        assert seen.map.min() >= 0
        assert seen.map.max() <= 1
    assert len(found.remarks) == len(found.missing)
    views = cut_views(image, found, list(View), 16, squash=layout == "squash")
    assert all(view.shape == (16, 16) for view in views.values())


@pytest.mark.parametrize("shape", [(64, 3000), (3000, 64), (64, 64), (65, 1300)])
def test_extreme_aspect_ratios(standin_model: Path, shape: tuple[int, int]) -> None:
    model = load_model(standin_model)
    region_localizer = RegionLocalizer(model.localizers, model.layout)
    radiograph = Radiograph.from_values(np.random.default_rng(1).normal(size=shape))
    image = radiograph.image(model.image_short_side)
    for box in region_localizer.locate(image).boxes.values():
        assert box.within(image.shape[1], image.shape[0]) == box


def test_the_same_image_gets_the_same_answer(standin_model: Path, hand: Radiograph) -> None:
    model = load_model(standin_model)
    region_localizer = RegionLocalizer(model.localizers, model.layout)
    image = hand.image(model.image_short_side)
    first, second = region_localizer.locate(image), region_localizer.locate(image.copy())
    assert first.boxes == second.boxes
    assert first.boxes[Region.REGION_1].center[1] > first.boxes[Region.REGION_2].center[1]


def test_a_map_of_another_shape_is_a_fault_of_the_model(image: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ModelError, match="m x m"):
        RegionLocalizer([localizer(Region.HAND, FixedNetwork(np.zeros((4, 6))))]).locate(image)


def test_scaling_takes_boxes_and_maps_along(image: npt.NDArray[np.uint8]) -> None:
    found = RegionLocalizer([localizer(Region.HAND, FixedNetwork(peak(2, 4)))]).locate(image).scaled(2, 3)
    assert found.attention[Region.HAND].box == Box(-30, 0, 210, 360)
    assert isinstance(found, Localization)
