"""Many radiographs: their order, how many are begun, and what becomes of errors."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneage.ages import Sex
from boneage.assessment import Assessment, SexAnswer
from boneage.batch import AHEAD, as_error, assess_many, map_in_order
from boneage.errors import BoneAgeError, ModelError, UnreadableRadiograph, UnsuitableRadiograph
from boneage.radiograph import Radiograph

FLAT = np.full(240, 1 / 240, dtype=np.float32)


class ByWidth:
    """Answers the width in months; raises what was set for a width."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors

    def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment:
        if (error := self.errors.get(f"w{radiograph.width}")) is not None:
            raise error
        answer = SexAnswer(float(radiograph.width), (1.0, 240.0), FLAT)
        return Assessment(radiograph, Sex.MALE, {Sex.MALE: answer}, {}, {}, {}, "width", "0" * 64, 0.0)


def drawn(width: int) -> Radiograph:
    return Radiograph(np.zeros((64, width), dtype=np.float32))


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    widths = range(64, 84)
    found = list(assess_many(widths, ByWidth(), radiograph=drawn, sex=lambda _: None, workers=workers))
    assert [item for item, _ in found] == list(widths)
    assert [outcome.bone_age_months for _, outcome in found if isinstance(outcome, Assessment)] == list(widths)


def test_errors_are_values_and_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    refusal, broken = UnsuitableRadiograph("not_a_hand", "not a hand"), ModelError("damaged", code="damaged")
    assessor = ByWidth(w65=refusal, w66=broken, w67=ZeroDivisionError("strange"))
    items: list[Radiograph | Path] = [tmp_path / "empty.png", *(drawn(width) for width in (64, 65, 66, 67))]
    found = [outcome for _, outcome in assess_many(items, assessor, radiograph=lambda item: item, sex=lambda _: None)]
    codes = [outcome.code if isinstance(outcome, BoneAgeError) else "assessed" for outcome in found]
    assert codes[1:] == ["assessed", "not_a_hand", "damaged", "unexpected_error"]
    assert isinstance(found[0], UnreadableRadiograph)
    assert found[0].file == str(tmp_path / "empty.png")


def test_no_more_is_begun_than_memory_allows() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            begun.append(item)
        return -item

    results = map_in_order(work, range(1000), workers=2)
    assert next(results) == (0, 0)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 2 * AHEAD


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda item: 1 // item, [1, 0, 1], workers=2))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (PermissionError(13, "Permission denied"), "cannot_open"),
        (ValueError("strange\nthing"), "unexpected_error"),
    ],
)
def test_unforeseen_errors_become_failures_of_the_file(error: Exception, code: str) -> None:
    made = as_error(error, "a.png")
    assert isinstance(made, UnreadableRadiograph)
    assert (made.code, made.file) == (code, "a.png")


def test_own_errors_stay_as_they_are() -> None:
    error = UnsuitableRadiograph("two_hands", "two hands")
    assert as_error(error, "a.png") is error


@pytest.mark.parametrize(("refuse", "assessed"), [(True, False), (False, True)])
def test_an_assessor_that_does_not_refuse_gets_colour_pictures_too(
    tmp_path: Path, refuse: bool, assessed: bool
) -> None:
    gray = np.add.outer(np.arange(80), np.arange(80)).astype(np.uint8)
    file = tmp_path / "sepia.png"
    Image.fromarray(np.dstack([gray, gray // 2, gray // 3])).save(file)
    assessor = ByWidth()
    assessor.refuse = refuse  # type: ignore[attr-defined]
    ((_, outcome),) = assess_many([file], assessor, radiograph=lambda item: item, sex=lambda _: None)
    assert isinstance(outcome, Assessment) is assessed
