from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from boneage.datasets import read_dataset
from boneage.training.data.training_set import SparingImages, TrainingSet, decode
from boneage.training.recipes import find_recipe


@pytest.fixture(scope="module")
def training_set(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    images = tmp_path_factory.mktemp("images")
    return decode(
        find_recipe("tiny"),
        read_dataset(phantoms),
        images,
        images.parent / "dropped.csv",
        terms="synthetic",
        progress=False,
    )


def test_nothing_of_report_is_decoded(training_set: TrainingSet) -> None:
    assert len(training_set.train) + len(training_set.validation) < 30
    assert training_set.phantom
    assert training_set.terms == "synthetic"


def test_images_stay_the_same_when_the_map_is_dropped(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = training_set.images
    assert isinstance(images, SparingImages)
    first = {case_id: images.image(case_id).copy() for case_id in training_set.ids}
    monkeypatch.setattr(SparingImages, "_READS", 2)
    held = images.image(training_set.ids[0])
    for case_id in (*training_set.ids, *reversed(training_set.ids)):
        np.testing.assert_array_equal(images.image(case_id), first[case_id])
    np.testing.assert_array_equal(held, first[training_set.ids[0]])
    sent = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(sent.image(training_set.ids[1]), first[training_set.ids[1]])
