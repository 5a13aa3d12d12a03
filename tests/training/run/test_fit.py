from __future__ import annotations

import csv
import dataclasses
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from boneage.errors import TrainingError
from boneage.training.age.regressor import RegressorLearner
from boneage.training.data.views_data import LocalizerSource, NoRegions, ViewsData
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.recipes.settings import Backbone, RegressorSettings, Schedule
from boneage.training.run.fit import fit, latest_checkpoint, steps_per_epoch
from boneage.training.run.hardware import Machine, keep_freed_memory, return_freed_memory
from boneage.training.run.learner import learning_rate_factor

MACHINE = Machine(accelerator="cpu", progress=False)
SETTINGS = RegressorSettings(
    views=("O",), size=32, backbone=Backbone("mobilenetv2_050"), schedule=Schedule(epochs=2, batch=4, average=0.9)
)


def fitted(toy: ModuleType, folder: Path, settings: RegressorSettings, machine: Machine = MACHINE) -> Any:
    training_set = toy.toy_training_set(8, 3)
    torch.manual_seed(settings.schedule.epochs)
    network = AgeRegressor(settings)
    steps = steps_per_epoch(8, settings.schedule, machine)
    learner = RegressorLearner(network, settings, seed=1, steps_per_epoch=steps)
    sources, found = [LocalizerSource("O")], NoRegions()
    train = ViewsData(
        training_set.images, training_set.train, sources, found, 32, augmentation=settings.augmentation, seed=1
    )
    validation = ViewsData(training_set.images, training_set.validation, sources, found, 32)
    return fit(learner, train, validation, folder, schedule=settings.schedule, machine=machine, label="a fit")


def changed(**schedule: Any) -> RegressorSettings:
    return dataclasses.replace(SETTINGS, schedule=dataclasses.replace(SETTINGS.schedule, **schedule))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_fit_leaves_a_log_a_curve_and_an_average(toy: ModuleType, tmp_path: Path, capfd: Any) -> None:
    network = fitted(toy, tmp_path, SETTINGS)
    assert not network.training
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2"]
    assert all(float(row["loss"]) > 0 and float(row["validation"]) > 0 for row in rows(tmp_path))
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoints" / "epoch-0001.ckpt"
    state = torch.load(str(latest_checkpoint(tmp_path)), weights_only=False)["state_dict"]
    last, average = state["network.answer.weight"], state["average.answer.weight"]
    assert torch.equal(average, network.answer.weight)
    assert not torch.equal(last, average)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "available" not in shown.err


def test_a_fit_reports_its_epochs_and_steps(toy: ModuleType, tmp_path: Path, capfd: Any) -> None:
    fitted(toy, tmp_path, SETTINGS, dataclasses.replace(MACHINE, progress=True))
    shown = capfd.readouterr().err
    assert "Training a fit, steps: 4 of 4" in shown
    for epoch in (1, 2):
        assert f"a fit: epoch {epoch} of 2 done" in shown


def test_without_averaging_the_last_weights_remain(toy: ModuleType, tmp_path: Path) -> None:
    fitted(toy, tmp_path, changed(average=0.0))
    state = torch.load(str(latest_checkpoint(tmp_path)), weights_only=False)["state_dict"]
    for name, value in state.items():
        if name.startswith("network."):
            assert torch.equal(value, state[name.replace("network.", "average.", 1)])


def test_progressive_sizes_adam_steps_and_rare_measuring(toy: ModuleType, tmp_path: Path) -> None:
    settings = changed(
        size_schedule=((0, 32), (1, 64)), shape="steps", steps=((1, 1e-4),), optimizer="adam", validate_every=0,
        gradient_clip=0.0,
    )  # fmt: skip
    fitted(toy, tmp_path, settings)
    first, second = rows(tmp_path)
    assert first["validation"] == "nan"
    assert float(second["validation"]) > 0
    assert float(second["learning_rate"]) == pytest.approx(1e-4)


def test_workers_change_nothing(toy: ModuleType, tmp_path: Path) -> None:
    alone = fitted(toy, tmp_path / "a", changed(epochs=1)).state_dict()
    helped = fitted(toy, tmp_path / "b", changed(epochs=1), dataclasses.replace(MACHINE, workers=1)).state_dict()
    assert all(torch.equal(alone[name], helped[name]) for name in alone)


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_it_sees_the_images_in_the_same_order(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    machine, settings = dataclasses.replace(MACHINE, workers=workers), changed(epochs=3, size_schedule=((2, 64),))
    whole = fitted(toy, tmp_path / "whole", settings, machine).state_dict()
    begins = RegressorLearner.on_train_epoch_start

    def breaks(self: RegressorLearner) -> None:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        begins(self)

    monkeypatch.setattr(RegressorLearner, "on_train_epoch_start", breaks)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fitted(toy, tmp_path / "broken", settings, machine)
    assert latest_checkpoint(tmp_path / "broken") == tmp_path / "broken" / "checkpoints" / "epoch-0001.ckpt"
    monkeypatch.setattr(RegressorLearner, "on_train_epoch_start", begins)
    resumed = fitted(toy, tmp_path / "broken", settings, machine).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [row["loss"] for row in rows(tmp_path / "whole")] == [row["loss"] for row in rows(tmp_path / "broken")]


def test_a_training_that_the_system_ends_does_not_look_finished(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RegressorLearner, "on_train_epoch_start", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        fitted(toy, tmp_path, changed(epochs=2))
    assert ended.value.code == 128 + signal.SIGTERM


def test_mixed_precision_on_a_cpu_clips_gradients_too(toy: ModuleType, tmp_path: Path) -> None:
    network = fitted(toy, tmp_path, changed(epochs=1), dataclasses.replace(MACHINE, precision="bf16-mixed"))
    assert torch.isfinite(network.answer.weight).all()


def test_a_loss_that_is_not_finite_stops_the_training(toy: ModuleType, tmp_path: Path, refuses: Any) -> None:
    with refuses(TrainingError, "loss_not_finite"):
        fitted(toy, tmp_path, changed(learning_rate=1e30, gradient_clip=0.0, warmup=0.0, epochs=3))


def test_no_cases_no_training(toy: ModuleType, tmp_path: Path, refuses: Any) -> None:
    training_set = toy.toy_training_set(2, 1)
    data = ViewsData(training_set.images, [], [LocalizerSource("O")], NoRegions(), 32)
    learner = RegressorLearner(AgeRegressor(SETTINGS), SETTINGS, seed=0, steps_per_epoch=1)
    with refuses(TrainingError, "no_cases"):
        fit(learner, data, data, tmp_path, schedule=SETTINGS.schedule, machine=MACHINE, label="a fit")


def test_one_cycle_rises_and_falls() -> None:
    schedule = Schedule(epochs=10, warmup=0.2)
    factors = np.array([learning_rate_factor(schedule, step, 10) for step in range(101)])
    assert factors.argmax() == 20
    assert factors.max() == pytest.approx(1.0)
    assert factors[0] < 0.05
    assert factors[100] < 1e-4
    assert (np.diff(factors[:21]) > 0).all()
    assert (np.diff(factors[20:]) < 0).all()


def test_the_memory_setting_may_be_made_twice_and_undone() -> None:
    keep_freed_memory()
    keep_freed_memory()
    return_freed_memory()
