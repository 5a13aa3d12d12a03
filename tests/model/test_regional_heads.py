"""Carpal and tubular bone age: the answers of a model with heads and of one without, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boneage.ages import Sex
from boneage.assessment import SexAnswer, remarks_of
from boneage.assessor import Assessor, load
from boneage.errors import ModelError
from boneage.model.by_age import ByAge, UsualDifference
from boneage.model.document import RegionalHeadsSettings
from boneage.model.folder import SETTINGS_FILE, check_files, load_model, settings_sha256, written_settings
from boneage.model.regional_heads import REGIONAL_HEADS_FILE, Head, RegionalHeads, by_view, regional_heads_bytes
from boneage.model.writing import rewrite_model
from boneage.pipeline.localization import Localization, RegionLocalizer
from boneage.radiograph import Radiograph
from boneage.regional_ages import RegionalAges
from boneage.regions import Region
from boneage.remarks import Remark
from boneage.reports import AssessmentRecord
from boneage.views import ImageArray, View

pytest.importorskip("onnx")

AT = (12.0, 228.0)
CARPUS, REST = np.array([30], np.float32), np.array([40, 80], np.float32)
CARPAL = Head(np.array([[2], [1]], np.float32), np.array([10, 20], np.float32))
TUBULAR = Head(np.array([[0.5, 0.25], [0, 1]], np.float32), np.array([0, -5], np.float32))


def usual(reach: float) -> dict[str, Any]:
    return {
        "center_months": {"at_months": AT, "male": [0.0, 0.0], "female": [0.0, 0.0]},
        "reach_months": {"at_months": AT, "male": [reach, reach], "female": [reach, reach]},
    }


def entry_of(data: bytes, reach: float | None = 240.0) -> dict[str, Any]:
    return {
        "file": REGIONAL_HEADS_FILE,
        "sha256": hashlib.sha256(data).hexdigest(),
        "usual_difference": None if reach is None else usual(reach),
    }


@pytest.fixture
def headed(layered_model: Path, tmp_path: Path) -> Path:
    """The layered stand-in, whose feature of a view is its mean brightness, with heads."""
    return with_heads(layered_model, tmp_path / "with-heads", regional_heads_bytes(CARPAL, TUBULAR))


def with_heads(model: Path, folder: Path, data: bytes, reach: float = 240.0) -> Path:
    settings = {"regional_heads": entry_of(data, reach)}
    return rewrite_model(load_model(model), folder, settings, others={REGIONAL_HEADS_FILE: data})


def heads_with(**settings: Any) -> RegionalHeads:
    return RegionalHeads(Path("p.npz"), RegionalHeadsSettings(file="p.npz", sha256="", **settings), CARPAL, TUBULAR)


def test_a_head_has_weights_of_its_own_for_each_sex() -> None:
    carpal, tubular = np.array([30], np.float32), np.array([40, 80], np.float32)
    boy = heads_with().ages(carpal, tubular, sex=Sex.MALE, months=100.0)
    assert (boy.carpal_months, boy.tubular_months, boy.difference_months) == (70, 40, 30)  # 2*30+10; .5*40+.25*80
    girl = heads_with().ages(carpal, tubular, sex=Sex.FEMALE, months=100.0)
    assert (girl.carpal_months, girl.tubular_months) == (50, 75)
    assert boy.usual_difference_months is None
    assert boy.remarks == ()


def test_ages_stay_on_the_axis() -> None:
    low, high = np.array([-90], np.float32), np.array([400, 800], np.float32)
    ages = heads_with().ages(low, high, sex=Sex.MALE, months=100.0)
    assert (ages.carpal_months, ages.tubular_months) == (1, 240)


@pytest.mark.parametrize(
    ("months", "usually", "unusual"),
    [(12.0, (-5.0, 15.0), True), (228.0, (10.0, 50.0), False), (120.0, (2.5, 32.5), False)],
)
def test_what_is_usual_depends_on_the_age(months: float, usually: tuple[float, float], unusual: bool) -> None:
    """A difference of 30 months; half way between 12 and 228 both centre and reach are half way."""
    table = UsualDifference(
        center_months=ByAge(at_months=AT, male=(5.0, 30.0), female=(0.0, 0.0)),
        reach_months=ByAge(at_months=AT, male=(10.0, 20.0), female=(0.0, 0.0)),
    )
    ages = heads_with(usual_difference=table).ages(CARPUS, REST, sex=Sex.MALE, months=months)
    assert ages.usual_difference_months == pytest.approx(usually)
    assert bool(ages.remarks) is unusual
    if unusual:
        (remark,) = ages.remarks
        assert remark.code == "regional_ages_differ"
        assert "differ by +30 months (usual range -5 to +15)" in remark.text


@pytest.mark.parametrize(
    ("sex", "months", "warned"), [("male", 199.9, False), ("male", 200.0, True), ("female", 180.0, True)]
)
def test_a_carpal_age_that_is_not_reliable_any_more(sex: str, months: float, warned: bool) -> None:
    heads = heads_with(carpal_until_months={Sex.MALE: 200.0, Sex.FEMALE: 170.0})
    ages = heads.ages(CARPUS, REST, sex=Sex(sex), months=months)
    assert ("carpal_age_unreliable" in [remark.code for remark in ages.remarks]) is warned


def test_non_finite_features(refuses: Any) -> None:
    with refuses(ModelError, "non_finite_output"):
        heads_with().ages(np.array([np.nan], np.float32), REST, sex=Sex.MALE, months=100.0)


def test_heads_that_were_fitted_on_phantoms_say_so(headed: Path, hand: Radiograph) -> None:
    heads = load_model(headed).settings.model_dump(mode="json")["regional_heads"]
    data = {"name": "set", "phantom": True}
    made = rewrite_model(load_model(headed), headed, {"regional_heads": {**heads, "data": data}})
    found = load(made).assess(hand, "male")
    assert "regional_ages_from_phantoms" in [remark.code for remark in found.remarks]


def test_features_of_another_number(refuses: Any) -> None:
    with refuses(ModelError, "features_of_another_size"):
        heads_with().ages(CARPUS, np.zeros(3, np.float32), sex=Sex.MALE, months=100.0)


def test_by_view_averages_the_mirror_images() -> None:
    seen = np.array([[1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8]], np.float32)
    np.testing.assert_array_equal(by_view(seen, 3), [[2, 3], [4, 5], [6, 7]])


def test_each_part_is_read_from_its_own_views(headed: Path, hand: Radiograph) -> None:
    found = load(headed).assess(hand, "male")
    assert list(found.views) == [View.H, View.R1, View.R2, View.HE, View.R2E]
    bright = {view: pixels.mean() for view, pixels in found.views.items()}
    assert bright[View.HE] != bright[View.H]  # region 1 is gone
    assert found.regional_ages is not None
    assert found.regional_ages.carpal_months == pytest.approx(min(240, 2 * bright[View.R1] + 10), abs=0.01)
    tubular = 0.5 * bright[View.HE] + 0.25 * bright[View.R2E]
    assert found.regional_ages.tubular_months == pytest.approx(tubular, abs=0.01)
    girl = load(headed).assess(hand, "female").regional_ages
    assert girl is not None
    assert girl.carpal_months == pytest.approx(bright[View.R1] + 20, abs=0.01)


def test_the_answer_is_that_of_the_model_without_parts(headed: Path, layered_model: Path, hand: Radiograph) -> None:
    with_parts, without = (load(folder).assess(hand, "male") for folder in (headed, layered_model))
    assert with_parts.bone_age_months == without.bone_age_months
    assert with_parts.interval_90_months == without.interval_90_months
    assert without.regional_ages is None
    assert View.HE not in without.views
    assert AssessmentRecord.of(without).carpal_bone_age_months is None
    assert with_parts.model_sha256 != without.model_sha256


def test_the_record_holds_both_ages_for_both_sexes(headed: Path, hand: Radiograph) -> None:
    found = load(headed).assess(hand, "unknown")
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


def test_an_unusual_difference_gets_a_remark(layered_model: Path, tmp_path: Path, hand: Radiograph) -> None:
    folder = with_heads(layered_model, tmp_path / "m", regional_heads_bytes(CARPAL, TUBULAR), reach=1.0)
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


def test_nothing_is_told_apart_where_a_region_was_not_found(headed: Path, hand: Radiograph) -> None:
    class Blind(RegionLocalizer):
        def locate(self, image: ImageArray) -> Localization:
            return replace(super().locate(image), missing=frozenset({Region.REGION_1}))

    model = load_model(headed)
    found = Assessor(model, Blind(model.localizers)).assess(hand, "male")
    assert found.regional_ages is None
    assert list(found.views) == [View.H, View.R1, View.R2]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "checksum_differs"),
        (lambda data: None, "unreadable_model"),
    ],
)
def test_damaged_heads_are_refused(headed: Path, damage: Any, code: str, refuses: Any) -> None:
    file = headed / REGIONAL_HEADS_FILE
    damaged = damage(file.read_bytes())
    file.unlink() if damaged is None else file.write_bytes(damaged)
    with refuses(ModelError, code):
        load_model(headed)


@pytest.mark.parametrize(
    "data",
    [
        b"not an archive",
        regional_heads_bytes(CARPAL, CARPAL),
        regional_heads_bytes(replace(CARPAL, bias=np.array([np.nan, 0])), TUBULAR),
    ],
)
def test_heads_that_cannot_be_used_are_not_written(
    layered_model: Path, tmp_path: Path, data: bytes, refuses: Any
) -> None:
    with refuses(ModelError, "invalid_regional_heads"):
        with_heads(layered_model, tmp_path / "m", data)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", "../regional_heads.npz"),
        ("sha256", 3),
        ("usual_difference.center_months", {**usual(1.0)["center_months"], "at_months": [24, 12]}),
        ("usual_difference.reach_months", {**usual(1.0)["reach_months"], "male": [1]}),
        ("usual_difference.reach_months", usual(-1.0)["reach_months"]),
        ("carpal_until_months", {"male": 180}),
    ],
)
def test_settings_that_are_wrong_are_named(headed: Path, field: str, value: object) -> None:
    document = json.loads((headed / SETTINGS_FILE).read_text())
    *path, last = field.split(".")
    entry = document["regional_heads"]
    for key in path:
        entry = entry[key]
    entry[last] = value
    document["settings_sha256"] = settings_sha256(document)
    (headed / SETTINGS_FILE).write_bytes(written_settings(document))
    with pytest.raises(ModelError, match=re.escape(f"'regional_heads.{field}' is not valid")) as raised:
        load_model(headed)
    assert raised.value.code == "invalid_model_json"


def test_heads_need_the_features_of_each_view(layered_model: Path, tmp_path: Path, refuses: Any) -> None:
    data = regional_heads_bytes(CARPAL, TUBULAR)
    settings = {"regional_heads": entry_of(data), "view_features": False}
    with refuses(ModelError, "invalid_model_json"):
        rewrite_model(load_model(layered_model), tmp_path / "m", settings, others={REGIONAL_HEADS_FILE: data})


def test_the_heads_are_among_the_files_with_a_checksum(headed: Path) -> None:
    model = load_model(headed)
    assert check_files(model) == []
    assert set(model.settings.files) == {REGIONAL_HEADS_FILE}


def test_a_model_written_again_keeps_its_heads_and_its_identity(headed: Path, tmp_path: Path) -> None:
    model = load_model(headed)
    again = load_model(rewrite_model(model, tmp_path / "again", {"name": "renamed"}, others={"CARD.md": b"card"}))
    assert (again.name, again.sha256) == ("renamed", model.sha256)
    assert (again.folder / REGIONAL_HEADS_FILE).read_bytes() == (headed / REGIONAL_HEADS_FILE).read_bytes()
    assert check_files(again) == []
