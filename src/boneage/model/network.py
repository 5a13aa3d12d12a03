"""One network of a model, run by ONNX Runtime; this module alone imports that library."""

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

DISTRIBUTION: Final = "distribution"
"""Output of an age network, float32 [n, 240]."""
FEATURES: Final = "features"
"""Output of an age network: the penultimate activations without the sex, float32 [n, C]. Where the network sees each
view by itself, C is views * channels, one view after the other."""
_RESTORE: Final = "Copy the model folder again, or install the package again"
_EXPORT: Final = "Export it again with this version of boneage"


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
        sha256: of the file; empty where the network is not part of a model folder yet.
        threads: threads for one run; None for all available cores.
    """

    name: str
    path: Path
    input_size: int
    sha256: str = ""
    threads: int | None = None

    @cached_property
    def session(self) -> Any:
        try:
            return open_session(self.path, threads=self.threads)
        except Exception as error:
            # ONNX Runtime's own exceptions share no public base class.
            raise ModelError(
                f"{self.path}: ONNX Runtime cannot open this network ({error}). {_RESTORE}.",
                code="network_does_not_open",
            ) from error

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the network and return all of its outputs, float32, by name.

        Raises:
            ModelError: the network cannot be opened, lacks an input, or does not take that shape.
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
                f"(its inputs are {has}): {error}. {_EXPORT}.",
                code="network_does_not_run",
            ) from error
        return {name: np.asarray(value, dtype=np.float32) for name, value in zip(names, values, strict=True)}

    def try_out(self, channels: int) -> None:
        """Run the network once on a black image.

        Args:
            channels: views of an age network; 1 for others.

        Raises:
            ModelError: see `run`.
        """
        feeds: dict[str, npt.NDArray[Any]] = {}
        for entry in self.session.get_inputs():
            if entry.type == "tensor(uint8)":
                feeds[entry.name] = np.zeros((1, channels, self.input_size, self.input_size), np.uint8)
            else:
                feeds[entry.name] = np.ones((1, 1), np.float32)
        self.run(feeds)

    def output(self, answers: Mapping[str, npt.NDArray[np.float32]], name: str) -> npt.NDArray[np.float32]:
        """One of the outputs of `run`.

        Raises:
            ModelError: the network has no such output.
        """
        if name not in answers:
            raise ModelError(
                f"{self.path}: the network '{self.name}' gives {', '.join(answers)}, not '{name}'. {_EXPORT}.",
                code="network_lacks_output",
            )
        return answers[name]
