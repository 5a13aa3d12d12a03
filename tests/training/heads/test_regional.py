"""Heads for carpal and tubular bone age: how they are fitted, and as a stage of a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boneage.ages import Sex
from boneage.errors import ModelError, UsageError
from boneage.model.document import TrainingData
from boneage.model.folder import load_model
from boneage.training.heads.regional import (
    PENALTIES,
    RegionalFeatureExtractor,
    carpal_until,
    fit_head,
    fit_regional_heads,
    measure_usual_difference,
)
from boneage.training.heads.similar_cases import CaseFeatures
from boneage.training.recipes import find_recipe, replace_settings

DATA = TrainingData(name="set", cases=200, terms="none")


def features_of(count: int, seed: int, channels: int = 4) -> CaseFeatures:
    """Ages that are linear in the first two features: 100 + 20 a + 10 b, for girls 90 + 20 a - 10 b."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 3 * channels)).astype(np.float32)
    sexes = tuple(Sex.MALE if k % 2 else Sex.FEMALE for k in range(count))
    signs = np.array([sex.sign for sex in sexes])
    ages = 95 + 5 * signs + 20 * features[:, 0] + 10 * signs * features[:, 1]
    return CaseFeatures(tuple(map(str, range(count))), ages, sexes, features, ages + 1.0)


def test_a_head_finds_what_is_linear_for_each_sex() -> None:
    made = fit_head(features_of(400, 0), features_of(50, 1), slice(0, 4))
    assert made.penalty == min(PENALTIES)
    np.testing.assert_allclose(made.head.weights, [[20, 10, 0, 0], [20, -10, 0, 0]], atol=0.05)
    np.testing.assert_allclose(made.head.bias, [100, 90], atol=0.05)
    np.testing.assert_allclose(made.months, features_of(50, 1).ages, atol=0.2)


def test_features_that_say_nothing_get_the_largest_penalty() -> None:
    train, validation = features_of(60, 0, channels=12), features_of(400, 1, channels=12)
    made = fit_head(train, validation, slice(2, 36))  # without the two that tell
    assert made.penalty == max(PENALTIES)


def test_fewer_cases_than_features() -> None:
    """Columns that are all zero make the matrix of features the larger one, and change nothing else."""
    train, validation = features_of(60, 0), features_of(50, 1)
    few = fit_head(train, validation, slice(0, 4))

    def padded(cases: CaseFeatures) -> CaseFeatures:
        spare = np.zeros((len(cases.ids), 60), np.float32)
        return replace(cases, features=np.concatenate([cases.features[:, :4], spare], axis=1))

    many = fit_head(padded(train), padded(validation), slice(None))
    # What counts as 1 is the features' mean square, zeros included: the penalty is another one.
    np.testing.assert_allclose(many.months, few.months, atol=0.5)
    np.testing.assert_allclose(many.head.weights[:, 4:], 0, atol=1e-9)


def test_without_select_the_largest_penalty() -> None:
    made = fit_head(features_of(50, 0), features_of(0, 1), slice(0, 4))
    assert made.penalty == max(PENALTIES)
    assert made.months.shape == (0,)


def test_what_is_usual_is_learnt_for_each_sex() -> None:
    """Girls' carpal ages lag behind by 12 months, boys' by none; every case 3 months off that."""
    sexes = [Sex.MALE, Sex.FEMALE] * 300
    months = np.repeat(np.linspace(24, 216, 300), 2)
    lag = np.array([0.0 if sex is Sex.MALE else -12.0 for sex in sexes])
    made = measure_usual_difference(lag + np.tile([3.0, 3.0, -3.0, -3.0], 150), months, sexes)
    # 20 cases without a difference stand beside these; the other sex says nothing.
    assert -12 < made.center_months(Sex.FEMALE, 120.0) < -6
    assert made.center_months(Sex.MALE, 120.0) == pytest.approx(0, abs=0.1)
    for sex, true in ((Sex.MALE, 0.0), (Sex.FEMALE, -12.0)):
        low, high = made.ends(sex, 120.0)
        assert low <= true - 3
        assert true + 3 <= high


def test_what_is_measured_is_what_will_answer() -> None:
    made = fit_regional_heads(features_of(200, 0), features_of(60, 1), DATA)
    assert made.figures["cases"] == 60
    assert made.entry["data"] == DATA.model_dump()
    assert made.figures["carpal_mae_months"]["value"] < 0.2
    assert made.figures["tubular_mae_months"]["value"] > 10  # its features tell nothing
    assert made.figures["whole_mae_months"]["value"] == pytest.approx(1.0)
    assert 0 <= made.figures["warned"] <= 0.1
    few = fit_regional_heads(features_of(200, 0), features_of(5, 1), DATA)
    assert few.entry["usual_difference"] is None
    assert "warned" not in few.figures


def test_where_the_wrist_stops_telling() -> None:
    """Boys' carpal errors are twice the tubular ones from 168 months on, girls' from 96 to 120, which does not last."""
    months = np.tile(np.arange(24.0, 228.0, 0.5), 2)
    sexes = [Sex.MALE] * (len(months) // 2) + [Sex.FEMALE] * (len(months) // 2)
    boys = np.array([sex is Sex.MALE for sex in sexes])
    wide = (boys & (months >= 168)) | (~boys & (months > 96) & (months < 120))
    found = carpal_until(np.where(wide, 12.0, 6.0), np.full(len(months), -6.0), months, sexes)
    assert found[Sex.MALE] in (168.0, 180.0)  # neighbours in age count as well
    assert found[Sex.FEMALE] == 240.0


def test_without_select_heads_are_fitted_and_nothing_is_called_usual() -> None:
    none = features_of(0, 1)
    made = fit_regional_heads(features_of(200, 0), replace(none, features=np.zeros((0, 0), np.float32)), DATA)
    assert made.figures["cases"] == 0
    assert made.entry["usual_difference"] is None


def test_a_sex_without_training_cases_is_refused(refuses: Any) -> None:
    train = features_of(200, 0)
    boys = replace(train, sexes=(Sex.MALE,) * 200)
    with refuses(UsageError, "too_few_cases_of_a_sex"):
        fit_regional_heads(boys, features_of(60, 1), DATA)


def test_what_is_usual_of_a_sex_needs_cases_of_it() -> None:
    validation = features_of(60, 1)
    made = fit_regional_heads(features_of(200, 0), replace(validation, sexes=(Sex.MALE,) * 60), DATA)
    assert made.entry["usual_difference"] is None


@pytest.mark.parametrize(
    "assignment",
    ["regressor.fusion=stacked", "regressor.merge=mean", "regressor.views=H,R2", "regions=hand,region_1"],
)
def test_a_recipe_whose_network_does_not_see_region_1_by_itself(assignment: str, refuses: Any) -> None:
    recipe = replace_settings(find_recipe("compact"), [assignment, "student=false", "gate=none"])
    if "regions" in assignment:
        recipe = replace_settings(recipe, ["regressor.views=H,R1"])
    with refuses(UsageError, "regional_heads_need_region_1"):
        recipe.check()
    replace_settings(recipe, ["regional_heads=false"]).check()


def test_a_model_whose_network_mixes_its_views(standin_model: Path, refuses: Any) -> None:
    assert not load_model(standin_model).settings.view_features
    with refuses(ModelError, "no_view_features"):
        RegionalFeatureExtractor(load_model(standin_model), progress=False)
