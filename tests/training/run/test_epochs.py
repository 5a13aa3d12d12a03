"""Every epoch has its own order, its own augmentation, and the view size of the schedule."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

from boneage.training.data import views_data
from boneage.training.data.views_data import Key
from boneage.training.pipeline import train_on
from boneage.training.run.hardware import Machine


def test_epochs_differ_and_sizes_follow_the_schedule(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[Key]] = defaultdict(list)
    plain = views_data.ViewsData.__getitem__

    def watched(self: views_data.ViewsData, key: Key | int) -> views_data.Example:
        if isinstance(key, Key) and self.augmentation is not None:
            seen[key.epoch].append(key)
        return plain(self, key)

    monkeypatch.setattr(views_data.ViewsData, "__getitem__", watched)
    recipe = toy.toy_recipe(
        "regions=", "regressor.views=O", "regressor.size=48", "regressor.schedule.epochs=3",
        "regressor.schedule.size_schedule=((0,32),(2,48))",
    )  # fmt: skip
    train_on(recipe, toy.toy_training_set(), tmp_path / "run", Machine(accelerator="cpu", progress=False))
    assert [len(seen[epoch]) for epoch in (0, 1, 2)] == [12, 12, 12]
    assert [{key.size for key in seen[epoch]} for epoch in (0, 1, 2)] == [{32}, {32}, {48}]
    orders = [tuple(key.case for key in seen[epoch]) for epoch in (0, 1, 2)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert len(set(orders)) == 3
