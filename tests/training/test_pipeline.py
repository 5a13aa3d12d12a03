"""The whole story on toy pictures, in a few seconds, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from boneage.ages import Sex, expectation_months
from boneage.assessor import Assessor
from boneage.errors import UsageError
from boneage.model.folder import load_model
from boneage.radiograph import Radiograph
from boneage.regions import Region
from boneage.training.data.views_data import FromTable, ViewsData, ViewSource
from boneage.training.localization.regions_table import read_regions
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.backbone import round_to_half
from boneage.training.pipeline import train_on
from boneage.training.run.hardware import Machine
from boneage.views import View

MACHINE = Machine(accelerator="cpu", progress=False)


@pytest.fixture(scope="module")
def trained(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("trained") / "run"
    assert train_on(toy.toy_recipe(), toy.toy_training_set(), out, MACHINE) == out / "model"
    return out


def finished(out: Path) -> dict[str, float]:
    return {file.parent.name: file.stat().st_mtime_ns for file in out.glob("*/stage.json")}


def test_every_stage_is_kept(trained: Path) -> None:
    stages = {f"{kind}-{region.value}" for kind in ("localizer", "maps", "tau") for region in Region}
    assert set(finished(trained)) == stages | {"regions", "regressor", "calibration"}
    errors = json.loads((trained / "tau-hand" / "stage.json").read_text())["facts"]["validation_error_months"]
    tau = json.loads((trained / "model" / "model.json").read_text())["localizers"][0]["tau"]
    assert str(tau) in errors
    assert (trained / "tau-hand" / "tau.png").is_file()


def test_the_model_says_where_it_comes_from(trained: Path) -> None:
    model = load_model(trained / "model")
    assert [step.input_view for step in model.localizers] == ["O", "O", "E"]
    assert model.views == (View.H, View.R1, View.R2)
    assert model.settings.training_data is not None
    assert model.settings.training_data.cases == 12
    assert model.calibration.split == "validation"
    assert model.metrics["validation"]["cases"] == 5
    assert model.settings.recipe_settings["regressor"]["size"] == 32
    assert not model.settings.view_features  # its views are input channels
    assert not model.settings.phantom_trained


def test_an_assessment_gives_what_torch_gives(toy: ModuleType, trained: Path) -> None:
    """Same radiograph, torch on the views of training against the assessor of the model folder: 0.01 month."""
    recipe, training_set = toy.toy_recipe(), toy.toy_training_set()
    network = AgeRegressor(recipe.regressor)
    network.load_state_dict(load_file(trained / "regressor" / "weights.safetensors"))
    round_to_half(network.eval())
    regions = read_regions(trained / "regions" / "regions.csv")
    sources = [ViewSource(View(name)) for name in recipe.regressor.views]
    data = ViewsData(
        training_set.images, (*training_set.train, *training_set.validation), sources, FromTable(regions), 32
    )
    assessor = Assessor(load_model(trained / "model"))
    correction = assessor.model.calibration.correction
    for index, case in enumerate(data.cases):
        image = training_set.images.image(case.id)
        answer = assessor.assess(Radiograph(image.astype(np.float32) / 255), case.sex)
        views = data[index].views[None]
        sign = torch.tensor([[case.sex.sign]])
        with torch.no_grad():
            months = [torch.softmax(network(v, sign), 1) for v in (views, views.flip(3))]
        distribution = torch.stack(months).mean(0)[0].double().numpy()
        assert correction is not None
        expected = float(expectation_months(correction.corrected(distribution / distribution.sum(), case.sex)))
        assert answer.bone_age_months == pytest.approx(expected, abs=0.01)
        for region, box in regions[case.id].boxes.items():
            np.testing.assert_allclose(answer.regions[region].as_list(), box.as_list(), atol=1e-6)


def test_complete_stages_are_not_run_again_and_changed_ones_are(
    toy: ModuleType, trained: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    before = finished(out)
    train_on(toy.toy_recipe(), toy.toy_training_set(), out, MACHINE)
    assert finished(out) == before

    def rerun(*assignments: str) -> set[str]:
        before = finished(out)
        train_on(toy.toy_recipe(*assignments), toy.toy_training_set(), out, Machine(accelerator="cpu", progress=True))
        return {name for name, time in finished(out).items() if before.get(name) != time}

    assert rerun("regressor.kl_weight=0.1") == {"regressor", "calibration"}
    assert "stage regressor runs again: its settings" in capsys.readouterr().err
    # The map of region 2 stays as it is: a fixed tau only cuts it elsewhere, and needs no search.
    assert rerun("region_2.tau=0.5") == {"regions", "regressor", "calibration"}
    assert rerun("region_2.tau=0.5", "regressor_seed=9") == {"regressor", "calibration"}
    # Region 2 is found on the image with region 1 erased, so it changes with region 1.
    changed = rerun("region_1.tau=0.9", "region_2.tau=0.5")
    assert changed == {"localizer-region_2", "maps-region_2", "regions", "regressor", "calibration"}


def test_a_network_of_whole_images_that_are_squashed(toy: ModuleType, tmp_path: Path) -> None:
    recipe = toy.toy_recipe(
        "regions=", "regressor.views=O", "layout=squash", "regressor.schedule.epochs=1",
        "regressor.sex=", "regressor.average_mirror=false", "fp16_weights=false",
    )  # fmt: skip
    model = load_model(train_on(recipe, toy.toy_training_set(), tmp_path / "run", MACHINE))
    assert model.localizers == ()
    assert model.layout == "squash"
    image = toy.toy_training_set().images.image("c0")
    answer = Assessor(model).assess(Radiograph(image.astype(np.float32) / 255), Sex.MALE)
    assert answer.distribution is not None
    assert answer.distribution.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_student_takes_the_chains_place(toy: ModuleType, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    recipe = toy.toy_recipe("student=true", "hand.smallest=0.4", "tau.mode=one_each", "hand.tau=0.3")
    model = load_model(train_on(recipe, toy.toy_training_set(), out, MACHINE))
    assert set(model.networks) == {"localizer", "regressor"}
    assert [step.output for step in model.localizers] == [f"attention_{region.value}" for region in Region]
    assert {step.input_view for step in model.localizers} == {"O"}
    assert model.localizers[0].smallest == 0.4
    assert len(list((out / "tau-region_1").glob("*/log.csv"))) == 2
    assert (out / "student" / "curve.png").is_file()


def test_phantom_models_say_so(toy: ModuleType, tmp_path: Path) -> None:
    import dataclasses

    recipe = toy.toy_recipe("regions=", "regressor.views=O", "regressor.schedule.epochs=1")
    training_set = dataclasses.replace(toy.toy_training_set(), phantom=True, terms="drawn here")
    model = load_model(train_on(recipe, training_set, tmp_path / "run", MACHINE))
    assert model.settings.phantom_trained
    assert model.settings.training_data is not None
    assert model.settings.training_data.terms == "drawn here"
    with pytest.raises(UsageError):
        train_on(toy.toy_recipe("regions=hand"), training_set, tmp_path / "other", MACHINE)
