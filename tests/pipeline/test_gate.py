"""What is refused, which way up a image is, and the inverse transform from the image as it was assessed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boneage.assessor import Assessor
from boneage.errors import ModelError, UnsuitableRadiograph
from boneage.model.document import GateSettings
from boneage.model.folder import load_model
from boneage.pipeline.gate import KINDS, Gate, GateOutput, Orientation
from boneage.radiograph import Radiograph
from boneage.regions import Region
from boneage.remarks import Severity

THRESHOLDS = GateSettings(network="gate", min_hand_probability=0.5, max_ood_score=2.0, tilt_degrees=12.0)


class Said:
    """Stands in for the gate's network: says what it is told to, and turns with the image's brightest corner."""

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


IMAGE = np.zeros((40, 30), np.uint8)


def test_the_gate_reads_its_network_and_the_mirror_image() -> None:
    seen = gate(degrees=100, inverted=0.25).examine(IMAGE)
    assert seen.degrees == pytest.approx(100)
    assert (seen.inverted, seen.ood_score) == (0.25, 1.0)
    assert dict(zip(KINDS, seen.kinds, strict=True))["hand"] == 1.0


def test_a_network_that_is_no_gate_is_named() -> None:
    broken = gate()
    broken.network.run = lambda feeds: {  # type: ignore[method-assign]
        **Said().run(feeds), "kinds": np.zeros((2, 3), np.float32)
    }  # fmt: skip
    with pytest.raises(ModelError, match=r"gate\.onnx: this network is not a gate"):
        broken.examine(IMAGE)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("not_a_hand", "does not look like a radiograph of a hand"),
        ("two_hands", "two hands"),
        ("carpus_cut_off", "carpus seems to be cut off"),
        ("exposure", "exposure"),
    ],
)
def test_what_is_refused_and_why(kind: str, words: str) -> None:
    made = gate(kind=kind)
    refusal = made.refusal(made.examine(IMAGE), "a.png")
    assert refusal is not None
    assert words in str(refusal)
    assert str(refusal).startswith("a.png: ")
    assert refusal.remedy


def test_what_no_kind_names_is_refused_for_being_odd() -> None:
    odd, usual = gate(ood_score=2.1), gate(ood_score=2.0)
    assert "does not look like" in str(odd.refusal(odd.examine(IMAGE)))
    assert usual.refusal(usual.examine(IMAGE)) is None


@pytest.mark.parametrize(
    ("degrees", "orientation"),
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
def test_small_tilts_stay_and_quarters_are_exact(degrees: float, orientation: Orientation) -> None:
    made = gate().orientation(GateOutput(degrees, 0.1, (1, 0, 0, 0, 0), 1.0))
    assert made == orientation
    assert bool(made) == (orientation != Orientation())


@pytest.fixture
def assessor(standin_model: Path) -> Assessor:
    return Assessor(load_model(standin_model))


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(1)
    ramp = np.linspace(0.2, 0.9, 120, dtype=np.float32)[:, None] * np.linspace(0.5, 1.0, 90, dtype=np.float32)
    return np.asarray(ramp + 0.01 * rng.random((120, 90)), dtype=np.float32)


def test_a_image_upside_down_or_inverted_gets_the_answer_of_the_upright_one(
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
    with pytest.raises(UnsuitableRadiograph, match=r"b\.png: the radiograph seems to show two hands"):
        assessor.assess(Radiograph(image, file="b.png"), "male")
    phantom = assessor.assess(Radiograph(image, phantom=True), "male")
    assert Severity.DO_NOT_RELY in [remark.severity for remark in phantom.remarks]
    assessor.gate.refuse = False
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
def test_values_that_are_no_numbers_are_the_model_s_fault_not_the_image_s(output: str) -> None:
    class Broken(Said):
        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            said = super().run(feeds)
            return said | {output: np.full_like(said[output], np.nan)}

    with pytest.raises(ModelError, match="not a gate"):
        Gate(Broken(), THRESHOLDS).examine(IMAGE)  # type: ignore[arg-type]


def test_the_tilt_that_is_left_is_the_settings_own() -> None:
    lenient = Gate(Said(), THRESHOLDS.model_copy(update={"tilt_degrees": 60.0}))  # type: ignore[arg-type]
    strict = Gate(Said(), THRESHOLDS.model_copy(update={"tilt_degrees": 4.0}))  # type: ignore[arg-type]
    seen = (1.0, 0.0, 0.0, 0.0, 0.0)
    assert lenient.orientation(GateOutput(55.0, 0.0, seen, 1.0)) == Orientation()
    assert strict.orientation(GateOutput(7.0, 0.0, seen, 1.0)) == Orientation(0, 7.0)
