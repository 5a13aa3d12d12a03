"""The gate learns from training images that are rotated, cut off and spoiled, and becomes a part of the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from boneage.assessor import Assessor
from boneage.errors import UsageError
from boneage.model.folder import load_model
from boneage.pipeline.gate import KINDS, GateOutput
from boneage.pipeline.localization import Localization
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region
from boneage.training.data.augmentation import degrade_image
from boneage.training.data.views_data import Key
from boneage.training.gate.examples import (
    CUT_OFF,
    HAND,
    NEGATIVE,
    GateData,
    cut_off,
    join_side_by_side,
    photograph,
    spoil,
    trim,
)
from boneage.training.gate.gate_network import GateNetwork
from boneage.training.gate.negatives import FAMILIES, blur_away, shuffle
from boneage.training.gate.stage import choose_thresholds
from boneage.training.pipeline import train_on
from boneage.training.recipes.settings import NO_AUGMENTATION, Backbone, GateSettings, Schedule
from boneage.training.run.hardware import Machine

MACHINE = Machine(progress=False)
SMALL = GateSettings(
    size=32,
    backbone=Backbone("mobilenetv2_050", stages=3),
    schedule=Schedule(epochs=1, batch=8, average=0.0),
)


@pytest.mark.parametrize("name", FAMILIES)
def test_negatives_are_pictures_and_depend_on_the_seed_alone(name: str) -> None:
    for seed in range(4):
        picture = FAMILIES[name](np.random.default_rng(seed), 96)
        assert (picture.shape, picture.dtype) == ((96, 96), np.float32)
        assert 0.0 <= picture.min() <= picture.max() <= 1.0
        assert np.array_equal(picture, FAMILIES[name](np.random.default_rng(seed), 96))


def test_a_shuffled_image_has_the_same_pixels_elsewhere_and_a_blurred_one_no_detail() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((84, 60), dtype=np.float32)
    mixed = shuffle(np.random.default_rng(1), image)
    kept = image[: mixed.shape[0], : mixed.shape[1]]
    assert np.array_equal(np.sort(mixed, axis=None), np.sort(kept, axis=None))
    assert not np.array_equal(mixed, kept)
    assert blur_away(rng, image).std() < 0.2 * image.std()


FOUND = Localization({Region.HAND: Box(10, 5, 90, 120), Region.REGION_1: Box(30, 80, 70, 110)})


def test_images_are_cut_off_where_the_kind_says() -> None:
    image = np.random.default_rng(0).random((130, 100), dtype=np.float32)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        whole = trim(image, FOUND, rng)
        assert whole.shape[0] >= 30
        assert whole.shape[1] >= 40
        short = cut_off(image, FOUND, rng)
        ends_above = short.shape[0] <= 80 + 0.3 * 30 and np.array_equal(short, image[: len(short)])
        begins_below = np.array_equal(short, image[-len(short) :]) and 130 - len(short) >= 102
        assert ends_above or begins_below
        both = join_side_by_side(image, image[:, ::-1], rng)
        assert both.shape == (130, 200)
        assert spoil(image, rng).shape == image.shape


def test_the_stated_rotation_is_the_rotation_of_the_view() -> None:
    """A bar that is bright at its upper end: its direction in the view follows the degrees, counter-clockwise."""
    image = np.zeros((120, 120), np.float32)
    image[20:100, 56:64] = 0.5
    image[20:44, 50:70] = 1.0
    fits = []
    for seed in range(120):
        view, degrees, inverted = photograph(image, 64, np.random.default_rng(seed))
        assert view.shape == (64, 64)
        if inverted or not 30 < abs(degrees) < 150:  # a small turn would fit none and the mirrored one as well
            continue
        bright = view.astype(float)
        if bright.std() < 30:  # markers and borders of other gray hide this simple bar
            continue
        at = np.argwhere(bright > 240).mean(axis=0) - np.argwhere((bright > 60) & (bright < 200)).mean(axis=0)
        seen = np.degrees(np.arctan2(-at[1], -at[0]))
        fits.append(abs((seen - degrees + 180) % 360 - 180) < 25)
    assert len(fits) > 20
    assert np.mean(fits) > 0.7


def test_examples_depend_on_seed_epoch_and_case_alone_and_negatives_have_no_orientation(toy: ModuleType) -> None:
    training_set = toy.toy_training_set()

    def data(seed: int) -> GateData:
        return GateData(
            training_set.images,
            training_set.train,
            [],
            lambda case, rng: FOUND,
            32,
            augmentation=NO_AUGMENTATION,
            seed=seed,
        )

    first, again = data(3)[Key(1, 2, 32)], data(3)[Key(1, 2, 32)]
    assert torch.equal(first.views, again.views)
    assert torch.equal(first.targets, again.targets)
    kinds = set()
    for epoch in range(12):
        for case in range(len(training_set.train)):
            made = data(0)[Key(epoch, case, 32)]
            assert (made.views.shape, made.views.dtype) == ((1, 32, 32), torch.uint8)
            kind, cosine, sine, inverted = made.targets.tolist()
            assert inverted in (0.0, 1.0)
            assert cosine**2 + sine**2 == pytest.approx(0.0 if kind == NEGATIVE else 1.0, abs=1e-5)
            kinds.add(int(kind))
    assert {HAND, NEGATIVE, CUT_OFF} <= kinds


def test_the_ood_score_is_one_for_the_average_hand_and_grows_with_the_distance() -> None:
    network = GateNetwork(SMALL)
    hands = torch.randn(4000, network.centre.numel()) * 2 + 5
    network.fit_ood_score(hands)
    assert float(network.ood_score(hands).mean()) == pytest.approx(1.0, abs=0.05)
    assert float(network.ood_score(hands[:1] * 0 + 5 + 20)) > 50


def test_thresholds_refuse_no_more_than_they_may() -> None:
    outputs = [GateOutput(0.0, 0.0, (1 - k / 1000, 0.0, 0.0, 0.0, 0.0), float(k)) for k in range(1000)]
    least, most = choose_thresholds(outputs, 0.02)
    refused = [output for output in outputs if output.kinds[0] < least or output.ood_score > most]
    assert len(refused) <= 20
    assert least <= 0.5
    sure = [GateOutput(0.0, 0.0, (0.99, 0.0, 0.0, 0.0, 0.0), 1.0)] * 50
    assert choose_thresholds(sure, 0.02) == (0.5, pytest.approx(1.1))


def test_degraded_images_keep_shape_and_scale() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)
    changed = [degrade_image(image, np.random.default_rng(seed), 0.4) for seed in range(20)]
    assert {(made.shape, str(made.dtype)) for made in changed} == {((90, 70), "uint8")}
    assert sum(not np.array_equal(made, image) for made in changed) > 10
    assert np.array_equal(degrade_image(image, np.random.default_rng(5), 0.4), changed[5])


def test_images_are_compressed_as_often_as_asked() -> None:
    """Steps between blocks of 8 pixels give a compressed picture away."""
    smooth = np.tile(np.linspace(20, 230, 96), (96, 1)).astype(np.uint8)

    def blocky(jpeg: float) -> int:
        images = [degrade_image(smooth, np.random.default_rng(seed), jpeg) for seed in range(40)]
        steps = [np.abs(np.diff(image.astype(float), axis=1)).mean(axis=0) for image in images]
        return sum(step[7::8].mean() > 1.5 * np.delete(step, np.s_[7::8]).mean() for step in steps)

    assert blocky(0.0) == 0
    assert blocky(1.0) > 15


@pytest.fixture(scope="module")
def guarded(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = dataclasses.replace(toy.toy_recipe(), gate=SMALL)
    out = tmp_path_factory.mktemp("guarded")
    train_on(recipe, toy.toy_training_set(), out, MACHINE)
    return out


def test_the_gate_goes_into_the_model_folder_and_answers(guarded: Path, toy: ModuleType) -> None:
    model = load_model(guarded / "model")
    gate = model.settings.gate
    assert gate is not None
    assert (gate.network, gate.tilt_degrees) == ("gate", SMALL.tilt_degrees)
    assert model.networks["gate"].input_size == 32
    assessor = Assessor(model, refuse=False)
    assert assessor.gate is not None
    image = toy.toy_training_set().images.image("c0")
    assert len(assessor.gate.examine(image).kinds) == len(KINDS)
    assert assessor.assess(Radiograph(image / np.float32(255)), "male").bone_age_months is not None


def test_what_a_model_has_is_taken_over_and_trained_on(guarded: Path, toy: ModuleType, tmp_path: Path) -> None:
    model = str(guarded / "model")
    recipe = dataclasses.replace(
        toy.toy_recipe(),
        localizers=model,
        regressor_start=model,
        gate=dataclasses.replace(SMALL, tilt_degrees=33.0),
    )
    train_on(recipe, toy.toy_training_set(), tmp_path / "on", MACHINE)
    stages = {file.parent.name for file in (tmp_path / "on").glob("*/stage.json")}
    assert stages == {"regions", "regressor", "calibration"}
    first, second = load_model(model), load_model(tmp_path / "on" / "model")
    assert second.networks["gate"].sha256 == first.networks["gate"].sha256
    assert second.settings.gate is not None
    assert second.settings.gate.tilt_degrees == 33.0
    assert [step.network.sha256 for step in second.localizers] == [step.network.sha256 for step in first.localizers]
    for origin in (second.settings.localizers_of, second.settings.regressor_of):
        assert origin is not None
        assert origin.sha256 == first.sha256


def test_a_start_of_another_shape_is_refused(guarded: Path, toy: ModuleType, tmp_path: Path) -> None:
    recipe = toy.toy_recipe()
    other = dataclasses.replace(
        recipe,
        localizers=str(guarded / "model"),
        regressor_start=str(guarded / "model"),
        regressor=dataclasses.replace(recipe.regressor, views=("H",)),
    )
    with pytest.raises(UsageError, match="regressor_start: the age network of 'toy'"):
        train_on(other, toy.toy_training_set(), tmp_path / "other", MACHINE)


def test_a_model_s_gate_is_left_behind_where_none_is_asked_for(guarded: Path, toy: ModuleType, tmp_path: Path) -> None:
    recipe = dataclasses.replace(toy.toy_recipe(), localizers=str(guarded / "model"), gate=None)
    train_on(recipe, toy.toy_training_set(), tmp_path / "open", MACHINE)
    assert load_model(tmp_path / "open" / "model").settings.gate is None
