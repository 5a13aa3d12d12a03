"""Cross-validated networks for the calibration, and a network that is held to what its start says of plain films."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from boneage.assessor import Assessor
from boneage.cascade import cut_views
from boneage.errors import TrainingError, UsageError
from boneage.model import load_model
from boneage.model_writing import rewritten
from boneage.training.hardware import Machine
from boneage.training.networks import AgeRegressor
from boneage.training.regions_table import read_regions
from boneage.training.stages import train_on
from boneage.training.unseen import answers_of
from boneage.training.workshop import Workshop

MACHINE = Machine(accelerator="cpu", progress=False)
SIMPLE = ("regions=", "regressor.views=O", "regressor.schedule.epochs=1")
FOLDED = (
    *SIMPLE, "folds.count=3", "folds.regressor.views=O", "folds.regressor.size=32", "folds.regressor.sex=16",
    "folds.regressor.backbone.name=mobilenetv2_050", "folds.regressor.schedule.epochs=1",
    "folds.regressor.schedule.batch=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def folded(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("folded") / "run"
    train_on(toy.toy_recipe(*FOLDED), toy.toy_material(), out, MACHINE)
    return out


def test_each_training_case_is_answered_by_the_network_that_did_not_see_it(toy: ModuleType, folded: Path) -> None:
    material, recipe = toy.toy_material(), toy.toy_recipe(*FOLDED)
    part_of = np.random.default_rng([recipe.seed, 4]).permutation(12) % 3
    regions = read_regions(folded / "regions" / "regions.csv")
    shop = Workshop(recipe, material, folded, MACHINE)
    weights = []
    for part in range(3):
        out = [case for case, of in zip(material.train, part_of, strict=True) if of == part]
        network = AgeRegressor(recipe.folds.regressor)
        network.load_state_dict(load_file(folded / f"fold-{part}" / "weights.safetensors"))
        kept = np.load(folded / f"fold-{part}" / "answers.npz")["distributions"]
        assert kept.shape == (4, 240)
        np.testing.assert_allclose(kept, answers_of(shop, network, recipe.folds.regressor, out, regions), atol=1e-6)
        np.testing.assert_allclose(kept.sum(axis=1), 1.0, atol=1e-5)
        assert network.training  # as it was: a start goes on learning after it was asked
        weights.append(network.answer.weight)
    assert not torch.equal(weights[0], weights[1])
    calibration = json.loads((folded / "model" / "model.json").read_text())["calibration"]
    assert calibration["unseen_training_cases"] == 12
    assert calibration["cases"] == 5


def test_complete_folds_are_not_trained_again_and_a_lost_one_is(toy: ModuleType, folded: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(folded, out)
    shutil.rmtree(out / "fold-1")
    (out / "calibration" / "stage.json").unlink()

    def times() -> dict[str, int]:
        return {file.parent.name: file.stat().st_mtime_ns for file in out.glob("*/stage.json")}

    before = times()
    train_on(toy.toy_recipe(*FOLDED), toy.toy_material(), out, MACHINE)
    assert {name for name, time in times().items() if before.get(name) != time} == {"fold-1", "calibration"}
    again = json.loads((out / "model" / "model.json").read_text())
    assert again["calibration"] == json.loads((folded / "model" / "model.json").read_text())["calibration"]


def test_damaged_answers_are_named(toy: ModuleType, folded: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(folded, out)
    (out / "fold-2" / "answers.npz").write_bytes(b"PK nothing")
    (out / "calibration" / "stage.json").unlink()
    with pytest.raises(TrainingError, match=r"fold-2/answers.npz: .*Remove .*fold-2 and go on with --resume"):
        train_on(toy.toy_recipe(*FOLDED), toy.toy_material(), out, MACHINE)


@pytest.mark.parametrize("count", [1, 7])
def test_parts_without_cases_are_said_before_anything_is_trained(toy: ModuleType, tmp_path: Path, count: int) -> None:
    recipe = toy.toy_recipe(*FOLDED, f"folds.count={count}")
    with pytest.raises(UsageError, match=rf"folds.count={count} with 12 training cases: take from 2 to half"):
        train_on(recipe, toy.toy_material(), tmp_path / "run", MACHINE)
    assert not (tmp_path / "run" / "regressor").exists()


def test_a_steady_network_is_held_to_its_starts_answers_on_plain_films(
    toy: ModuleType, folded: Path, tmp_path: Path
) -> None:
    start, material = folded / "model", toy.toy_material()
    steady = (*SIMPLE, f"regressor_start={start}", "regressor.steady=1000", "regressor.schedule.learning_rate=1e-4")
    held = load_model(train_on(toy.toy_recipe(*steady), material, tmp_path / "held", MACHINE))
    plain = Assessor(load_model(rewritten(load_model(start), tmp_path / "plain", {"calibration": {"tail": 0.05}})))
    targets = np.load(tmp_path / "held" / "regressor" / "answers.npz")["distributions"]
    regions = read_regions(tmp_path / "held" / "regions" / "regions.csv")
    for case, target in zip(material.train, targets, strict=True):
        views = cut_views(material.films.film(case.id), regions[case.id], plain.model.views, 32, squash=False)
        np.testing.assert_allclose(plain.answer(views, case.sex).distribution, target, atol=2e-4)
    assert held.document["regressor_of"]["name"] == "toy"


@pytest.mark.parametrize("changes", [("regressor.steady=1",), ("regressor.steady=1", "regressor.scalar=true")])
def test_a_steady_network_needs_a_start_and_a_distribution(
    toy: ModuleType, tmp_path: Path, changes: tuple[str]
) -> None:
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
