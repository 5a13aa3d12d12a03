from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import boneage
from boneage.ages import MONTHS, Sex
from boneage.assessment import NOTICE
from boneage.assessor import Assessor, load
from boneage.errors import ModelError, UnreadableRadiograph, UnsuitableRadiograph, UsageError
from boneage.model.folder import load_model
from boneage.model.writing import write_model
from boneage.radiograph import Radiograph
from boneage.regions import Region
from boneage.remarks import Remark, Severity
from boneage.views import View


@pytest.fixture
def assessor(standin_model: Path) -> Assessor:
    return Assessor(load_model(standin_model))


def test_a_whole_assessment(assessor: Assessor, hand: Radiograph) -> None:
    found = assessor.assess(hand, "female")
    assert found.sex is Sex.FEMALE
    assert list(found.answers) == [Sex.FEMALE]
    assert found.bone_age_months is not None
    assert 1 <= found.bone_age_months <= 240
    assert found.interval_90_months is not None
    assert found.interval_90_months[0] < found.bone_age_months < found.interval_90_months[1]
    assert found.distribution is not None
    assert found.distribution.shape == MONTHS.shape
    assert found.distribution.dtype == np.float32
    assert found.distribution.sum() == pytest.approx(1, abs=1e-5)
    assert found.bone_age_months == pytest.approx(float(found.distribution @ MONTHS), abs=1e-3)
    assert list(found.views) == [View.H, View.R1, View.R2]
    assert (found.model, found.model_sha256) == ("standin", assessor.model.sha256)
    assert found.notice == NOTICE
    assert not found.remarks
    assert found.seconds > 0


def test_boxes_are_in_pixels_of_the_radiograph(assessor: Assessor, hand_pixels: Any) -> None:
    small = assessor.assess(Radiograph.from_values(hand_pixels(120, 150)), "male")
    large = assessor.assess(Radiograph.from_values(hand_pixels(480, 600)), "male")
    for region in Region:
        np.testing.assert_allclose(
            large.regions[region].as_list(), np.multiply(4, small.regions[region].as_list()), atol=16
        )
        assert large.regions[region].within(480, 600) == large.regions[region]
        assert large.attention[region].box.width == pytest.approx(4 * small.attention[region].box.width, rel=0.1)


def test_the_sexes_differ_and_unknown_gives_both(assessor: Assessor, hand: Radiograph) -> None:
    male, female = assessor.assess(hand, Sex.MALE), assessor.assess(hand, "F")
    assert male.bone_age_months == pytest.approx((female.bone_age_months or 0) + 12, abs=0.05)
    both = assessor.assess(hand)
    assert (both.sex, both.bone_age_months, both.distribution) == (None, None, None)
    assert both.answers[Sex.MALE].bone_age_months == male.bone_age_months
    assert both.answers[Sex.FEMALE].bone_age_months == female.bone_age_months


@pytest.mark.parametrize(
    ("header", "asked", "settled", "warned"),
    [
        (None, None, None, False),
        (Sex.MALE, None, Sex.MALE, False),
        (Sex.MALE, "", Sex.MALE, False),
        (Sex.MALE, "male", Sex.MALE, False),
        (Sex.MALE, "female", Sex.FEMALE, True),
        (Sex.MALE, "unknown", None, True),
        (None, "unknown", None, False),
        (None, "boy", Sex.MALE, False),
    ],
)
def test_which_sex_wins(
    assessor: Assessor, hand: Radiograph, header: Sex | None, asked: str | None, settled: Sex | None, warned: bool
) -> None:
    found = assessor.assess(replace(hand, sex=header), asked)
    assert found.sex is settled
    assert ("sex_contradicts_header" in [remark.code for remark in found.remarks]) is warned


def test_an_unknown_sex_word(assessor: Assessor, hand: Radiograph) -> None:
    with pytest.raises(UsageError, match="'girlish'"):
        assessor.assess(hand, "girlish")


def test_a_mirrored_radiograph_gets_the_same_age(assessor: Assessor, hand: Radiograph) -> None:
    mirrored = replace(hand, pixels=np.ascontiguousarray(hand.pixels[:, ::-1]))
    ages = [assessor.assess(image, "male").bone_age_months for image in (hand, mirrored)]
    assert ages[0] == pytest.approx(ages[1], abs=0.5)


def test_warnings_of_reading_and_of_missing_regions_arrive(
    standin_parts: Any, make_localizer: Any, hand: Radiograph, tmp_path: Path
) -> None:
    settings, networks = standin_parts
    blank = np.zeros((8, 8), np.float32)
    networks["bones"] = make_localizer({"carpus": blank, "metacarpus": blank}, constant=-1.0)
    assessor = Assessor(load_model(write_model(tmp_path / "m", settings, networks)))
    found = assessor.assess(replace(hand, remarks=(Remark.of("first_page", "The first page was read."),)), "male")
    assert [remark.code for remark in found.remarks] == ["first_page", "region_not_found", "region_not_found"]
    assert found.regions[Region.REGION_1] == found.regions[Region.HAND]


def test_a_phantom_model_says_so(standin_parts: Any, hand: Radiograph, tmp_path: Path) -> None:
    settings, networks = standin_parts
    folder = write_model(tmp_path / "m", {**settings, "phantom_trained": True}, networks)
    notice = Assessor(load_model(folder)).assess(hand, "male").notice
    assert "phantom" in notice
    assert NOTICE in notice


def test_a_phantom_is_no_radiograph(standin_model: Path, hand: Radiograph) -> None:
    assessor = Assessor(load_model(standin_model))
    assert not assessor.assess(hand, "male").remarks
    (remark,) = assessor.assess(replace(hand, phantom=True), "male").remarks
    assert (remark.code, remark.severity) == ("phantom", Severity.INFO)


def test_a_network_that_does_not_see_the_sex(
    standin_parts: Any, make_regressor: Any, hand: Radiograph, tmp_path: Path
) -> None:
    settings, networks = standin_parts
    networks["regressor"] = make_regressor(1, sex_input=False)
    changes = {"sex_input": False, "views": ["O"], "localizers": [], "average_mirror": False}
    networks = {"regressor": networks["regressor"]}
    settings |= changes | {"networks": {"regressor": {"input_size": 64}}}
    found = Assessor(load_model(write_model(tmp_path / "m", settings, networks))).assess(hand)
    assert found.regions == {}
    assert found.answers[Sex.MALE].bone_age_months == found.answers[Sex.FEMALE].bone_age_months


def test_a_regressor_without_the_promised_output(
    standin_parts: Any, make_regressor: Any, hand: Radiograph, tmp_path: Path
) -> None:
    settings, networks = standin_parts
    networks["regressor"] = make_regressor(3, distribution="ages")
    assessor = Assessor(load_model(write_model(tmp_path / "m", settings, networks)))
    with pytest.raises(ModelError, match=r"regressor\.onnx.*'distribution'"):
        assessor.assess(hand, "male")


def test_from_a_path(standin_model: Path, hand_file: Path) -> None:
    found = boneage.assess(hand_file, sex="female", model=standin_model)
    same = boneage.load(standin_model).assess(str(hand_file), "female")
    assert found.bone_age_months == same.bone_age_months
    assert found.radiograph.file == str(hand_file)
    with pytest.raises(UnreadableRadiograph):
        boneage.assess(hand_file.with_name("nobody.png"), model=standin_model)


def test_a_loaded_model_is_kept_until_it_changes(standin_parts: Any, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", *standin_parts)
    first = load(folder)
    assert load(str(folder)) is first
    settings, networks = standin_parts
    write_model(folder, {**settings, "name": "newer"}, networks, replace=True)
    assert load(folder).model.name == "newer"


def test_the_remarks_of_a_phantom_are_quiet(assessor: Assessor, hand: Radiograph) -> None:
    marked = replace(hand, remarks=(Remark.of("exif_damaged", "The EXIF block is damaged."),))
    assert [remark.severity for remark in assessor.assess(marked, "male").remarks] == [Severity.CAUTION]
    quiet = assessor.assess(replace(marked, phantom=True), "male").remarks
    assert [(remark.code, remark.severity) for remark in quiet] == [
        ("phantom", Severity.INFO),
        ("exif_damaged", Severity.INFO),
    ]


@pytest.mark.parametrize("sex", [1, 0, True, np.True_, 1.0])
def test_numbers_and_booleans_are_not_a_sex(assessor: Assessor, hand: Radiograph, sex: Any, refuses) -> None:
    with refuses(UsageError, "unknown_sex"):
        assessor.assess(hand, sex)


def test_nan_is_no_word_for_a_sex(assessor: Assessor, hand: Radiograph) -> None:
    """An empty cell of a pandas table: the header's sex counts."""
    nan: Any = float("nan")
    assert assessor.assess(hand, nan).sex is None
    assert assessor.assess(replace(hand, sex=Sex.MALE), nan).sex is Sex.MALE


def test_what_is_not_a_path_names_from_values(assessor: Assessor, hand_file: Path) -> None:
    content = hand_file.read_bytes()
    with Image.open(hand_file) as image, hand_file.open("rb") as stream:
        for given in (np.asarray(image), image, content, BytesIO(content), stream, 3, None):
            with pytest.raises(UsageError, match=r"boneage\.Radiograph\.from_values") as raised:
                assessor.assess(given, "male")  # type: ignore[arg-type]
            assert raised.value.code == "not_a_path"


def test_an_assessor_that_does_not_refuse_reads_colours(standin_model: Path, tmp_path: Path, refuses) -> None:
    sepia = np.dstack([np.add.outer(np.arange(120), np.arange(90)).astype(np.uint8) // part for part in (1, 2, 3)])
    Image.fromarray(sepia).save(tmp_path / "a.png")
    model = load_model(standin_model)
    with refuses(UnsuitableRadiograph, "color_image"):
        Assessor(model).assess(tmp_path / "a.png", "male")
    assessment = Assessor(model, refuse=False).assess(tmp_path / "a.png", "male")
    assert "color_image" in [remark.code for remark in assessment.remarks]
