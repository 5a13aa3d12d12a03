"""The steps of `compact` through `train_on`: a prior, a shared network, a student, fewer images for phase I."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from boneage.errors import TrainingError
from boneage.model.folder import check_files, load_model
from boneage.model.writing import write_model
from boneage.regions import Region
from boneage.training.localization import prior
from boneage.training.pipeline import train_on
from boneage.training.recipes.recipe import Recipe
from boneage.training.run.hardware import Machine

MACHINE = Machine(accelerator="cpu", progress=False)


def recipe_of(toy: ModuleType) -> Recipe:
    recipe: Recipe = toy.compact_recipe()
    return recipe


@pytest.fixture(scope="module")
def trained(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs have no fingers: the valleys are given."""
    out = tmp_path_factory.mktemp("compact") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior, "find_peaks", lambda *_, **__: (np.array([2, 5]), {"prominences": np.array([1.0, 1.0])}))
        train_on(recipe_of(toy), toy.toy_training_set(), out, MACHINE)
    return out


def test_its_stages(trained: Path) -> None:
    stages = {file.parent.name for file in trained.glob("*/stage.json")}
    both = {f"{kind}-{region}" for kind in ("prior", "maps", "tau") for region in ("region_1", "region_2")}
    assert stages == both | {
        "localizer-hand", "maps-hand", "localizer-region_1", "population",
        "student", "tau-student", "regions", "regressor", "calibration",
    }  # fmt: skip


def test_the_student_is_cut_where_it_agrees_best_with_its_teachers(trained: Path) -> None:
    facts = json.loads((trained / "tau-student" / "stage.json").read_text())["facts"]
    shipped = {step.region.value: step.tau for step in load_model(trained / "model").localizers}
    assert shipped == facts["tau"]
    for region, overlap in facts["validation_overlap_with_teachers"].items():
        assert overlap[str(shipped[region])] == max(overlap.values())


def test_one_network_answers_for_all_regions(trained: Path) -> None:
    model = load_model(trained / "model")
    assert [step.region for step in model.localizers] == list(Region)
    assert {step.input_view for step in model.localizers} == {"O"}
    assert len({id(step.network) for step in model.localizers}) == 1
    assert model.settings.training_data is not None
    assert model.settings.training_data.cases == 12
    assert model.settings.view_features


def test_phase_1_learns_from_fewer_images_and_every_image_gets_regions(trained: Path, toy: ModuleType) -> None:
    with np.load(trained / "maps-region_1" / "maps.npz") as maps:
        assert len(maps["ids"]) == 8 + 5
    assert len((trained / "regions" / "regions.csv").read_text().splitlines()) == 1 + len(toy.toy_training_set().ids)


def test_the_localizers_of_a_model_are_taken_over(trained: Path, toy: ModuleType, tmp_path: Path) -> None:
    recipe = dataclasses.replace(recipe_of(toy), localizers=str(trained / "model"))
    train_on(recipe, toy.toy_training_set(), tmp_path / "second", MACHINE)
    stages = {file.parent.name for file in (tmp_path / "second").glob("*/stage.json")}
    assert stages == {"regions", "regressor", "calibration"}
    first, second = load_model(trained / "model"), load_model(tmp_path / "second" / "model")
    assert second.localizers[0].network.sha256 == first.localizers[0].network.sha256
    origin = second.settings.localizers_of
    assert origin is not None
    assert (origin.name, origin.sha256) == (first.name, first.sha256)
    assert origin.recipe_settings == first.settings.recipe_settings
    assert origin.training_data == first.settings.training_data
    assert str(tmp_path) not in (tmp_path / "second" / "model" / "model.json").read_text()
    assert (tmp_path / "second" / "regions" / "regions.csv").read_bytes() == (
        trained / "regions" / "regions.csv"
    ).read_bytes()


def test_carpal_and_tubular_age_are_a_stage_of_their_own(trained: Path, toy: ModuleType, tmp_path: Path) -> None:
    recipe = dataclasses.replace(recipe_of(toy), localizers=str(trained / "model"), regional_heads=True)
    out = tmp_path / "parts"
    train_on(recipe, toy.toy_training_set(), out, MACHINE)
    model = load_model(out / "model")
    assert check_files(model) == []
    assert model.regional_heads is not None
    assert model.regional_heads.tubular.weights.shape == (2, 2 * model.regional_heads.carpal.weights.shape[1])
    facts = json.loads((out / "regional-heads" / "stage.json").read_text())["facts"]
    assert model.metrics["regional"] == facts["figures"]
    assert facts["figures"]["cases"] + facts["figures"]["train_cases"] == len(toy.toy_training_set().ids)
    # A second run finds all done; killed before the model was written, it writes it.
    before = {file: file.stat().st_mtime_ns for file in out.glob("*/*.json")}
    train_on(recipe, toy.toy_training_set(), out, MACHINE)
    assert {file: file.stat().st_mtime_ns for file in out.glob("*/*.json")} == before
    shutil.rmtree(out / "model")
    train_on(recipe, toy.toy_training_set(), out, MACHINE)
    assert load_model(out / "model").sha256 == model.sha256
    assert {file: file.stat().st_mtime_ns for file in out.glob("*/stage.json")} == {
        file: time for file, time in before.items() if file.name == "stage.json"
    }


def test_localizers_that_learned_from_phantoms_mark_the_model(
    toy: ModuleType, tmp_path: Path, standin_parts: tuple[dict[str, Any], dict[str, bytes]]
) -> None:
    settings, networks = standin_parts
    first = write_model(tmp_path / "first", {**settings, "phantom_trained": True, "layout": "letterbox"}, networks)
    recipe = dataclasses.replace(toy.toy_recipe(), localizers=str(first))
    train_on(recipe, toy.toy_training_set(), tmp_path / "run", MACHINE)
    second = load_model(tmp_path / "run" / "model")
    assert second.settings.phantom_trained
    assert second.settings.localizers_of is not None
    assert second.settings.localizers_of.phantom_trained


def test_a_population_without_bands_stops_the_training(toy: ModuleType, tmp_path: Path, refuses: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior, "find_peaks", lambda *_, **__: (np.array([], dtype=int), {"prominences": np.array([])}))
        with refuses(TrainingError, "no_bands"):
            train_on(recipe_of(toy), toy.toy_training_set(), tmp_path / "run", MACHINE)


def test_files_of_others_are_not_cleared_away(toy: ModuleType, tmp_path: Path, refuses: Any) -> None:
    (tmp_path / "run" / "localizer-hand").mkdir(parents=True)
    (tmp_path / "run" / "localizer-hand" / "notes.txt").write_text("mine")
    with refuses(TrainingError, "folder_of_others"):
        train_on(recipe_of(toy), toy.toy_training_set(), tmp_path / "run", MACHINE)
    assert (tmp_path / "run" / "localizer-hand" / "notes.txt").read_text() == "mine"
