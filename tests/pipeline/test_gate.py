"""What is refused, which way up a film is, and the way back from the film as it was assessed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boneage.assessment import Attention
from boneage.assessor import Assessor
from boneage.errors import ModelError, UnsuitableRadiograph
from boneage.model.document import GateSettings
from boneage.model.folder import load_model
from boneage.pipeline.gate import KINDS, Gate, GateOutput, Orientation
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region
from boneage.remarks import Severity

THRESHOLDS = GateSettings("gate", min_hand_probability=0.5, max_ood_score=2.0, tilt_degrees=12.0)


class Said:
    """Stands in for the gate's network: says what it is told to, and turns with the film's brightest corner."""

    path = Path("gate.onnx")
    input_size = 32

    def __init__(self, kind: str = "hand", degrees: float = 0.0, inverted: float = 0.0, ood_score: float = 1.0) -> None:
        self.kind, self.degrees, self.inverted, self.ood_score = kind, degrees, inverted, ood_score
        self.seen: list[np.ndarray] = []

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.seen.append(feeds["view"])
        angle = math.radians(self.degrees)
        return {
            "kinds": np.array([[float(kind == self.kind) for kind in KINDS]] * 2, np.float32),
            "pose": np.array([[math.cos(angle), math.sin(angle)], [math.cos(angle), -math.sin(angle)]], np.float32),
            "inverted": np.full(2, self.inverted, np.float32),
            "ood_score": np.full(2, self.ood_score, np.float32),
        }

    def output(self, answers: dict[str, np.ndarray], name: str) -> np.ndarray:
        return answers[name]


def gate(**said: Any) -> Gate:
    return Gate(Said(**said), THRESHOLDS)  # type: ignore[arg-type]


FILM = np.zeros((40, 30), np.uint8)


def test_the_gate_reads_its_network_and_the_mirror_image() -> None:
    seen = gate(degrees=100, inverted=0.25).look(FILM)
    assert seen.degrees == pytest.approx(100)
    assert (seen.inverted, seen.ood_score) == (0.25, 1.0)
    assert dict(zip(KINDS, seen.kinds, strict=True))["hand"] == 1.0


def test_a_network_that_is_no_gate_is_named() -> None:
    broken = gate()
    broken.network.run = lambda feeds: {  # type: ignore[method-assign]
        **Said().run(feeds), "kinds": np.zeros((2, 3), np.float32)
    }  # fmt: skip
    with pytest.raises(ModelError, match=r"gate\.onnx: this network is no gate"):
        broken.look(FILM)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("foreign", "does not look like a radiograph of a hand"),
        ("two_hands", "two hands"),
        ("carpus_cut_off", "carpus seems to be cut off"),
        ("exposure", "exposure"),
    ],
)
def test_what_is_refused_and_why(kind: str, words: str) -> None:
    made = gate(kind=kind)
    refusal = made.refusal(made.look(FILM), "a.png")
    assert refusal is not None
    assert words in str(refusal)
    assert str(refusal).startswith("a.png: ")
    assert refusal.remedy


def test_what_no_kind_names_is_refused_for_being_odd() -> None:
    odd, usual = gate(ood_score=2.1), gate(ood_score=2.0)
    assert "does not look like" in str(odd.refusal(odd.look(FILM)))
    assert usual.refusal(usual.look(FILM)) is None


@pytest.mark.parametrize(
    ("degrees", "turn"),
    [
        (5, Orientation()),
        (-11.9, Orientation()),
        (14, Orientation(0, 14.0)),
        (90, Orientation(1)),
        (82, Orientation(1)),
        (-95, Orientation(3)),
        (-176, Orientation(2)),
        (179, Orientation(2)),
        (130, Orientation(0, 130.0)),
    ],
)
def test_small_tilts_stay_and_quarters_are_exact(degrees: float, turn: Orientation) -> None:
    made = gate().turn(GateOutput(degrees, 0.1, (1, 0, 0, 0, 0), 1.0))
    assert made == turn
    assert bool(made) == (turn != Orientation())


def test_what_a_reader_is_told() -> None:
    assert [remark.code for remark in Orientation(3, 0.0, True).remarks] == ["rotated", "inverted"]
    assert "by 90 degrees counter-clockwise" in Orientation(3, 0.0, True).remarks[0].text
    assert "by 130 degrees clockwise" in Orientation(0, 130.4).remarks[0].text
    assert Orientation().remarks == ()


def upright(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    pixels = np.zeros((height, width), np.float32)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 1.0
    return pixels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(64, 90), st.integers(64, 90), st.booleans())
def test_boxes_come_back_exactly_after_quarter_turns(quarters: int, height: int, width: int, inverted: bool) -> None:
    standing = upright(height, width, (10, 20, 31, 28))
    given_ = np.ascontiguousarray(np.rot90(standing, quarters))
    turned, back = Orientation(quarters, 0.0, inverted).upright(Radiograph(1 - given_ if inverted else given_))
    assert np.array_equal(turned.pixels, standing)
    x0, y0, x1, y1 = (round(value) for value in back.box(Box(10, 20, 31, 28)).as_list())
    assert given_[y0:y1, x0:x1].all()
    assert (y1 - y0) * (x1 - x0) == given_.sum()


@pytest.mark.parametrize("degrees", [33.0, -70.0, 150.0])
def test_boxes_come_back_around_the_place_after_any_turn(degrees: float) -> None:
    y, x = np.mgrid[:300, :200] + 0.5
    ellipse = np.float32(((x - 125) / 25) ** 2 + ((y - 50) / 10) ** 2 <= 1)
    given_ = np.asarray(Image.fromarray(ellipse).rotate(degrees, Image.Resampling.BILINEAR, expand=True))
    turned, back = Orientation(0, degrees).upright(Radiograph(given_))
    rows, columns = np.nonzero(turned.pixels > 0.5)
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (pytest.approx(50, abs=2), pytest.approx(20, abs=2))
    found = back.box(Box(columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0))
    rows, columns = np.nonzero(given_ > 0.5)
    assert found.as_list() == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=2.5)


@pytest.mark.parametrize("turn", [Orientation(1), Orientation(2), Orientation(3), Orientation(0, 40.0)])
def test_attention_comes_back_over_the_same_place(turn: Orientation) -> None:
    map_ = np.zeros((20, 20), np.float32)
    map_[4:6, 14:16] = 1.0
    _, back = turn.upright(Radiograph(np.ones((120, 120), np.float32)))
    whole = Box(0.0, 0.0, *(float(side - 2 * at) for side, at in zip(back.turned, back.corner, strict=True)))
    seen = back.attention(Attention(map_, whole))
    row, column = np.unravel_index(int(seen.map.argmax()), seen.map.shape)
    x = seen.box.x0 + (column + 0.5) / 20 * seen.box.width
    y = seen.box.y0 + (row + 0.5) / 20 * seen.box.height
    (there,) = back.points([(15 / 20 * whole.width, 5 / 20 * whole.height)])
    assert (x, y) == (pytest.approx(there[0], abs=9), pytest.approx(there[1], abs=9))


@pytest.fixture
def assessor(standin_model: Path) -> Assessor:
    return Assessor(load_model(standin_model))


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(1)
    ramp = np.linspace(0.2, 0.9, 120, dtype=np.float32)[:, None] * np.linspace(0.5, 1.0, 90, dtype=np.float32)
    return np.asarray(ramp + 0.01 * rng.random((120, 90)), dtype=np.float32)


def test_a_film_upside_down_or_inverted_gets_the_answer_of_the_upright_one(
    assessor: Assessor, image: np.ndarray
) -> None:
    plain = assessor.assess(Radiograph(image), "male")
    assert (plain.turned_degrees, plain.inverted) == (0.0, False)
    assessor.gate = gate(degrees=180, inverted=0.9)
    turned = assessor.assess(Radiograph(np.ascontiguousarray(1 - image[::-1, ::-1])), "male")
    assert turned.bone_age_months == pytest.approx(plain.bone_age_months, abs=1e-4)
    assert (turned.turned_degrees, turned.inverted) == (180.0, True)
    assert {remark.code for remark in turned.remarks} & {"rotated", "inverted"}
    for region in Region:
        there, box = plain.regions[region], turned.regions[region]
        assert box.as_list() == pytest.approx([90 - there.x1, 120 - there.y1, 90 - there.x0, 120 - there.y0], abs=1e-3)
        assert np.allclose(turned.attention[region].map, plain.attention[region].map[::-1, ::-1], atol=1e-4)
    assert turned.radiograph.pixels.shape == image.shape


def test_refused_unless_asked_otherwise_or_marked_as_a_phantom(assessor: Assessor, image: np.ndarray) -> None:
    assessor.gate = gate(kind="two_hands")
    with pytest.raises(UnsuitableRadiograph, match=r"b\.png: the film seems to show two hands"):
        assessor.assess(Radiograph(image, file="b.png"), "male")
    phantom = assessor.assess(Radiograph(image, phantom=True), "male")
    assert Severity.DO_NOT_RELY in [remark.severity for remark in phantom.remarks]
    assessor.refuse = False
    assert assessor.assess(Radiograph(image), "male").bone_age_months is not None


def test_what_is_odd_only_because_it_lies_is_not_refused(assessor: Assessor, image: np.ndarray) -> None:
    class OddWhenLying(Said):
        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            self.degrees = 0.0 if self.seen else 180.0
            self.ood_score = 1.0 if self.seen else 9.0
            return super().run(feeds)

    assessor.gate = Gate(OddWhenLying(), THRESHOLDS)  # type: ignore[arg-type]
    assert assessor.assess(Radiograph(image), "male").turned_degrees == 180.0


@pytest.mark.parametrize("output", ["kinds", "pose", "inverted", "ood_score"])
def test_values_that_are_no_numbers_are_the_model_s_fault_not_the_film_s(output: str) -> None:
    class Broken(Said):
        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            said = super().run(feeds)
            return said | {output: np.full_like(said[output], np.nan)}

    with pytest.raises(ModelError, match="no gate"):
        Gate(Broken(), THRESHOLDS).look(FILM)  # type: ignore[arg-type]


def test_the_tilt_that_is_left_is_the_settings_own() -> None:
    lenient = Gate(Said(), GateSettings("gate", 0.5, 2.0, tilt_degrees=60.0))  # type: ignore[arg-type]
    strict = Gate(Said(), GateSettings("gate", 0.5, 2.0, tilt_degrees=4.0))  # type: ignore[arg-type]
    seen = (1.0, 0.0, 0.0, 0.0, 0.0)
    assert lenient.turn(GateOutput(55.0, 0.0, seen, 1.0)) == Orientation()
    assert strict.turn(GateOutput(7.0, 0.0, seen, 1.0)) == Orientation(0, 7.0)


def test_an_almost_black_film_is_not_trimmed_away() -> None:
    dark, _ = Orientation(0, 30.0).upright(Radiograph(np.zeros((100, 80), np.float32)))
    assert min(dark.pixels.shape) >= 80
    spot = np.zeros((200, 200), np.float32)
    spot[90:95, 90:95] = 1.0
    marked, back = Orientation(0, 30.0).upright(Radiograph(spot))
    assert min(marked.pixels.shape) >= 200
    off = back.box(Box(0.0, 0.0, 4.0, 4.0))
    assert 0 <= off.x0 < off.x1 <= 200
    assert 0 <= off.y0 < off.y1 <= 200
