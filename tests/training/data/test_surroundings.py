"""Training images get other surroundings, and their boxes follow."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from boneage.pipeline.localization import Localization
from boneage.regions import Box, Region
from boneage.training.data.surroundings import augment_surroundings, surround
from boneage.training.data.views_data import FromTable, Key, ViewsData, ViewSource
from boneage.training.gate.examples import GateData
from boneage.training.localization.student import StudentData
from boneage.training.recipes import find_recipe
from boneage.training.recipes.settings import NO_AUGMENTATION, Augmentation
from boneage.views import View

BOXES = {
    Region.HAND: Box(30, 10, 100, 130),
    Region.REGION_1: Box(45, 90, 85, 125),
    Region.REGION_2: Box(40, 55, 90, 80),
}
FOUND = Localization(BOXES, {}, frozenset({Region.REGION_2}))
OFTEN = Augmentation(overlays=1.0, fields=1.0)


def hand() -> np.ndarray:  # type: ignore[type-arg]
    """A gray picture whose region 1 is bright."""
    image = np.random.default_rng(0).integers(20, 40, (160, 130)).astype(np.uint8)
    image[10:160, 30:100] = 110
    image[90:125, 45:85] = 240
    return image


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(40))
def test_images_stay_bytes_and_boxes_stay_inside(seed: int) -> None:
    image = hand()
    made, found = augment_surroundings(image, FOUND, chance(seed), OFTEN)
    assert made.dtype == np.uint8
    assert made.max() - made.min() > 150
    assert (found.missing, set(found.boxes)) == (FOUND.missing, set(BOXES))
    for region, box in found.boxes.items():
        assert 0 <= box.x0 < box.x1 <= made.shape[1]
        assert 0 <= box.y0 < box.y1 <= made.shape[0]
        assert box.width / box.height == pytest.approx(BOXES[region].width / BOXES[region].height)
    again, found_again = augment_surroundings(image, FOUND, chance(seed), OFTEN)
    np.testing.assert_array_equal(made, again)
    assert found.boxes == found_again.boxes
    np.testing.assert_array_equal(image, hand())


def test_boxes_follow_what_they_show() -> None:
    """Region 1 is the brightest part of the hand; wherever it goes its box goes."""
    kept = []
    for seed in range(60):
        made, found = augment_surroundings(hand(), FOUND, chance(seed), Augmentation(fields=1.0))
        x0, y0, x1, y1 = (round(at) for at in found.boxes[Region.REGION_1].grown(-0.1).as_list())
        a0, b0, a1, _ = (round(at) for at in found.boxes[Region.REGION_1].grown(0.6).as_list())
        inside = made[y0:y1, x0:x1].mean()
        kept.append(inside > 1.3 * made[max(0, b0) : y0, max(0, a0) : a1].mean())
    assert np.mean(kept) > 0.95


def test_plates_seldom_lie_on_region_1_and_the_whole_area_is_in_range() -> None:
    image = hand().astype(np.float32) / np.float32(255)
    shares, hidden = [], []
    for seed in range(80):
        made = surround(image, FOUND, chance(seed), overlays=1.0, fields=0.0)
        assert made.changed
        assert made.found is FOUND
        differs = np.abs(made.image - image) > 0.02
        shares.append(differs.mean())
        hidden.append(differs[90:125, 45:85].mean())
    assert max(shares) < 0.3
    assert np.mean(np.array(hidden) > 0.1) < 0.15


def test_without_chances_nothing_is_drawn_and_nothing_changes() -> None:
    rng = chance()
    image = hand()
    made, found = augment_surroundings(image, FOUND, rng, Augmentation(degrade=0.5))
    assert made is image
    assert found is FOUND
    assert rng.random() == chance().random()
    shares = [
        augment_surroundings(image, FOUND, chance(seed), Augmentation(overlays=0.3))[0] is image for seed in range(200)
    ]
    assert np.mean(shares) == pytest.approx(0.7, abs=0.1)


def test_views_masks_and_the_gates_examples_are_drawn_from_such_images(toy: ModuleType) -> None:
    training_set = toy.toy_training_set(6, 1)
    boxes = {Region.HAND: Box(4, 5, 60, 70), Region.REGION_1: Box(10, 12, 30, 40), Region.REGION_2: Box(20, 5, 44, 20)}
    table = dict.fromkeys(training_set.ids, Localization(boxes))
    still = NO_AUGMENTATION
    often = Augmentation(0.0, 0.0, 0.0, False, 0.0, 0.0, overlays=1.0, fields=1.0)
    for kind, sources in ((ViewsData, [ViewSource(View.H), ViewSource(View.R1)]), (StudentData, []), (GateData, [])):
        plain, changed, again = (
            kind(training_set.images, training_set.train, sources, FromTable(table), 32, augmentation=chances, seed=2)
            for chances in (still, often, often)
        )
        keys = [Key(epoch, case, 32) for epoch in range(2) for case in range(6)]
        assert any(not torch.equal(plain[key].views, changed[key].views) for key in keys)
        for key in keys:
            assert torch.equal(changed[key].views, again[key].views)
            assert torch.equal(changed[key].targets, again[key].targets)
            assert changed[key].views.shape == plain[key].views.shape
            if kind is GateData:  # a hand with plates is a hand, and a negative with plates is none
                assert changed[key].targets[0] == plain[key].targets[0]


def test_compact_has_them_and_tiny_does_not() -> None:
    compact, tiny = find_recipe("compact"), find_recipe("tiny")
    parts = [compact.regressor.augmentation, compact.student_network.augmentation, compact.gate]
    assert [(part.overlays, part.fields) for part in parts if part is not None] == [(0.35, 0.3)] * 3
    assert (tiny.regressor.augmentation.overlays, tiny.regressor.augmentation.fields) == (0.0, 0.0)
