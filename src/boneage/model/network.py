"""One network of a model, and the step of phase I that runs it.

ONNX Runtime runs the networks, and this module alone imports it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boneage.errors import ModelError
from boneage.model.document import LocalizerSettings
from boneage.model.inner_outputs import with_outputs
from boneage.regions import Components, Region

_RESTORE: Final = "Copy the model folder again, or install the package again"


def available_cores() -> int:
    """Cores that this process may use; `OMP_NUM_THREADS` lowers the number."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores


def open_session(network: Path | bytes, *, threads: int | None = None) -> Any:
    """An ONNX Runtime session on the CPU.

    Args:
        network: an `.onnx` file, or its content.
        threads: for one run; None for all available cores.

    Returns:
        `onnxruntime.InferenceSession`.
    """
    # Read once, when the library is imported: without it a database appears in the user's cache folder and a server
    # is called.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = network if isinstance(network, bytes) else str(network)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Network:
    """One network of a model, run by ONNX Runtime; its session starts on the first use.

    Attributes:
        name: as in `model.json`.
        path: the `.onnx` file.
        input_size: side of the square views that it takes, pixels.
        sha256: of the file; empty where the network is no part of a model folder yet.
        threads: threads for one run; None for all available cores.
        also_gives: names of tensors inside the network, float32 [n, C], that are outputs as well.
    """

    name: str
    path: Path
    input_size: int
    sha256: str = ""
    threads: int | None = None
    also_gives: tuple[str, ...] = ()

    @cached_property
    def session(self) -> Any:
        try:
            source = with_outputs(self.path.read_bytes(), self.also_gives) if self.also_gives else self.path
            return open_session(source, threads=self.threads)
        except Exception as error:
            # ONNX Runtime's own exceptions share no public base class.
            raise ModelError(f"{self.path}: ONNX Runtime cannot open this network ({error}). {_RESTORE}.") from error

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the network and return all of its outputs, float32, by name.

        Raises:
            ModelError: the network lacks an input, or does not take that shape.
        """
        try:
            names = [entry.name for entry in self.session.get_outputs()]
            values = self.session.run(names, dict(feeds))
        except ModelError:
            raise
        except Exception as error:
            has = ", ".join(entry.name for entry in self.session.get_inputs())
            raise ModelError(
                f"{self.path}: the network '{self.name}' does not take {', '.join(feeds)} "
                f"(its inputs are {has}): {error}. Export it again with this version of boneage."
            ) from error
        return {name: np.asarray(value, dtype=np.float32) for name, value in zip(names, values, strict=True)}

    def output(self, answers: Mapping[str, npt.NDArray[np.float32]], name: str) -> npt.NDArray[np.float32]:
        """One of the outputs of `run`.

        Raises:
            ModelError: the network has no such output.
        """
        if name not in answers:
            raise ModelError(
                f"{self.path}: the network '{self.name}' gives {', '.join(answers)}, not '{name}'. "
                "Export it again with this version of boneage."
            )
        return answers[name]


@dataclass(frozen=True)
class Localizer:
    """One step of phase I: a network's output, where it looks, and how its map becomes a box.

    Attributes:
        region: what it finds.
        network: the network; one network may serve several regions by different outputs.
        looks_at: "O" the film, "H" the hand box, "E" the film with region 1 erased, "HE" the hand box of that.
        tau: fraction of the map's maximum (the paper's Eq. 4).
        margin: the box grows by this fraction of its own size.
        smallest: no side is shorter than this fraction of the long side of what was looked at.
        output: name of the network's output, float32 [n, m, m].
        average_mirror: mean of the maps of the view and of its mirror image.
        components: which parts of the thresholded map the box spans (`boneage.regions.box_of_map`).
    """

    region: Region
    network: Network
    input_view: str
    tau: float
    margin: float = 0.0
    smallest: float = 0.05
    output: str = "attention"
    average_mirror: bool = True
    components: Components = "largest"

    @classmethod
    def of(cls, settings: LocalizerSettings, network: Network) -> Localizer:
        return cls(
            settings.region,
            network,
            settings.input_view,
            settings.tau,
            settings.margin,
            settings.smallest,
            settings.output,
            settings.average_mirror,
            settings.components,
        )
