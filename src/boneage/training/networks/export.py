"""torch -> ONNX, preprocessing inside, checked against torch before anybody may use it."""

from __future__ import annotations

import copy
import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from boneage.atomic import write_atomically
from boneage.errors import TrainingError
from boneage.model.network import open_session
from boneage.training.localization.prior import PriorLocalizer
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.backbone import round_to_half
from boneage.training.networks.localizer import Localizer
from boneage.training.networks.losses import expectation
from boneage.training.recipes.settings import ViewName

OPSET = 17
AGE_TOLERANCE_MONTHS = 0.01
MAP_TOLERANCE = 1e-3
"""Of the map's largest magnitude."""
_HALF = ".half"
_HALF_FROM = 1024
"""Numbers in a tensor from which half precision is worth a cast."""


class _LocalizerPort(nn.Module):
    def __init__(self, network: Localizer | PriorLocalizer) -> None:
        super().__init__()
        self.network = network

    def forward(self, view: Tensor) -> Tensor:
        return self.network.attention(view)


class _RegressorPort(nn.Module):
    def __init__(self, network: AgeRegressor) -> None:
        super().__init__()
        self.network = network

    def forward(self, views: Tensor, sex: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features = self.network.penultimate(views)
        return torch.softmax(self.network.answer_of(features, sex), dim=1), features


def export_localizer(network: Localizer | PriorLocalizer, file: Path, size: int, *, half: bool = True) -> Path:
    """Write a localizer: `view` uint8 [n, 1, S, S] -> `attention` float32 [n, m, m] (Eq. 2, negatives not clipped).

    Args:
        network: trained; it is not changed.
        file: the .onnx file to write.
        size: S.
        half: store large weights in half precision.

    Raises:
        TrainingError: ONNX Runtime and torch do not agree.
    """
    return _export(_LocalizerPort(network), file, feeds={"view": _noise(1, size)}, outputs=["attention"], half=half)


def export_student(network: nn.Module, file: Path, size: int, outputs: list[str], *, half: bool = True) -> Path:
    """Write a network with one map for each region: `view` uint8 [n, 1, S, S] -> `outputs` float32 [n, m, m] each."""
    return _export(network, file, feeds={"view": _noise(1, size)}, outputs=outputs, half=half)


def export_regressor(
    network: AgeRegressor, file: Path, views: tuple[ViewName, ...], size: int, *, half: bool = True
) -> Path:
    """Write an age network: `views` uint8 [n, v, S, S] and, where it has a sex embedding, `sex` float32 [n, 1] ->
    `distribution` float32 [n, 240] and `features` float32 [n, v * C], the penultimate activations of one view after the
    other (of a network with fusion="stacked": float32 [n, C] of all views together).

    Raises:
        TrainingError: ONNX Runtime and torch differ by more than 0.01 month.
    """
    feeds = {"views": _noise(len(views), size)}
    if network.sex is not None:
        feeds["sex"] = torch.tensor([[1.0], [-1.0], [1.0]])
    return _export(_RegressorPort(network), file, feeds=feeds, outputs=["distribution", "features"], half=half)


def _noise(channels: int, size: int) -> Tensor:
    """Three smooth random views and their like."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (3, channels, 7, 7)).astype(np.float32))
    fine = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255)
    return fine.to(torch.uint8)


def _export(network: nn.Module, file: Path, feeds: dict[str, Tensor], outputs: list[str], half: bool) -> Path:
    network = copy.deepcopy(network).cpu().float().eval().to(memory_format=torch.contiguous_format)
    if half:
        round_to_half(network)
    names = list(feeds)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The TorchScript exporter is kept: it writes smaller files twenty times as fast, and stays with
        # opset 17, which older releases of ONNX Runtime read as well.
        warnings.filterwarnings("ignore", ".*legacy TorchScript-based ONNX export.*", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*Constant folding.*", UserWarning)
        torch.onnx.export(
            network,
            tuple(feeds.values()),
            stream,  # type: ignore[arg-type]
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in (*names, *outputs)},
            opset_version=OPSET,
            dynamo=False,
            # Batch norm stays apart, so that the rounded weights are the very ones that torch has here. ONNX
            # Runtime folds it when it loads the network.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    data = stored_in_half(stream.getvalue()) if half else stream.getvalue()
    _compare(network, data, feeds=feeds, outputs=outputs, file=file)
    write_atomically(file, data)
    return file


def exported_weights(file: Path) -> dict[str, Tensor]:
    """The weights that an export holds, by their names in the torch network: float32, rounded where it stores halves.

    Counters that only training keeps are not among them.
    """
    import onnx
    from onnx import numpy_helper

    return {
        tensor.name.removeprefix("network.").removesuffix(_HALF): torch.from_numpy(
            numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in onnx.load(file).graph.initializer
        if tensor.name.startswith("network.")
    }


def stored_in_half(data: bytes) -> bytes:
    """An ONNX network whose large float32 weights are stored as float16 and cast when it is loaded.

    It computes in float32, its inputs and outputs stay as they are; the file is half as large.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(data)
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.ndim < 2 or values.size < _HALF_FROM:
            continue
        name = tensor.name
        stored = numpy_helper.from_array(values.astype(np.float16), f"{name}{_HALF}")
        graph.initializer.remove(tensor)
        graph.initializer.append(stored)
        casts.append(helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _compare(network: nn.Module, data: bytes, feeds: dict[str, Tensor], outputs: list[str], file: Path) -> None:
    session = open_session(data)
    for count in (len(next(iter(feeds.values()))), 1):
        batch = {name: value[:count] for name, value in feeds.items()}
        with torch.inference_mode():
            expected = network(*batch.values())
        expected = (expected,) if isinstance(expected, Tensor) else expected
        got = session.run(outputs, {name: value.numpy() for name, value in batch.items()})
        for name, ours, theirs in zip(outputs, expected, got, strict=True):
            difference, limit = _difference(name, ours, theirs)
            if not difference <= limit:
                raise TrainingError(
                    f"{file}: '{name}' of the exported network differs from torch by {difference:.2g} "
                    f"(allowed: {limit:g}). Export it without half precision (--set fp16_weights=false), "
                    "and report this network's name.",
                    code="export_differs",
                )


def _difference(name: str, ours: Tensor, theirs: npt.NDArray[np.float32]) -> tuple[float, float]:
    other = torch.from_numpy(theirs)
    if name == "distribution":
        difference = expectation(ours.clamp(min=1e-30).log()) - expectation(other.clamp(min=1e-30).log())
        return float(difference.abs().max()), AGE_TOLERANCE_MONTHS
    return float((ours - other).abs().max() / ours.abs().max().clamp(min=1e-12)), MAP_TOLERANCE
