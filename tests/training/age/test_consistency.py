"""A network that is held to what its start says of plain films."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from boneage.ages import expectation_months
from boneage.assessor import Assessor
from boneage.errors import TrainingError, UsageError
from boneage.model.folder import load_model
from boneage.model.writing import rewritten
from boneage.pipeline.localization import cut_views
from boneage.training.age.consistency import answers_of
from boneage.training.age.regressor import SteadyData
from boneage.training.data.views_data import Key, NoRegions, ViewSource
from boneage.training.localization.regions_table import read_regions
from boneage.training.networks.networks import AgeRegressor
from boneage.training.pipeline import train_on
from boneage.training.recipes.settings import Augmentation
from boneage.training.run.hardware import Machine
from boneage.training.run.stage import key_of
from boneage.training.run.training_run import TrainingRun
from boneage.views import View

MACHINE = Machine(accelerator="cpu", progress=False)
LEARNS = "regressor.schedule.epochs=6"
SIMPLE = ("regions=", "regressor.views=O", "regressor.schedule.epochs=1")


@pytest.fixture(scope="module")
def start(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return train_on(toy.toy_recipe(*SIMPLE), toy.toy_material(), tmp_path_factory.mktemp("start") / "run", MACHINE)


def steady(start: Path, *more: str) -> tuple[str, ...]:
    return (*SIMPLE, f"regressor_start={start}", "regressor.steady=50", LEARNS, *more)


def answers(model: Path, toy: ModuleType, folder: Path) -> np.ndarray:
    """What a model says of the training films without its correction."""
    plain = Assessor(load_model(rewritten(load_model(model), folder, {"calibration": {"tail": 0.05}})))
    training_set, regions = toy.toy_material(), read_regions(model.parent / "regions" / "regions.csv")
    return np.stack(
        [
            plain.answer(
                cut_views(training_set.images.image(case.id), regions[case.id], plain.model.views, 32, squash=False),
                case.sex,
            ).distribution
            for case in training_set.train
        ]
    )


def test_it_is_held_to_its_starts_answers_on_plain_films(toy: ModuleType, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = train_on(toy.toy_recipe(*steady(start)), toy.toy_material(), run, MACHINE)
    targets = np.load(run / "regressor" / "answers.npy")
    np.testing.assert_allclose(targets, answers(start, toy, tmp_path / "plain"), atol=2e-4)
    assert load_model(model).document["regressor_of"]["name"] == "toy"
    without = toy.toy_recipe(*SIMPLE, f"regressor_start={start}", LEARNS)
    other = train_on(without, toy.toy_material(), tmp_path / "other", MACHINE)

    def away(of: Path) -> float:
        said = expectation_months(answers(of, toy, of.parent / "plain"))
        return float(np.abs(said - expectation_months(targets)).mean())

    assert away(model) < 0.7 * away(other)


def test_each_film_has_its_own_target_at_every_size(toy: ModuleType) -> None:
    training_set = toy.toy_material()
    said = np.random.default_rng(0).random((12, 240), dtype=np.float32)
    data = SteadyData(
        training_set.images, training_set.train, [ViewSource(View.O)], NoRegions(), 32, augmentation=Augmentation()
    )
    assert data[3].targets.numel() == 0
    data.answers = said
    for index in (0, 5, 11):
        np.testing.assert_array_equal(data[Key(1, index, 24)].targets.numpy(), said[index])
        assert data[Key(1, index, 24)].views.shape == (1, 24, 24)


def test_a_resumed_training_asks_again_only_where_nothing_can_be_used(
    toy: ModuleType, start: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe = toy.toy_recipe(*steady(start), "regressor.schedule.epochs=1")
    train_on(recipe, toy.toy_material(), run, MACHINE)
    file = run / "regressor" / "answers.npy"
    whole, weights = file.read_bytes(), (run / "regressor" / "weights.safetensors").read_bytes()

    def again() -> None:
        (run / "regressor" / "stage.json").unlink()
        (run / "regressor" / "weights.safetensors").unlink()
        train_on(recipe, toy.toy_material(), run, MACHINE)
        assert (run / "regressor" / "weights.safetensors").read_bytes() == weights

    kept = file.stat().st_mtime_ns
    again()
    assert file.stat().st_mtime_ns == kept
    for damaged in (whole[: len(whole) // 2], b"nothing", b""):
        file.write_bytes(damaged)
        again()
        assert file.read_bytes() == whole


def test_asking_a_network_leaves_it_as_it_was(toy: ModuleType, start: Path) -> None:
    """A start goes on learning after it was asked: dropout and batch norm must be as before."""
    recipe, training_set = toy.toy_recipe(*SIMPLE), toy.toy_material()
    run = TrainingRun(recipe, training_set, start.parent, MACHINE)
    regions = read_regions(start.parent / "regions" / "regions.csv")
    network = AgeRegressor(recipe.regressor)
    one_look = dataclasses.replace(recipe.regressor, average_mirror=False)
    said = [
        answers_of(run, network, settings, training_set.train, regions) for settings in (recipe.regressor, one_look)
    ]
    assert network.training
    assert said[0].shape == (12, 240)
    np.testing.assert_allclose(said[0].sum(axis=1), 1.0, atol=1e-5)
    assert not np.allclose(said[0], said[1])


@pytest.mark.parametrize("changes", [("regressor.steady=1",), ("regressor.steady=1", "regressor.scalar=true")])
def test_it_needs_a_start_and_a_distribution(toy: ModuleType, tmp_path: Path, changes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"regressor\.steady holds the answers to those of regressor_start"):
        train_on(toy.toy_recipe(*SIMPLE, *changes), toy.toy_material(), tmp_path / "run", MACHINE)


def test_a_start_that_was_moved_changes_no_key_and_another_one_does(toy: ModuleType, tmp_path: Path) -> None:
    def keys(folder: str, content: bytes) -> tuple[str, str]:
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "start.safetensors"
        file.write_bytes(content)
        recipe = toy.toy_recipe(f"pretrained={file}", f"hand.backbone.pretrained={file}")
        return TrainingRun(recipe, toy.toy_material(), tmp_path, MACHINE).root_key, key_of(recipe.hand)

    here, there, other = keys("here", b"one"), keys("there", b"one"), keys("elsewhere", b"other")
    assert here == there
    assert here[0] != other[0]
    assert here[1] != other[1]


def test_a_start_that_is_gone_costs_nothing_that_is_there(toy: ModuleType, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def files() -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*") if path.is_file())

    train_on(toy.toy_recipe(*SIMPLE, "pretrained=none"), toy.toy_material(), run, MACHINE)
    before = files()
    recipe = toy.toy_recipe(*SIMPLE, f"pretrained={tmp_path / 'gone.safetensors'}")
    with pytest.raises(TrainingError, match=r"gone\.safetensors: there is no such file to start from"):
        train_on(recipe, toy.toy_material(), run, MACHINE)
    assert files() == before


def test_a_data_set_in_a_folder_of_another_name_is_the_same(toy: ModuleType) -> None:
    training_set = toy.toy_material()
    assert dataclasses.replace(training_set, name="a copy").key == training_set.key
    assert dataclasses.replace(training_set, images_key="other films").key != training_set.key
