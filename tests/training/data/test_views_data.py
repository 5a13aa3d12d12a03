from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from boneage.pipeline.localization import Localization
from boneage.regions import Box, Region
from boneage.training.data.augmentation import augment_photometry, draw_geometric
from boneage.training.data.views_data import (
    EpochOrder,
    FromTable,
    Key,
    LocalizerSource,
    NoRegions,
    ViewsData,
    ViewSource,
)
from boneage.training.localization.student import StudentData
from boneage.training.recipes.settings import NO_AUGMENTATION, Augmentation
from boneage.views import GeometricAugmentation, View, cut, erase, whole

R1 = Box(10.0, 12.0, 30.0, 40.0)
FOUND = Localization({Region.HAND: Box(4.0, 5.0, 60.0, 70.0), Region.REGION_1: R1, Region.REGION_2: Box(20, 5, 44, 20)})


def data(toy: ModuleType, views: list[View], **options: object) -> ViewsData:
    training_set = toy.toy_training_set(6, 1)
    table = dict.fromkeys(training_set.ids, FOUND)
    return ViewsData(
        training_set.images, training_set.train, [ViewSource(v) for v in views], FromTable(table), 32, **options
    )  # type: ignore[arg-type]


def test_without_augmentation_training_sees_what_an_assessment_cuts(toy: ModuleType) -> None:
    examples = data(toy, list(View))
    image = examples.images.image("c2")
    expected = [
        cut(image, whole(image), 32),
        cut(image, FOUND.boxes[Region.HAND], 32),
        cut(image, R1, 32),
        cut(image, FOUND.boxes[Region.REGION_2], 32),
        cut(erase(image, R1), whole(image), 32),
        cut(erase(image, R1), FOUND.boxes[Region.HAND], 32),
        cut(erase(image, R1), FOUND.boxes[Region.REGION_2], 32),
    ]
    example = examples[2]
    np.testing.assert_array_equal(example.views.numpy(), np.stack(expected))
    assert float(example.sex) == -1.0
    assert float(example.age_months) == pytest.approx(examples.cases[2].age_months)
    still = data(toy, list(View), augmentation=NO_AUGMENTATION)
    np.testing.assert_array_equal(still[Key(3, 2, 32)].views.numpy(), np.stack(expected))


def test_augmentation_depends_on_seed_epoch_and_case_only(toy: ModuleType) -> None:
    first, again = (data(toy, [View.H, View.R1], augmentation=Augmentation(), seed=5) for _ in range(2))
    assert torch.equal(first[Key(1, 3, 32)].views, again[Key(1, 3, 32)].views)
    other = data(toy, [View.H, View.R1], augmentation=Augmentation(), seed=6)
    examples = [first[Key(1, 3, 32)], first[Key(2, 3, 32)], other[Key(1, 3, 32)]]
    assert len({example.views.numpy().tobytes() for example in examples}) == 3
    assert first[Key(0, 0, 48)].views.shape == (2, 48, 48)


def test_the_views_of_localizers(toy: ModuleType) -> None:
    image = toy.toy_training_set(1, 1).images.image("c0")
    assert LocalizerSource("O")(image, Localization())[1] == whole(image)
    assert LocalizerSource("H")(image, FOUND)[1] == FOUND.boxes[Region.HAND]
    picture, box = LocalizerSource("HE")(image, FOUND)
    assert box == FOUND.boxes[Region.HAND]
    np.testing.assert_array_equal(picture, erase(image, R1))
    missing = Localization(FOUND.boxes, {}, frozenset({Region.REGION_1}))
    np.testing.assert_array_equal(LocalizerSource("E")(image, missing)[0], image)


def test_augmentation_stays_within_its_range() -> None:
    rng, within = np.random.default_rng(0), Augmentation(degrees=10, zoom=0.1, shift=0.05, mirror=False)
    for _ in range(50):
        geometric = draw_geometric(rng, within)
        assert abs(geometric.degrees) <= 10
        assert abs(np.log(geometric.zoom)) <= 0.1
        assert max(abs(geometric.shift_x), abs(geometric.shift_y)) <= 0.05
        assert not geometric.mirror
    assert draw_geometric(rng, NO_AUGMENTATION) == GeometricAugmentation()
    view = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    np.testing.assert_array_equal(augment_photometry(view, rng, NO_AUGMENTATION), view)
    assert augment_photometry(view, rng, Augmentation()).dtype == np.uint8


def test_the_students_masks_move_with_its_view(toy: ModuleType) -> None:
    training_set = toy.toy_training_set(2, 1)
    table = {case_id: Localization(FOUND.boxes, {}, frozenset({Region.REGION_2})) for case_id in training_set.ids}
    still = StudentData(training_set.images, training_set.train, [], FromTable(table), 64)
    example = still[0]
    assert example.targets.shape == (3, 4, 4)
    assert (example.targets[2] == -1).all()
    assert 0 < float(example.targets[1].mean()) < float(example.targets[0].mean()) <= 1
    mirror = StudentData(
        training_set.images,
        training_set.train,
        [],
        FromTable(table),
        64,
        augmentation=Augmentation(0, 0, 0, True, 0, 0),
    )
    for epoch in range(8):
        example_again = mirror[Key(epoch, 0, 64)]
        flipped = not torch.equal(example_again.views, example.views)
        expected = example.targets.flip(2) if flipped else example.targets
        torch.testing.assert_close(example_again.targets, expected, atol=0.02, rtol=0)


def order(**options: object) -> EpochOrder:
    return EpochOrder(**({"count": 10, "batch": 4, "seed": 3, "sizes": [(0, 32)]} | options))  # type: ignore[arg-type]


def test_an_epoch_is_a_permutation_of_its_own() -> None:
    one, two = order(batch=5), order(batch=5)
    two.set_epoch(1)
    first, second = [[key.case for batch in o for key in batch] for o in (one, two)]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert [[key.case for key in batch] for batch in one] == [first[:5], first[5:]]
    assert {key.epoch for batch in two for key in batch} == {1}
    assert len(order()) == 2  # the rest of two is left for another epoch's order
    assert len(order(batch=64)) == 1


def test_devices_share_each_batch_and_sizes_grow() -> None:
    parts = [[key.case for batch in order(batch=2, rank=rank, world=2) for key in batch] for rank in (0, 1)]
    together = order(batch=4)
    assert sorted(parts[0] + parts[1]) == sorted(key.case for batch in together for key in batch)
    growing = order(sizes=[(0, 16), (2, 32)])
    sizes = []
    for epoch in range(4):
        growing.set_epoch(epoch)
        sizes.append(next(iter(growing))[0].size)
    assert sizes == [16, 16, 32, 32]


def test_whole_images_need_no_regions(toy: ModuleType) -> None:
    training_set = toy.toy_training_set(2, 1)
    images = ViewsData(training_set.images, training_set.train, [LocalizerSource("O")], NoRegions(), 32, squash=True)
    image = training_set.images.image("c1")
    np.testing.assert_array_equal(images[1].views[0].numpy(), cut(image, whole(image), 32, squash=True))
