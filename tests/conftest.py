"""Fixtures of several tests: a stand-in model of a few ONNX nodes, small images, a data set of phantoms."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from boneage.errors import BoneAgeError
from boneage.model.writing import write_model
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.radiograph import Radiograph

# Slowness of a busy machine must not fail a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


VIEW_SIZE = 64
CELLS = 8

RegionalHeads = tuple[dict[str, Any], dict[str, bytes]]


def localizer_bytes(weights: dict[str, npt.NDArray[np.float32]], constant: float | None = None) -> bytes:
    """A localizer: the view averaged over 8x8 cells, minus its mean, times a fixed weight for each cell.

    Args:
        weights: output name -> float32 [8, 8].
        constant: the value of all outputs everywhere, instead.
    """
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["view"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["real"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Squeeze", ["pooled", "channel"], ["cells"]),
        helper.make_node("ReduceMean", ["cells", "places"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["cells", "mean"], ["bright"]),
    ]
    constants: dict[str, Any] = {"channel": np.array([1], np.int64), "places": np.array([1, 2], np.int64)}
    for name, weight in weights.items():
        constants[f"{name}_weight"] = weight if constant is None else np.zeros((CELLS, CELLS), np.float32)
        constants[f"{name}_bias"] = np.array(0.0 if constant is None else constant, np.float32)
        nodes.append(helper.make_node("Mul", ["bright", f"{name}_weight"], [f"{name}_product"]))
        nodes.append(helper.make_node("Add", [f"{name}_product", f"{name}_bias"], [name]))
    return _model_bytes(
        nodes,
        [helper.make_tensor_value_info("view", TensorProto.UINT8, ["n", 1, VIEW_SIZE, VIEW_SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", CELLS, CELLS]) for name in weights],
        constants,
    )


def regressor_bytes(
    views: int, *, sex_input: bool = True, features: bool = False, distribution: str = "distribution"
) -> bytes:
    """An age network: centre = 30 + 200 * mean brightness + 6 * sex; a softmax around it over 240 months.

    Args:
        views: how many.
        sex_input: it takes the sex.
        features: it gives the mean brightness of each view as `features`.
        distribution: the name of its answer.
    """
    from onnx import TensorProto, helper

    constants = {
        "where": np.array([1, 2, 3], np.int64),
        "gain": np.array(200 / 255, np.float32),
        "start": np.array(30, np.float32),
        "six": np.array(6, np.float32),
        "row": np.array([-1, 1], np.int64),
        "pixels": np.array([2, 3], np.int64),
        "months_axis": np.arange(1, 241, dtype=np.float32)[None],
        "sharpness": np.array(-1 / 200, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["views"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "where"], ["mean4"], keepdims=1),
        helper.make_node("Reshape", ["mean4", "row"], ["brightness"]),
        helper.make_node("Mul", ["brightness", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "start"], ["of_views"]),
    ]
    inputs = [helper.make_tensor_value_info("views", TensorProto.UINT8, ["n", views, VIEW_SIZE, VIEW_SIZE])]
    center = "of_views"
    if sex_input:
        inputs.append(helper.make_tensor_value_info("sex", TensorProto.FLOAT, ["n", 1]))
        nodes.append(helper.make_node("Mul", ["sex", "six"], ["of_sex"]))
        nodes.append(helper.make_node("Add", ["of_views", "of_sex"], ["center"]))
        center = "center"
    nodes += [
        helper.make_node("Sub", ["months_axis", center], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Mul", ["squared", "sharpness"], ["scores"]),
        helper.make_node("Softmax", ["scores"], [distribution], axis=1),
    ]
    outputs = [helper.make_tensor_value_info(distribution, TensorProto.FLOAT, ["n", 240])]
    if features:
        nodes.append(helper.make_node("ReduceMean", ["real", "pixels"], ["features"], keepdims=0))
        outputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", views]))
    return _model_bytes(nodes, inputs, outputs, constants)


def gate_bytes(kind: int, degrees: float = 0.0) -> bytes:
    """A gate that answers every view with one kind and one rotation (the second of a batch with its opposite)."""
    from onnx import TensorProto, helper

    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    outputs_of = {
        "kinds": np.eye(5, dtype=np.float32)[[kind, kind]],
        "pose": np.array([[cos, sin], [cos, -sin]], np.float32),
        "inverted": np.zeros(2, np.float32),
        "ood_score": np.ones(2, np.float32),
    }
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs_of]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name, values in outputs_of.items()
    ]
    view = helper.make_tensor_value_info("view", TensorProto.UINT8, ["n", 1, VIEW_SIZE, VIEW_SIZE])
    return _model_bytes(nodes, [view], outputs, {f"{name}_value": values for name, values in outputs_of.items()})


def with_gate(parts: RegionalHeads, kind: int, degrees: float = 0.0) -> RegionalHeads:
    """The settings and networks of a model, with such a gate."""
    settings, networks = parts
    gate = {"network": "gate", "min_hand_probability": 0.5, "max_ood_score": 2.0, "tilt_degrees": 12.0}
    listed = {**settings["networks"], "gate": {"input_size": VIEW_SIZE}}
    return {**settings, "networks": listed, "gate": gate}, {**networks, "gate": gate_bytes(kind, degrees)}


def _model_bytes(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> bytes:
    # Imported here: onnx comes with the extra [train], and most tests do not need it.
    import onnx
    from onnx import helper, numpy_helper

    used = {name for node in nodes for name in node.input}
    start = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    graph = helper.make_graph(nodes, "standin", inputs, outputs, start)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _standin_parts() -> RegionalHeads:
    upper, lower = np.zeros((CELLS, CELLS), np.float32), np.zeros((CELLS, CELLS), np.float32)
    upper[2:5], lower[5:7] = 1.0, 1.0
    networks = {
        "hand": localizer_bytes({"attention": np.ones((CELLS, CELLS), np.float32)}),
        # One network may localize several regions, each with an output of its own.
        "bones": localizer_bytes({"carpus": lower, "metacarpus": upper}),
        "regressor": regressor_bytes(3),
    }
    on_hand = {"network": "bones", "margin": 0.0, "average_mirror": True, "smallest": 0.1}
    settings = {
        "name": "standin",
        "version": "0.0.1",
        "recipe": "none",
        "image_short_side": 96,
        "layout": "letterbox",
        "networks": {name: {"input_size": VIEW_SIZE} for name in networks},
        "localizers": [
            {"region": "hand", "network": "hand", "output": "attention", "input_view": "O", "tau": 0.2, "margin": 0.05,
             "average_mirror": True, "smallest": 0.15},
            {"region": "region_1", "output": "carpus", "input_view": "H", "tau": 0.4, **on_hand},
            {"region": "region_2", "output": "metacarpus", "input_view": "HE", "tau": 0.4, **on_hand},
        ],
        "views": ["H", "R1", "R2"],
        "average_mirror": True,
        "sex_input": True,
        "calibration": {"tail": 0.05, "coverage": 0.9, "cases": 0, "split": "validation"},
        "phantom_trained": False,
        "training_data": {"name": "none", "cases": 0, "terms": "none", "split_rule": "none"},
    }  # fmt: skip
    return settings, networks


def _hand(width: int = 120, height: int = 150) -> npt.NDArray[np.uint8]:
    """A hand of rectangles: forearm, palm and four fingers on a dark background with a little texture."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    image = 12 + 6 * np.sin(40 * x) * np.cos(31 * y)
    image[(x > 0.38) & (x < 0.62) & (y > 0.7)] = 170
    image[(x > 0.28) & (x < 0.72) & (y > 0.4) & (y <= 0.75)] = 215
    for finger in range(4):
        left = 0.29 + 0.11 * finger
        image[(x > left) & (x < left + 0.08) & (y > 0.12 + 0.03 * abs(finger - 1.5)) & (y <= 0.4)] = 190
    return np.asarray(image, dtype=np.uint8)


@pytest.fixture(scope="session")
def standin_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stand-in model; read-only."""
    settings, networks = _standin_parts()
    return write_model(tmp_path_factory.mktemp("models") / "standin", settings, networks)


@pytest.fixture(scope="session")
def layered_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in model whose age network gives the features of each view; only read it."""
    settings, networks = _standin_parts()
    networks["regressor"] = regressor_bytes(3, features=True)
    settings |= {"name": "layered", "view_features": True}
    return write_model(tmp_path_factory.mktemp("models") / "layered", settings, networks)


@pytest.fixture
def standin_parts() -> RegionalHeads:
    """Settings and ONNX bytes of the stand-in model, to be changed and written with `write_model`."""
    settings, networks = _standin_parts()
    return copy.deepcopy(settings), networks


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of 30 phantoms 64 pixels wide, with cases of every split; read-only."""
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set", 30, Settings(size=64)).folder


@pytest.fixture
def make_localizer() -> Callable[..., bytes]:
    return localizer_bytes


@pytest.fixture
def make_regressor() -> Callable[..., bytes]:
    return regressor_bytes


@pytest.fixture
def hand_pixels() -> Callable[..., npt.NDArray[np.uint8]]:
    """Draw a hand: `hand_pixels(width=120, height=150)` -> uint8 [height, width]."""
    return _hand


@pytest.fixture
def hand() -> Radiograph:
    return Radiograph.from_values(_hand(), file="hand.png")


@pytest.fixture
def hand_file(tmp_path: Path) -> Path:
    """A hand as a PNG file."""
    path = tmp_path / "hand.png"
    Image.fromarray(_hand()).save(path)
    return path


@pytest.fixture
def gated_model(tmp_path: Path, standin_parts: RegionalHeads) -> Callable[..., Path]:
    """Makes a model folder whose gate sees every image as one of `KINDS`, rotated by so many degrees."""

    def make(kind: int, degrees: float = 0.0) -> Path:
        return write_model(tmp_path / f"gated-{kind}-{degrees:.0f}", *with_gate(standin_parts, kind, degrees))

    return make


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """`tests/training/toy.py`: a training set and recipes that train in seconds. It needs torch."""
    file = Path(__file__).parent / "training" / "toy.py"
    spec = importlib.util.spec_from_file_location("boneage_toy", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Refuses(Protocol):
    """`with refuses(UsageError, "unknown_sex"): ...`: the block raises that kind of error, with that code."""

    def __call__(self, kind: type[BoneAgeError], code: str) -> AbstractContextManager[None]: ...


@pytest.fixture
def refuses() -> Refuses:
    @contextmanager
    def expect(kind: type[BoneAgeError], code: str) -> Iterator[None]:
        with pytest.raises(kind) as raised:
            yield
        assert raised.value.code == code, raised.value

    return expect
