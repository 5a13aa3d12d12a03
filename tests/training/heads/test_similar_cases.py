"""How an index of training cases is made: which tensor, which components, which cases."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from boneage.ages import Sex
from boneage.assessor import Assessor, load
from boneage.datasets import read_dataset
from boneage.errors import DatasetError, ModelError
from boneage.formats import read_radiograph
from boneage.model.folder import load_model
from boneage.model.inner_outputs import with_outputs
from boneage.model.network import open_session
from boneage.pipeline.similar_cases import read_index
from boneage.radiograph import Radiograph
from boneage.training.heads import similar_cases as indexing
from boneage.training.heads.similar_cases import (
    CaseFeatures,
    features_tensor,
    index_dataset,
    made,
    principal_components,
)
from boneage.training.networks.export import export_regressor
from boneage.training.networks.networks import AgeRegressor, dropped_to_half
from boneage.training.pipeline import train_on
from boneage.training.recipes.settings import Backbone, RegressorSettings
from boneage.training.run.hardware import Machine

SMALL = Backbone("mobilenetv2_050")
MACHINE = Machine(accelerator="cpu", progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"fusion": "shared"},
        {"fusion": "stacked", "sex": ()},
        {"fusion": "shared", "merge": "mean", "scalar": True, "sex": (8, 4)},
    ],
)
@pytest.mark.parametrize("half", [True, False])
def test_the_features_are_what_the_answer_layer_takes_without_the_sex(
    tmp_path: Path, changes: dict[str, Any], half: bool
) -> None:
    network = AgeRegressor(RegressorSettings(views=("H", "R1"), size=32, backbone=SMALL, **changes)).eval()
    file = export_regressor(network, tmp_path / "regressor.onnx", ("H", "R1"), 32, half=half)
    tensor = features_tensor(file)
    if half:
        dropped_to_half(network)
    views = torch.randint(0, 256, (3, 2, 32, 32), dtype=torch.uint8)
    sex = torch.tensor([[1.0], [-1.0], [1.0]]) if network.sex is not None else None
    taken: list[torch.Tensor] = []
    network.answer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        network(views, sex)
    expected = taken[0].numpy()
    if sex is not None:
        expected = expected[:, : -network.sex[-2].out_features]  # type: ignore[index, union-attr]
    feeds = {"views": views.numpy()} | ({} if sex is None else {"sex": sex.numpy()})
    plain = open_session(file)
    session = open_session(with_outputs(file.read_bytes(), [tensor]))
    answer, features = session.run(None, feeds)
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(answer, plain.run(None, feeds)[0])


def test_a_network_with_an_output_more_is_a_whole_network(tmp_path: Path) -> None:
    import onnx

    file = export_regressor(
        AgeRegressor(RegressorSettings(views=("O",), size=32, backbone=SMALL)), tmp_path / "r.onnx", ("O",), 32
    )
    network = onnx.load_from_string(with_outputs(file.read_bytes(), [features_tensor(file)]))
    onnx.checker.check_model(network)
    assert [output.name for output in network.graph.output] == ["distribution", features_tensor(file)]
    assert network.graph.node == onnx.load(file).graph.node


def test_a_network_without_an_answer_layer(standin_model: Path) -> None:
    with pytest.raises(ModelError, match=r"regressor\.onnx: has no answer layer.*Train the model again"):
        features_tensor(standin_model / "regressor.onnx")


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


def described(ages: list[float], months: list[float], scores: list[float], name: str) -> CaseFeatures:
    features = np.repeat(np.array(scores, np.float32)[:, None], 3, axis=1)
    ids = tuple(f"{name}{at}" for at in range(len(ages)))
    return CaseFeatures(ids, np.array(ages), (Sex.MALE,) * len(ages), features, np.array(months))


def test_what_is_measured_on_select(layered_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "SIMILAR_CASES", 1)
    monkeypatch.setattr(indexing, "FEWEST_TO_COMPARE", 4)
    train = described([20, 60, 100, 140], [np.nan] * 4, [0, 50, 100, 150], "t")
    validation = described([22, 58, 110, 130], [30, 58, 90, 145], [2, 49, 104, 147], "s")
    index = made(load_model(layered_model), train, validation)
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
    assert made(load_model(layered_model), train, validation).usual_difference_months is None


def test_a_training_makes_an_index_of_its_training_cases(toy: ModuleType, tmp_path: Path) -> None:
    recipe = toy.toy_recipe("regions=", "regressor.views=O", "regressor.schedule.epochs=1")
    training_set, out = dataclasses.replace(toy.toy_material(), terms="free"), tmp_path / "run"
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
    assert {file.name for file in folder.iterdir()} == {"model.json", "regressor.onnx"}
    # A training film finds itself, and says so.
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


def test_films_that_cannot_be_read_are_dropped_and_too_many_end_it(
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
