from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from boneage.errors import TrainingError
from boneage.model.network import open_session
from boneage.training.localization.student import OUTPUTS, Student
from boneage.training.networks import export
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.backbone import round_to_half
from boneage.training.networks.export import export_localizer, export_regressor, export_student
from boneage.training.networks.localizer import Localizer
from boneage.training.recipes.settings import Backbone, LocalizerSettings, RegressorSettings, StudentSettings

SMALL = Backbone("mobilenetv2_050")


def run(file: Path, **feeds: torch.Tensor) -> list[np.ndarray[Any, Any]]:
    session = open_session(file)
    outputs: list[np.ndarray[Any, Any]] = session.run(None, {name: value.numpy() for name, value in feeds.items()})
    return outputs


def views(count: int, channels: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


def shaken(network: torch.nn.Module) -> None:
    """Statistics and biases as a training leaves them, not 0 and 1."""
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(0.0, 0.1)
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)


@pytest.mark.parametrize("pooling", ["gap", "gmp"])
@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_an_exported_localizer_gives_torchs_maps(tmp_path: Path, pooling: Any, border: Any) -> None:
    backbone = Backbone("mobilenetv2_050", stages=4, border=border)
    settings = LocalizerSettings(size=64, backbone=backbone, channels=16, pooling=pooling, class_average=3)
    network = Localizer(settings)
    shaken(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    file = export_localizer(network, tmp_path / "new" / "hand.onnx", 64)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    round_to_half(network.eval())
    for count in (1, 5):
        view = views(count, 1, 64)
        with torch.no_grad():
            expected = network.attention(view).numpy()
        (got,) = run(file, view=view)
        assert got.shape == (count, 4, 4)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    "changes", [{"fusion": "stacked"}, {"fusion": "shared"}, {"fusion": "shared", "merge": "mean", "sex": (8, 4)}]
)
@pytest.mark.parametrize("half", [True, False])
def test_an_exported_regressor_answers_as_torch_does(tmp_path: Path, changes: dict[str, Any], half: bool) -> None:
    network = AgeRegressor(RegressorSettings(views=("H", "R1"), size=32, backbone=SMALL, **changes))
    shaken(network)
    file = export_regressor(network, tmp_path / "regressor.onnx", ("H", "R1"), 32, half=half)
    if half:
        round_to_half(network)
    picture, sex = views(5, 2, 32), torch.tensor([[1.0], [-1.0], [1.0], [1.0], [-1.0]])
    with torch.no_grad():
        expected = torch.softmax(network.eval()(picture, sex), 1).numpy()
        features = network.penultimate(picture).numpy()
    got, got_features = run(file, views=picture, sex=sex)
    assert got.shape == (5, 240)
    months = np.arange(1, 241)
    np.testing.assert_allclose(got @ months, expected @ months, atol=0.01)
    np.testing.assert_allclose(got_features, features, atol=1e-3 * np.abs(features).max())


@pytest.mark.parametrize("merge", ["concat", "mean"])
def test_features_are_those_of_one_view_after_the_other(tmp_path: Path, merge: Any) -> None:
    settings = RegressorSettings(views=("H", "R1"), size=32, backbone=SMALL, fusion="shared", merge=merge)
    network = AgeRegressor(settings)
    shaken(network)
    file = export_regressor(network, tmp_path / "regressor.onnx", ("H", "R1"), 32)
    picture, sex = views(1, 2, 32), torch.ones(1, 1)
    swapped = picture.flip(1)
    (first,), (second,) = (run(file, views=each, sex=sex)[1] for each in (picture, swapped))
    half = len(first) // 2
    np.testing.assert_allclose(first[:half], second[half:], atol=1e-4 * np.abs(first).max())
    np.testing.assert_allclose(first[half:], second[:half], atol=1e-4 * np.abs(first).max())


def test_features_do_not_depend_on_the_sex(tmp_path: Path) -> None:
    network = AgeRegressor(RegressorSettings(views=("H", "R1"), size=32, backbone=SMALL, fusion="shared"))
    file = export_regressor(network, tmp_path / "regressor.onnx", ("H", "R1"), 32)
    picture = views(1, 2, 32)
    boy, girl = (run(file, views=picture, sex=torch.full((1, 1), sign))[1] for sign in (1.0, -1.0))
    np.testing.assert_array_equal(boy, girl)


def test_a_network_without_the_sex(tmp_path: Path) -> None:
    network = AgeRegressor(RegressorSettings(views=("O",), size=32, backbone=SMALL, sex=()))
    session = open_session(export_regressor(network, tmp_path / "network.onnx", ("O",), 32))
    assert [entry.name for entry in session.get_inputs()] == ["views"]
    assert [entry.name for entry in session.get_outputs()] == ["distribution", "features"]


def test_the_papers_head(tmp_path: Path) -> None:
    settings = RegressorSettings(
        views=("H",), size=96, backbone=Backbone("mobilenetv2_050", stages=4), head="paper", dropout=0.0
    )
    file = export_regressor(AgeRegressor(settings), tmp_path / "paper.onnx", ("H",), 96)
    assert run(file, views=views(1, 1, 96), sex=torch.ones(1, 1))[0].shape == (1, 240)


def test_a_student_has_one_output_for_each_region(tmp_path: Path) -> None:
    settings = StudentSettings(size=64, backbone=Backbone("mobilenetv2_050", stages=4), channels=8)
    network = Student(settings)
    file = export_student(network, tmp_path / "student.onnx", 64, OUTPUTS)
    round_to_half(network.eval())
    session = open_session(file)
    assert [entry.name for entry in session.get_outputs()] == [
        "attention_hand", "attention_region_1", "attention_region_2",
    ]  # fmt: skip
    view = views(2, 1, 64)
    with torch.no_grad():
        for expected, got in zip(network(view), run(file, view=view), strict=True):
            np.testing.assert_allclose(got, expected.numpy(), atol=1e-3)


def test_half_precision_halves_the_file_and_keeps_vectors(tmp_path: Path) -> None:
    network = AgeRegressor(RegressorSettings(views=("O",), size=32, backbone=SMALL))
    large = export_regressor(network, tmp_path / "large.onnx", ("O",), 32, half=False).stat().st_size
    small = export_regressor(network, tmp_path / "small.onnx", ("O",), 32)
    assert small.stat().st_size < 0.6 * large
    model = onnx.load(str(small))
    for tensor in model.graph.initializer:
        assert (tensor.data_type == onnx.TensorProto.FLOAT16) == tensor.name.endswith(".half")
        assert tensor.data_type != onnx.TensorProto.FLOAT16 or len(tensor.dims) >= 2


def test_a_network_that_was_exported_wrongly_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Any
) -> None:
    monkeypatch.setattr(export, "round_to_half", lambda network: network.network.answer.bias.data.normal_())
    network = AgeRegressor(RegressorSettings(views=("O",), size=32, backbone=SMALL))
    right = export.stored_in_half

    def wrong(data: bytes) -> bytes:
        model = onnx.load_from_string(right(data))
        bias = next(t for t in model.graph.initializer if t.name.endswith("answer.bias"))
        bias.CopyFrom(onnx.numpy_helper.from_array(np.linspace(-3, 3, 240, dtype=np.float32), bias.name))
        return bytes(model.SerializeToString())

    monkeypatch.setattr(export, "stored_in_half", wrong)
    with refuses(TrainingError, "export_differs"):
        export_regressor(network, tmp_path / "x.onnx", ("O",), 32)
    assert not list(tmp_path.iterdir())
