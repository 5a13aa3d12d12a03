"""Phantoms are reproducible, and their truth fits their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneage.ages import Sex
from boneage.datasets import read_boxes
from boneage.errors import UsageError
from boneage.phantom import phantom
from boneage.phantom.anatomy.development import CARPALS, Child, appearances, fusions
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.phantom.truth import Truth
from boneage.radiograph import Radiograph
from boneage.regions import Region

SIZE = 160


def average_child(sex: Sex) -> Child:
    """A child with average tempo and every centre at its median."""
    months = {name: event.median for name, event in appearances(sex).items()}
    return Child(sex, 0.0, months, fusions(sex), 1.0)


def visible(sex: Sex, age: float) -> set[str]:
    child = average_child(sex)
    return {name for name in child.appears_months if child.centre(name, age).appeared}


def carpals(sex: Sex, age: float) -> set[str]:
    return visible(sex, age) & set(CARPALS)


def test_centres_appear_in_the_months_of_the_table() -> None:
    """Medians of the table, read by hand."""
    assert visible(Sex.MALE, 2.0) == set()
    assert carpals(Sex.MALE, 12) == {"capitate", "hamate"}
    assert "distal_radius" in visible(Sex.FEMALE, 12)
    assert "distal_radius" not in visible(Sex.MALE, 12)
    assert carpals(Sex.FEMALE, 36) == {"capitate", "hamate", "triquetrum", "lunate"}
    assert carpals(Sex.MALE, 36) == {"capitate", "hamate", "triquetrum"}
    assert carpals(Sex.MALE, 84) == set(CARPALS) - {"pisiform"}
    assert "distal_ulna" not in visible(Sex.MALE, 84)
    assert "distal_ulna" in visible(Sex.MALE, 86)
    assert carpals(Sex.MALE, 140) == set(CARPALS)
    assert "sesamoid_adductor_pollicis" not in visible(Sex.MALE, 150)
    assert len(visible(Sex.MALE, 156)) == 30


def test_plates_close_in_the_known_order() -> None:
    for sex, age in ((Sex.MALE, 190), (Sex.FEMALE, 164)):
        child = average_child(sex)
        assert all(child.centre(f"DP{finger}", age).fused == 1.0 for finger in range(1, 6))
        assert child.centre("distal_radius", age).fused == 0.0
        assert child.centre("PP3", age).fused < 1.0
    ends = {name: end for name, (_, end) in fusions(Sex.MALE).items()}
    assert max(ends, key=lambda name: ends[name]) == "distal_radius"
    assert ends["distal_radius"] == 228


@pytest.mark.parametrize("sex", list(Sex))
def test_maturity_never_falls_with_age(sex: Sex) -> None:
    child = Child.drawn(sex, np.random.default_rng(5))
    for name in child.appears_months:
        states = [child.centre(name, age) for age in range(1, 241)]
        for values in (
            [state.maturity for state in states],
            [state.fused for state in states],
            [float(state.appeared) for state in states],
        ):
            assert np.all(np.diff(values) >= 0), name
        assert all(0 <= state.maturity <= 1 and 0 <= state.fused <= 1 for state in states)


def test_tempo_changes_the_chronological_age_and_not_the_bones() -> None:
    early, late = (Child(Sex.MALE, tempo, {}, {}, 1.0) for tempo in (2.0, -2.0))
    assert early.chronological_age_months(120) == pytest.approx(120 - 2 * 10.5)
    assert late.chronological_age_months(120) == pytest.approx(120 + 2 * 10.5)
    assert early.growth(120) == late.growth(120)


def test_the_individual_part_of_a_centre_is_smaller_than_the_spread_of_the_table() -> None:
    """0.4 of the table's standard deviation, and 0 on average."""
    drawn = [Child.drawn(Sex.MALE, np.random.default_rng(seed)).appears_months["scaphoid"] for seed in range(300)]
    event = appearances(Sex.MALE)["scaphoid"]
    assert np.mean(drawn) == pytest.approx(event.median, abs=1.5)
    assert np.std(drawn) == pytest.approx(0.4 * (event.earlier + event.later) / 2, rel=0.15)


def test_the_same_arguments_give_the_same_pixels() -> None:
    first, again, other = (phantom(100, "male", seed, SIZE) for seed in (7, 7, 8))
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.truth.as_record() == again.truth.as_record()
    assert first.pixels.tobytes() != other.pixels.tobytes()


def test_the_global_random_state_is_left_alone() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr] # noqa: NPY002
    phantom(100, "male", 7, 64)
    assert np.random.get_state()[1].tobytes() == expected  # type: ignore[index, union-attr] # noqa: NPY002


@pytest.mark.parametrize(("age", "sex"), [(1, "male"), (30, "female"), (84, "male"), (150, "female"), (240, "male")])
def test_masks_lie_in_their_boxes_and_boxes_in_the_image(age: int, sex: str) -> None:
    made = phantom(age, sex, 11, SIZE)
    truth = made.truth
    assert (truth.height, truth.width) == made.pixels.shape
    assert made.pixels.dtype == np.uint8
    hand = truth.hands[0]
    assert set(hand.regions) == set(Region)
    for box in [*hand.regions.values(), *(box for boxes in hand.readers_boxes.values() for box in boxes)]:
        assert box.within(truth.width, truth.height) == box
    shown = [name for name in hand.bones if hand.bones[name].box is not None]
    assert len(shown) >= 21
    for name in shown:
        box, mask = hand.bones[name].box, truth.mask(name)
        assert box is not None
        if not mask.any():  # a centre smaller than a pixel
            continue
        rows, columns = np.nonzero(mask)
        assert columns.min() >= box.x0 - 1
        assert columns.max() <= box.x1 + 1
        assert rows.min() >= box.y0 - 1
        assert rows.max() <= box.y1 + 1
    whole = hand.regions[Region.HAND].grown(0.02)
    for region in (Region.REGION_1, Region.REGION_2):
        box = hand.regions[region]
        assert whole.x0 <= box.x0
        assert whole.x1 >= box.x1
    assert hand.regions[Region.REGION_2].center[1] < hand.regions[Region.REGION_1].center[1]


@pytest.mark.parametrize(("age", "partial"), [(14, False), (100, False), (216, False), (100, True)])
def test_masks_of_regions_lie_in_their_boxes(age: int, partial: bool) -> None:
    truth = phantom(age, "female", 9, SIZE, partial=partial).truth
    hand = truth.hands[0]
    assert hand.masks.keys() == hand.regions.keys()
    for region, box in hand.regions.items():
        rows, columns = np.nonzero(hand.masks[region])
        assert rows.size > 0, region
        assert columns.min() >= np.floor(box.x0)
        assert columns.max() < np.ceil(box.x1)
        assert rows.min() >= np.floor(box.y0)
        assert rows.max() < np.ceil(box.y1)
    bones = np.zeros((truth.height, truth.width), dtype=bool)
    for name in hand.bones:
        bones |= truth.mask(name)
    for region in set(hand.masks) - {Region.HAND}:
        assert np.all(bones[hand.masks[region]]), region
        assert hand.masks[Region.HAND][hand.masks[region]].mean() > 0.99, region


def test_bones_outside_the_image_have_no_boxes_and_their_regions_are_left_out(tmp_path: Path) -> None:
    for seed in range(8):
        hand = phantom(100, "female", seed, SIZE, partial=True).truth.hands[0]
        if Region.REGION_1 not in hand.regions:
            assert not hand.readers_boxes["wrist"] + hand.readers_boxes["radius"] + hand.readers_boxes["ulna"], seed
        if Region.REGION_2 not in hand.regions:
            assert not hand.readers_boxes["mcp"], seed
    root = write_phantoms(tmp_path, 12, Settings(seed=9, size=96, partial=1.0)).folder
    drawn, tight = (read_boxes(root / "annotations" / name) for name in ("boxes.csv", "regions.csv"))
    for region in ("region_1", "region_2"):
        assert drawn[region].keys() == tight[region].keys()
    assert 0 < len(tight["region_1"]) < 12


def test_region_1_holds_carpals_and_forearm_ends_and_region_2_the_knuckles() -> None:
    truth = phantom(150, "male", 5, 256).truth
    hand = truth.hands[0]
    for carpal in CARPALS:
        assert hand.masks[Region.REGION_1][truth.mask(carpal)].mean() > 0.95, carpal
    for bone in ("distal_radius", "distal_ulna"):
        share = hand.masks[Region.REGION_1][truth.mask(bone)].mean()
        assert 0.02 < share < 0.6, bone
    for number in range(1, 6):
        bone = truth.mask(f"MC{number}")
        assert 0.1 < hand.masks[Region.REGION_2][bone].mean() < 0.6, number
        x, y = hand.key_points[f"MC{number}_base"]
        assert not hand.masks[Region.REGION_2][int(y), int(x)]


def test_bones_are_bright_at_their_masks() -> None:
    """Bone is brighter than the soft tissue around it."""
    for seed in range(3):
        made = phantom(150, "male", seed, 256, rotation_degrees=0.0)
        pixels = Radiograph.from_values(made.pixels).pixels
        bone = np.zeros(pixels.shape, dtype=bool)
        for name in ("PP2", "PP3", "PP4", "MC2", "MC3", "MC4"):
            bone |= made.truth.mask(name)
        rows, columns = np.nonzero(bone)
        around = np.zeros_like(bone)
        around[rows.min() : rows.max(), columns.min() : columns.max()] = True
        assert pixels[bone].mean() > pixels[around & ~bone].mean() + 0.08


def test_carpal_bones_fill_the_wrist_with_age_and_are_bright() -> None:
    shares = []
    for age in (18, 60, 100, 160):
        made = phantom(age, "male", 5, 256, rotation_degrees=0.0)
        pixels = Radiograph.from_values(made.pixels).pixels
        hand = made.truth.hands[0]
        box = hand.regions[Region.REGION_1]
        inside = np.zeros(pixels.shape, dtype=bool)
        inside[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = True
        carpus, bone = np.zeros_like(inside), np.zeros_like(inside)
        for name in hand.bones:
            bone |= made.truth.mask(name)
            if name in CARPALS:
                carpus |= made.truth.mask(name)
        shares.append(carpus[inside].mean())
        tissue = inside & ~bone
        assert pixels[carpus].mean() > pixels[tissue].mean() + 0.03, age
    assert np.all(np.diff(shares) > 0.02), shares


def test_the_truth_rotates_with_the_hand() -> None:
    """Distances between key points stay in proportion, and the line of the middle finger rotates by the angle."""

    def finger(truth: Truth) -> complex:
        points = truth.hands[0].key_points
        (x0, y0), (x1, y1) = points["MC3_base"], points["DP3_head"]
        return complex(x1 - x0, y1 - y0)

    straight, turned = (phantom(120, "female", 4, SIZE, rotation_degrees=angle).truth for angle in (0.0, 25.0))
    assert np.degrees(np.angle(finger(turned) / finger(straight))) == pytest.approx(25.0, abs=0.01)
    assert abs(finger(turned)) * turned.spacing_mm == pytest.approx(abs(finger(straight)) * straight.spacing_mm)


def test_a_right_hand_is_the_mirror_image() -> None:
    points = {
        side: phantom(120, "female", 4, SIZE, laterality=side, rotation_degrees=0.0).truth.hands[0].key_points
        for side in ("left", "right")
    }
    assert points["left"]["DP1_head"][0] > points["left"]["DP5_head"][0]
    assert points["right"]["DP1_head"][0] < points["right"]["DP5_head"][0]


def test_hands_grow() -> None:
    def length_mm(age: float) -> float:
        truth = phantom(age, "male", 2, SIZE).truth
        points = truth.hands[0].key_points
        return float(np.hypot(*np.subtract(points["DP3_head"], points["MC3_base"]))) * truth.spacing_mm

    lengths = [length_mm(age) for age in (6, 48, 96, 144, 216)]
    assert np.all(np.diff(lengths) > 5)
    assert 140 < lengths[-1] < 180  # metacarpal and finger of a man


def test_two_hands_lie_side_by_side() -> None:
    truth = phantom(100, "male", 3, SIZE, hands=2).truth
    assert [hand.laterality for hand in truth.hands] == ["left", "right"]
    left, right = (hand.key_points["capitate"][0] for hand in truth.hands)
    assert left < truth.width / 2 < right
    assert truth.width > truth.height


def test_a_part_of_a_partial_hand_lies_outside_the_image() -> None:
    for seed in range(4):
        truth = phantom(100, "male", seed, SIZE, partial=True).truth
        points = np.array([place for name, place in truth.hands[0].key_points.items() if "shaft" not in name])
        outside = (points < 0) | (points > (truth.width, truth.height))
        assert outside.any()


def test_no_image_shows_the_cut_end_of_a_forearm() -> None:
    for seed in range(12):
        truth = phantom(100 + 3 * seed, "male", seed, 128, partial=True).truth
        hand = truth.hands[0]
        for bone in ("distal_radius", "distal_ulna"):
            ends = np.concatenate(hand.bones[bone].outlines)
            wrist = np.array(hand.key_points["MC3_base"])
            far = ends[np.argmax(np.linalg.norm(ends - wrist, axis=1))]
            assert not (0 < far[0] < truth.width and 0 < far[1] < truth.height), (seed, bone)


def test_an_inverted_phantom_has_inverted_pixels() -> None:
    bright, dark = (phantom(100, "male", 3, SIZE, inverted=inverted) for inverted in (False, True))
    assert np.array_equal(255 - bright.pixels.astype(int), dark.pixels)
    assert dark.truth.inverted


def test_deeper_pixels() -> None:
    made = phantom(100, "male", 3, SIZE, bits=12)
    assert made.pixels.dtype == np.uint16
    assert 1000 < made.pixels.max() <= 4095
    coarse = phantom(100, "male", 3, SIZE).pixels
    assert np.abs(made.pixels / 4095 - coarse / 255).max() < 1 / 255


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"age_months": 0.5}, "invalid_age"),
        ({"age_months": 241}, "invalid_age"),
        ({"age_months": float("nan")}, "invalid_age"),
        ({"sex": "boyish"}, "unknown_sex"),
        ({"size": 40}, "invalid_size"),
        ({"size": 5000}, "invalid_size"),
        ({"hands": 3}, "invalid_number"),
        ({"bits": 7}, "invalid_number"),
        ({"seed": -1}, "invalid_number"),
    ],
)
def test_arguments_out_of_range_are_refused(change: dict[str, object], code: str, refuses) -> None:
    arguments = {"age_months": 100, "sex": "male", "seed": 0, "size": SIZE} | change
    with refuses(UsageError, code):
        phantom(**arguments)  # type: ignore[arg-type]
