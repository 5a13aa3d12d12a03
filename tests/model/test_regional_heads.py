"""Carpal and tubular bone age: what a model with heads says, what one without does, and what is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boneage.ages import Sex
from boneage.assessment import SexAnswer, remarks_of
from boneage.assessor import Assessor, load
from boneage.errors import ModelError
from boneage.model.document import RegionalHeadsSettings
from boneage.model.folder import SETTINGS_FILE, check_files, load_model, settings_sha256, written_settings
from boneage.model.regional_heads import REGIONAL_HEADS_FILE, Head, RegionalHeads, by_view, regional_heads_bytes
from boneage.model.writing import rewritten
from boneage.pipeline.localization import Localization, RegionLocalizer
from boneage.radiograph import Radiograph
from boneage.regional_ages import RegionalAges, UsualDifference
from boneage.regions import Region
from boneage.remarks import Remark
from boneage.reports import AssessmentRecord
from boneage.views import ImageArray, View

pytest.importorskip("onnx")

AT = [12.0, 228.0]
CARPAL = Head(np.array([[2], [1]], np.float32), np.array([10, 20], np.float32))
TUBULAR = Head(np.array([[0.5, 0.25], [0, 1]], np.float32), np.array([0, -5], np.float32))


def usual(reach: float) -> dict[str, Any]:
    return {
        "at_months": AT,
        "center_months": {"male": [0.0, 0.0], "female": [0.0, 0.0]},
        "reach_months": {"male": [reach, reach], "female": [reach, reach]},
    }


def entry_of(data: bytes, reach: float | None = 240.0) -> dict[str, Any]:
    return {
        "file": REGIONAL_HEADS_FILE,
        "sha256": hashlib.sha256(data).hexdigest(),
        "tensor": "brightness",
        "usual_difference": None if reach is None else usual(reach),
    }


@pytest.fixture
def parted(layered_model: Path, tmp_path: Path) -> Path:
    """The layered stand-in, whose network describes a view by its mean brightness, with heads."""
    data = regional_heads_bytes(CARPAL, TUBULAR)
    return rewritten(
        load_model(layered_model), tmp_path / "parted", {"regional_heads": entry_of(data)}, {REGIONAL_HEADS_FILE: data}
    )


def parts_of(usual_difference: UsualDifference | None = None) -> RegionalHeads:
    return RegionalHeads(Path("p.npz"), RegionalHeadsSettings("p.npz", "", "t", usual_difference), CARPAL, TUBULAR)


def test_a_head_has_weights_of_its_own_for_each_sex() -> None:
    carpal, tubular = np.array([30], np.float32), np.array([40, 80], np.float32)
    boy = parts_of().ages(carpal, tubular, Sex.MALE, 100.0)
    assert (boy.carpal_months, boy.tubular_months, boy.difference_months) == (70, 40, 30)  # 2*30+10; .5*40+.25*80
    girl = parts_of().ages(carpal, tubular, Sex.FEMALE, 100.0)
    assert (girl.carpal_months, girl.tubular_months) == (50, 75)
    assert boy.usual_difference_months is None
    assert boy.remarks == ()


def test_ages_stay_on_the_axis() -> None:
    told = parts_of().ages(np.array([-90], np.float32), np.array([400, 800], np.float32), Sex.MALE, 100.0)
    assert (told.carpal_months, told.tubular_months) == (1, 240)


@pytest.mark.parametrize(
    ("months", "usually", "unusual"),
    [(12.0, (-5.0, 15.0), True), (228.0, (10.0, 50.0), False), (120.0, (2.5, 32.5), False)],
)
def test_what_is_usual_depends_on_the_age(months: float, usually: tuple[float, float], unusual: bool) -> None:
    """A difference of 30 months; half way between 12 and 228 both centre and reach are half way."""
    table = UsualDifference(
        np.array(AT),
        {Sex.MALE: np.array([5.0, 30.0]), Sex.FEMALE: np.zeros(2)},
        {Sex.MALE: np.array([10.0, 20.0]), Sex.FEMALE: np.zeros(2)},
    )
    told = parts_of(table).ages(np.array([30], np.float32), np.array([40, 80], np.float32), Sex.MALE, months)
    assert told.usual_difference_months == pytest.approx(usually)
    assert bool(told.remarks) is unusual
    if unusual:
        (remark,) = told.remarks
        assert remark.code == "regional_ages_differ"
        assert "differ by +30 months (usual range -5 to +15)" in remark.text


@pytest.mark.parametrize(
    ("sex", "months", "warned"), [("male", 199.9, False), ("male", 200.0, True), ("female", 180.0, True)]
)
def test_a_wrist_that_has_no_more_to_tell(sex: str, months: float, warned: bool) -> None:
    until = {Sex.MALE: 200.0, Sex.FEMALE: 170.0}
    settings = RegionalHeadsSettings("p.npz", "", "t", carpal_until_months=until)
    parts = RegionalHeads(Path("p.npz"), settings, CARPAL, TUBULAR)
    told = parts.ages(np.array([30], np.float32), np.array([40, 80], np.float32), Sex(sex), months)
    assert ("carpal_age_unreliable" in [remark.code for remark in told.remarks]) is warned


def test_features_that_are_no_numbers() -> None:
    with pytest.raises(ModelError, match=r"p\.npz: the age network gives values that are no numbers"):
        parts_of().ages(np.array([np.nan], np.float32), np.zeros(2, np.float32), Sex.MALE, 100.0)


def test_heads_that_were_fitted_on_phantoms_say_so(parted: Path, hand: Radiograph) -> None:
    settings = load_model(parted).document["regional_heads"]
    made = rewritten(
        load_model(parted), parted, {"regional_heads": {**settings, "data": {"name": "set", "phantom": True}}}
    )
    found = load(made).assess(hand, "male")
    assert "regional_ages_from_phantoms" in [remark.code for remark in found.remarks]


def test_features_of_another_number() -> None:
    with pytest.raises(ModelError, match=r"p\.npz: was made for 2 features, the age network gives 3"):
        parts_of().ages(np.array([30], np.float32), np.zeros(3, np.float32), Sex.MALE, 100.0)


def test_by_view_is_the_mean_of_the_looks() -> None:
    seen = np.array([[1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8]], np.float32)
    np.testing.assert_array_equal(by_view(seen, 3), [[2, 3], [4, 5], [6, 7]])


def test_each_part_is_read_from_its_own_views(parted: Path, hand: Radiograph) -> None:
    found = load(parted).assess(hand, "male")
    assert list(found.views) == [View.H, View.R1, View.R2, View.HE, View.R2E]
    bright = {view: pixels.mean() for view, pixels in found.views.items()}
    assert bright[View.HE] != bright[View.H]  # region 1 is gone
    assert found.regional_ages is not None
    assert found.regional_ages.carpal_months == pytest.approx(min(240, 2 * bright[View.R1] + 10), abs=0.01)
    tubular = 0.5 * bright[View.HE] + 0.25 * bright[View.R2E]
    assert found.regional_ages.tubular_months == pytest.approx(tubular, abs=0.01)
    girl = load(parted).assess(hand, "female").regional_ages
    assert girl is not None
    assert girl.carpal_months == pytest.approx(bright[View.R1] + 20, abs=0.01)


def test_the_answer_is_that_of_the_model_without_parts(parted: Path, layered_model: Path, hand: Radiograph) -> None:
    with_parts, without = (load(folder).assess(hand, "male") for folder in (parted, layered_model))
    assert with_parts.bone_age_months == without.bone_age_months
    assert with_parts.interval_90_months == without.interval_90_months
    assert without.regional_ages is None
    assert View.HE not in without.views
    assert AssessmentRecord.of(without).carpal_bone_age_months is None
    assert with_parts.model_sha256 != without.model_sha256


def test_the_record_holds_both_ages_for_both_sexes(parted: Path, hand: Radiograph) -> None:
    found = load(parted).assess(hand, "unknown")
    entry = AssessmentRecord.of(found).as_dict()
    keys = ("carpal_bone_age_months", "tubular_bone_age_months", "carpal_minus_tubular_months")
    assert [entry[key] for key in keys] == [None] * 3
    for sex, answer in found.answers.items():
        assert answer.regional_ages is not None
        said = [entry["by_sex"][sex.value][key] for key in keys]
        told = (
            answer.regional_ages.carpal_months,
            answer.regional_ages.tubular_months,
            answer.regional_ages.difference_months,
        )
        assert said == [round(value, 2) for value in told]


def test_an_unusual_difference_is_a_warning(layered_model: Path, tmp_path: Path, hand: Radiograph) -> None:
    data = regional_heads_bytes(CARPAL, TUBULAR)
    folder = rewritten(
        load_model(layered_model), tmp_path / "m", {"regional_heads": entry_of(data, 1.0)}, {REGIONAL_HEADS_FILE: data}
    )
    (remark,) = load(folder).assess(hand, "male").remarks
    assert remark.code == "regional_ages_differ"
    assert [remark.text[:8] for remark in load(folder).assess(hand, "unknown").remarks] == ["If male:", "If femal"]


LOOK = Remark.of("regional_ages_differ", "Look.")


def test_a_remark_that_holds_for_both_sexes_is_said_once() -> None:
    answer = SexAnswer(
        100.0, (90.0, 110.0), np.zeros(240, np.float32), regional_ages=RegionalAges(1.0, 2.0, None, (LOOK,))
    )
    assert remarks_of(dict.fromkeys(Sex, answer)) == (LOOK,)
    assert remarks_of({Sex.MALE: answer, Sex.FEMALE: replace(answer, regional_ages=None)}) == (
        replace(LOOK, text="If male: Look."),
    )


def test_nothing_is_told_apart_where_a_region_was_not_found(parted: Path, hand: Radiograph) -> None:
    class Blind(RegionLocalizer):
        def locate(self, image: ImageArray) -> Localization:
            return replace(super().locate(image), missing=frozenset({Region.REGION_1}))

    model = load_model(parted)
    found = Assessor(model, Blind(model.localizers)).assess(hand, "male")
    assert found.regional_ages is None
    assert list(found.views) == [View.H, View.R1, View.R2]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "the checksum differs from model.json"),
        (lambda data: None, "cannot be read"),
    ],
)
def test_damaged_heads_are_refused(parted: Path, damage: Any, says: str) -> None:
    file = parted / REGIONAL_HEADS_FILE
    damaged = damage(file.read_bytes())
    file.unlink() if damaged is None else file.write_bytes(damaged)
    with pytest.raises(ModelError, match=rf"regional_heads\.npz: {says}"):
        load_model(parted)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no archive", "cannot be read as heads"),
        (regional_heads_bytes(CARPAL, CARPAL), "its arrays do not fit each other"),
        (
            regional_heads_bytes(replace(CARPAL, bias=np.array([np.nan, 0])), TUBULAR),
            "its arrays do not fit each other",
        ),
    ],
)
def test_heads_that_are_signed_but_none(layered_model: Path, tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(ModelError, match=rf"regional_heads\.npz: {says}"):
        rewritten(
            load_model(layered_model), tmp_path / "m", {"regional_heads": entry_of(data)}, {REGIONAL_HEADS_FILE: data}
        )
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"file": "../regional_heads.npz"}, r"'regional_heads\.file' should be a file name inside the model folder"),
        ({"tensor": 3}, r"'regional_heads\.tensor' should be a text"),
        ({"usual_difference": {**usual(1.0), "at_months": [24, 12]}}, "should rise"),
        (
            {"usual_difference": {**usual(1.0), "reach_months": {"male": [1]}}},
            r"reach_months\.male' should be a list of 2",
        ),
    ],
)
def test_settings_that_are_wrong_are_named(parted: Path, changes: dict[str, Any], says: str) -> None:
    document = json.loads((parted / SETTINGS_FILE).read_text())
    document["regional_heads"] |= changes
    document["settings_sha256"] = settings_sha256(document)
    (parted / SETTINGS_FILE).write_bytes(written_settings(document))
    with pytest.raises(ModelError, match=says):
        load_model(parted)


def test_the_heads_are_among_the_files_with_a_checksum(parted: Path) -> None:
    model = load_model(parted)
    assert check_files(model) == []
    assert set(model.document["files"]) == {REGIONAL_HEADS_FILE}


def test_a_model_written_again_keeps_its_parts_and_its_identity(parted: Path, tmp_path: Path) -> None:
    model = load_model(parted)
    again = load_model(rewritten(model, tmp_path / "again", {"name": "renamed"}, {"CARD.md": b"card"}))
    assert (again.name, again.sha256) == ("renamed", model.sha256)
    assert (again.folder / REGIONAL_HEADS_FILE).read_bytes() == (parted / REGIONAL_HEADS_FILE).read_bytes()
    assert check_files(again) == []
