"""A network that is held to what its start says of plain films."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from boneage.assessor import Assessor
from boneage.cascade import cut_views
from boneage.errors import TrainingError, UsageError
from boneage.model import load_model
from boneage.model_writing import rewritten
from boneage.training.hardware import Machine
from boneage.training.networks import AgeRegressor
from boneage.training.regions_table import read_regions
from boneage.training.stages import train_on
from boneage.training.steady import answers_of
from boneage.training.workshop import Workshop

MACHINE = Machine(accelerator="cpu", progress=False)
SIMPLE = ("regions=", "regressor.views=O", "regressor.schedule.epochs=1")


@pytest.fixture(scope="module")
def start(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return train_on(toy.toy_recipe(*SIMPLE), toy.toy_material(), tmp_path_factory.mktemp("start") / "run", MACHINE)


def steady(start: Path, *more: str) -> tuple[str, ...]:
    return (*SIMPLE, f"regressor_start={start}", "regressor.steady=3", *more)


def answers(model: Path, toy: ModuleType, folder: Path) -> np.ndarray:
    """What a model says of the training films without its correction."""
    plain = Assessor(load_model(rewritten(load_model(model), folder, {"calibration": {"tail": 0.05}})))
    material, regions = toy.toy_material(), read_regions(model.parent / "regions" / "regions.csv")
    return np.stack(
        [
            plain.answer(
                cut_views(material.films.film(case.id), regions[case.id], plain.model.views, 32, squash=False),
                case.sex,
            ).distribution
            for case in material.train
        ]
    )


def test_it_is_held_to_its_starts_answers_on_plain_films(toy: ModuleType, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = train_on(toy.toy_recipe(*steady(start)), toy.toy_material(), run, MACHINE)
    targets = np.load(run / "regressor" / "answers.npz")["distributions"]
    np.testing.assert_allclose(targets, answers(start, toy, tmp_path / "plain"), atol=2e-4)
    assert load_model(model).document["regressor_of"]["name"] == "toy"
    without = toy.toy_recipe(*SIMPLE, f"regressor_start={start}")
    other = train_on(without, toy.toy_material(), tmp_path / "other", MACHINE)
    assert not np.allclose(answers(model, toy, tmp_path / "a"), answers(other, toy, tmp_path / "b"), atol=1e-4)


def test_a_resumed_training_has_the_same_targets_and_damaged_ones_are_named(
    toy: ModuleType, start: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe = toy.toy_recipe(*steady(start))
    train_on(recipe, toy.toy_material(), run, MACHINE)
    stage = run / "regressor"
    (stage / "stage.json").unlink()
    (stage / "weights.safetensors").unlink()
    kept = (stage / "answers.npz").stat().st_mtime_ns
    train_on(recipe, toy.toy_material(), run, MACHINE)
    assert (stage / "answers.npz").stat().st_mtime_ns == kept
    (stage / "stage.json").unlink()
    whole = (stage / "answers.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"nothing", b""):
        (stage / "answers.npz").write_bytes(content)
        with pytest.raises(TrainingError, match=r"regressor/answers.npz: .*Remove .*regressor and go on with --resume"):
            train_on(recipe, toy.toy_material(), run, MACHINE)


def test_asking_a_network_leaves_it_as_it_was(toy: ModuleType, start: Path) -> None:
    """A start goes on learning after it was asked: dropout and batch norm must be as before."""
    recipe, material = toy.toy_recipe(*SIMPLE), toy.toy_material()
    shop = Workshop(recipe, material, start.parent, MACHINE)
    regions = read_regions(start.parent / "regions" / "regions.csv")
    network = AgeRegressor(recipe.regressor)
    one_look = dataclasses.replace(recipe.regressor, average_mirror=False)
    said = [answers_of(shop, network, settings, material.train, regions) for settings in (recipe.regressor, one_look)]
    assert network.training
    assert said[0].shape == (12, 240)
    np.testing.assert_allclose(said[0].sum(axis=1), 1.0, atol=1e-5)
    assert not np.allclose(said[0], said[1])


@pytest.mark.parametrize("changes", [("regressor.steady=1",), ("regressor.steady=1", "regressor.scalar=true")])
def test_it_needs_a_start_and_a_distribution(toy: ModuleType, tmp_path: Path, changes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"regressor\.steady holds the answers to those of regressor_start"):
        train_on(toy.toy_recipe(*SIMPLE, *changes), toy.toy_material(), tmp_path / "run", MACHINE)


def test_a_start_that_was_moved_changes_no_key(toy: ModuleType, tmp_path: Path) -> None:
    def key(folder: str, content: bytes) -> str:
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "start.safetensors"
        file.write_bytes(content)
        return Workshop(toy.toy_recipe(f"pretrained={file}"), toy.toy_material(), tmp_path, MACHINE).root_key

    assert key("here", b"one") == key("there", b"one")
    assert key("elsewhere", b"other") != key("last", b"one")
