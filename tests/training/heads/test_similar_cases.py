"""How an index of training cases is made: which features, which components, which cases."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from boneage.ages import Sex
from boneage.assessor import Assessor, load
from boneage.datasets import read_dataset
from boneage.errors import DatasetError, ModelError
from boneage.formats import read_radiograph
from boneage.model.document import TrainingData
from boneage.model.folder import load_model
from boneage.pipeline.similar_cases import read_index
from boneage.radiograph import Radiograph
from boneage.training.heads import similar_cases as indexing
from boneage.training.heads.similar_cases import (
    CaseFeatures,
    build_index,
    index_dataset,
    principal_components,
)
from boneage.training.pipeline import train_on
from boneage.training.run.hardware import Machine

DATA = TrainingData(name="made up", cases=4)
MACHINE = Machine(accelerator="cpu", progress=False)


def test_a_network_without_features(standin_model: Path, phantoms: Path, refuses: Any) -> None:
    with refuses(ModelError, "network_lacks_output"):
        index_dataset(load_model(standin_model), read_dataset(phantoms), read_radiograph, progress=False)


@pytest.mark.parametrize("spare", [0, 40])
def test_principal_components_of_points_on_a_line(spare: int) -> None:
    """More cases than features, and fewer."""
    along = np.zeros(2 + spare, np.float32)
    along[:2] = 3, 4
    points = np.array([-1.0, 0.0, 1.0, 2.0], np.float32)[:, None] * along + 7
    mean, components = principal_components(points)
    np.testing.assert_allclose(mean, 0.5 * along + 7, rtol=1e-5)
    scores = (points - mean) @ components.T
    # Steps of 5 along the line; over all pairs of the four, each with itself as well, the mean square is 2.5 steps.
    np.testing.assert_allclose(np.abs(np.diff(scores[:, 0])), 1 / np.sqrt(2.5), rtol=1e-4)
    np.testing.assert_allclose(scores[:, 1:], 0, atol=1e-3)


def test_cases_that_are_all_alike_have_places() -> None:
    mean, components = principal_components(np.ones((3, 5), np.float32))
    assert mean.tolist() == [1] * 5
    assert np.isfinite(components).all()


def test_distances_are_those_of_the_features() -> None:
    """With as many components as there is variance, nothing but the scale changes."""
    features = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    mean, components = principal_components(features)
    scores = (features - mean) @ components.T
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    ratio = np.linalg.norm(scores[:, None] - scores[None], axis=2)[apart > 0] / apart[apart > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    assert np.sqrt(np.mean(np.linalg.norm(scores[:, None] - scores[None], axis=2) ** 2)) == pytest.approx(1, abs=1e-3)


def features_of(ages: list[float], months: list[float], scores: list[float], name: str) -> CaseFeatures:
    features = np.repeat(np.array(scores, np.float32)[:, None], 3, axis=1)
    ids = tuple(f"{name}{at}" for at in range(len(ages)))
    return CaseFeatures(ids, np.array(ages), (Sex.MALE,) * len(ages), features, np.array(months))


def test_what_is_measured_on_select(layered_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "SIMILAR_CASES", 1)
    monkeypatch.setattr(indexing, "FEWEST_TO_COMPARE", 4)
    train = features_of([20, 60, 100, 140], [np.nan] * 4, [0, 50, 100, 150], "t")
    validation = features_of([22, 58, 110, 130], [30, 58, 90, 145], [2, 49, 104, 147], "s")
    index = build_index(load_model(layered_model), train, validation, file=Path("cases.npz"), data=DATA)
    figures = index.figures["validation"]
    assert figures["cases"] == 4
    assert figures["similar_cases_mae_months"]["value"] == pytest.approx((2 + 2 + 10 + 10) / 4)
    assert figures["model_mae_months"]["value"] == pytest.approx((8 + 0 + 20 + 15) / 4)
    assert figures["difference_months"]["value"] == pytest.approx((10 + 2 + 10 + 5) / 4)
    errors = [-2, 2, -10, 10], [8, 0, -20, 15]
    assert figures["error_correlation"] == pytest.approx(np.corrcoef(*errors)[0, 1], abs=1e-4)
    assert index.usual_difference_months == pytest.approx(np.quantile([10, 2, 10, 5], 0.95))
    assert "similar cases 6.00 months, the model 10.75" in index.summary()
    monkeypatch.setattr(indexing, "FEWEST_TO_COMPARE", 5)
    assert (
        build_index(
            load_model(layered_model), train, validation, file=Path("cases.npz"), data=DATA
        ).usual_difference_months
        is None
    )


def test_a_training_makes_an_index_of_its_training_cases(toy: ModuleType, tmp_path: Path) -> None:
    recipe = toy.toy_recipe("regions=", "regressor.views=O", "regressor.schedule.epochs=1")
    training_set, out = dataclasses.replace(toy.toy_training_set(), terms="free"), tmp_path / "run"
    train_on(recipe, training_set, out, MACHINE)
    assert not (out / "index.npz").exists()
    before = {file: file.stat().st_mtime_ns for file in out.glob("*/stage.json")}
    folder = train_on(recipe, training_set, out, MACHINE, index=True)  # resumed: the index alone is made
    assert {file: file.stat().st_mtime_ns for file in before} == before
    index = read_index(out / "index.npz")
    assert index.ids == tuple(case.id for case in training_set.train)
    assert index.ages.tolist() == pytest.approx([case.age_months for case in training_set.train], rel=1e-6)
    assert [Sex.MALE if male else Sex.FEMALE for male in index.males] == [case.sex for case in training_set.train]
    assert index.data == {"name": "toy", "split": "train", "cases": 12, "terms": "free", "phantom": False}
    assert index.figures["validation"]["cases"] == len(training_set.validation)
    assert {file.name for file in folder.iterdir()} == {"model.json", "metrics.json", "regressor.onnx"}
    # A training image finds itself, and says so.
    case = training_set.train[3]
    image = Radiograph(training_set.images.image(case.id).astype(np.float32) / 255)
    found = load(folder, out / "index.npz").assess(image, case.sex)
    assert found.similar_cases is not None
    assert found.similar_cases.cases[0].id == case.id
    assert found.similar_cases.cases[0].distance < 0.01
    assert "radiograph_in_index" in [remark.code for remark in found.remarks]
    made_at = (out / "index.npz").stat().st_mtime_ns
    train_on(recipe, training_set, out, MACHINE, index=True)
    assert (out / "index.npz").stat().st_mtime_ns == made_at
    (out / "index.npz").unlink()
    train_on(recipe, training_set, out, MACHINE, index=True)
    assert read_index(out / "index.npz").ids == index.ids


def test_an_index_of_a_finished_model_holds_only_train_cases(layered_model: Path, phantoms: Path) -> None:
    dataset = read_dataset(phantoms)
    read: list[str] = []

    def reader(path: Path) -> Radiograph:
        read.append(path.stem)
        return read_radiograph(path)

    model = load_model(layered_model)
    index, used = index_dataset(model, dataset, reader, terms="drawn", progress=False)
    splits = {case.id: case.split for case in dataset.cases}
    assert index.ids == tuple(case.id for case in dataset.cases if case.split == "train")
    assert {splits[name] for name in read} == {"train", "validation"}  # no test case is read
    assert index.data["phantom"] is True
    assert used.dropped == dataset.dropped
    # What an assessment describes is what was indexed.
    case = next(case for case in dataset.cases if case.split == "train")
    found = Assessor(model, index=index).assess(case.image, case.sex)
    assert found.similar_cases is not None
    assert found.similar_cases.cases[0].distance == pytest.approx(0, abs=2e-3)


def test_radiographs_that_cannot_be_read_are_dropped_and_too_many_end_it(
    layered_model: Path, phantoms: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(phantoms, tmp_path / "hands")
    train = [case for case in read_dataset(root).cases if case.split == "train"]
    train[0].image.write_bytes(b"no picture")
    model = load_model(layered_model)
    index, used = index_dataset(model, read_dataset(root), read_radiograph, progress=False)
    assert train[0].id not in index.ids
    assert [(item.id, item.reason) for item in used.dropped] == [(train[0].id, "unreadable file")]
    for case in train[1:4]:
        case.image.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="5%"):
        index_dataset(model, read_dataset(root), read_radiograph, progress=False)
