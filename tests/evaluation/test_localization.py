"""Boxes against truths and against the mean-box baseline, by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneage.errors import UsageError
from boneage.evaluation import Prediction, evaluate_localization
from boneage.evaluation.localization import clipped, covered_share, mean_boxes
from boneage.regions import Box, Region


def row(case: str, split: str = "test", size: tuple[int, int] | None = (200, 100), **boxes: Box) -> Prediction:
    width, height = size or (None, None)
    status = "assessed" if boxes else "failed"
    regions = {Region(name): box for name, box in boxes.items()}
    return Prediction(case, case, split, None, None, status, "", None, None, None, width, height, regions)  # type: ignore[arg-type]


def test_by_hand() -> None:
    # Radiographs of 200 x 100 pixels; the truth of every case is the left half: 100 x 100 pixels.
    left = (0.0, 0.0, 0.5, 1.0)
    truths = {"hand_mask": {"a": left, "b": left, "c": left, "elsewhere": left}}
    rows = [
        row("a", hand=Box(0, 0, 100, 100)),
        row("b", hand=Box(50, 0, 150, 100), split="train"),
        row("c", size=None),
        row("no box asked", hand=Box(0, 0, 1, 1)),
    ]
    made = evaluate_localization(rows, truths)["hand_mask"]["all"]
    assert (made.region, made.n, made.without_box) == (Region.HAND, 3, 1)
    assert made.found.miou.value == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert made.found.ap50.value == pytest.approx(1 / 3)
    assert made.found.covered.value == pytest.approx((1 + 0.5 + 0) / 3)
    assert made.found.centre_distance.value == pytest.approx((0 + 0.5) / 2)
    assert made.found.centre_distance.n == 2
    assert made.floor.miou.value == pytest.approx(1.0)
    assert made.gain.value == pytest.approx((1 + 1 / 3) / 3 - 1)
    outside = evaluate_localization(rows, truths)["hand_mask"]["outside_train"]
    assert outside.n == 2
    assert outside.found.miou.value == pytest.approx(0.5)


def test_centre_distance_is_measured_in_pixels_and_predicted_hand_widths() -> None:
    # The truth's centre is (50, 50) of 200 x 100 pixels; the box's is (80, 90): 30 and 40 pixels off, 50 in all.
    rows = [row("a", hand=Box(0, 0, 100, 100), region_1=Box(70, 80, 90, 100))]
    made = evaluate_localization(rows, {"region_1": {"a": (0.2, 0.4, 0.3, 0.6)}})["region_1"]["all"]
    assert made.found.centre_distance.value == pytest.approx(0.5)
    assert made.floor.miou.value is None
    assert made.gain.value is None


def test_mean_box_leaves_the_case_out() -> None:
    truths = {"a": Box(0, 0, 1, 1), "b": Box(0.2, 0.2, 0.6, 0.8), "c": Box(0.4, 0, 0.8, 0.6)}
    floors = mean_boxes(truths)
    assert floors["a"].as_list() == pytest.approx([0.3, 0.1, 0.7, 0.7])
    assert floors["b"].as_list() == pytest.approx([0.2, 0.0, 0.9, 0.8])
    assert mean_boxes({"a": Box(0, 0, 1, 1)}) == {}


def test_the_baseline_counts_all_truths_in_both_groups() -> None:
    truths = {"wrist": {"a": (0.0, 0.0, 0.4, 0.4), "b": (0.0, 0.0, 0.8, 0.4)}}
    rows = [row("a", region_1=Box(0, 0, 80, 40)), row("b", "train", region_1=Box(0, 0, 80, 40))]
    made = evaluate_localization(rows, truths)["wrist"]
    assert made["outside_train"].floor.miou.value == pytest.approx(0.5)
    assert made["all"].floor.miou.value == pytest.approx(0.5)
    assert made["all"].gain.value == pytest.approx((0.5 + 0.0) / 2)


def test_constant_gain_has_a_tight_interval() -> None:
    truths = {"region_2": {str(i): (0.1 * i, 0.0, 0.1 * i + 0.2, 0.5) for i in range(8)}}
    rows = [row(str(i), region_2=Box(20 * i, 0, 20 * i + 40, 50)) for i in range(8)]
    made = evaluate_localization(rows, truths)["region_2"]["all"]
    assert made.found.miou.value == pytest.approx(1.0)
    assert made.gain.lower is not None
    assert 0 < made.gain.lower <= (made.gain.value or 0)


def test_truths_are_cut_to_the_radiograph() -> None:
    assert clipped((-0.1, 0.2, 1.2, 0.9)) == Box(0.0, 0.2, 1.0, 0.9)
    assert clipped((1.1, 0.0, 1.2, 1.0)) is None
    assert clipped((0.5, 0.5, 0.5, 0.6)) is None


def test_unknown_truth_and_double_case(refuses: Callable[..., AbstractContextManager[None]]) -> None:
    with refuses(UsageError, "unknown_truth"):
        evaluate_localization([], {"thumb": {}})
    with refuses(UsageError, "duplicate_id"):
        evaluate_localization([row("a"), row("a")], {})


side = st.floats(0.05, 0.9)


@given(side, side, side, side, st.floats(0.1, 10), st.floats(0.1, 10))
def test_overlap_does_not_depend_on_the_aspect_ratio(
    x: float, y: float, w: float, h: float, wide: float, high: float
) -> None:
    truth, box = Box(0.2, 0.2, 0.7, 0.8), Box(x, y, x + w, y + h)
    a, b = truth.scaled(wide, high), box.scaled(wide, high)
    assert a.intersection_over_union(b) == pytest.approx(truth.intersection_over_union(box))
    assert covered_share(a, b) == pytest.approx(covered_share(truth, box))
    assert truth.intersection_over_union(box) <= covered_share(truth, box) + 1e-9
