"""How a training uses its machine."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from typing import Any, Literal

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


@dataclass(frozen=True)
class Machine:
    """How a training uses the machine. On one device, none of it changes the trained weights.

    Attributes:
        devices: GPUs (or CPU processes) that train together.
        workers: processes that cut views ahead of the training; 0 cuts them in the training process.
        accelerator: as Lightning names it.
        precision: as Lightning names it, or "auto": 32-bit on a CPU, mixed on a GPU.
        progress: show progress.
    """

    devices: int = 1
    workers: int = 0
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: str = "auto"
    progress: bool = True

    @property
    def uses_gpu(self) -> bool:
        return self.accelerator != "cpu" and torch.cuda.is_available()

    @property
    def lightning_precision(self) -> Any:
        if self.precision != "auto":
            return self.precision
        if not self.uses_gpu:
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def keep_freed_memory() -> None:
    """Let the C library keep the memory that tensors free, instead of giving it back at once.

    A training step on a CPU allocates and frees the same hundreds of megabytes again and again. glibc maps such blocks
    anew each time, and every step pays for page faults and zeroed pages: half of the time for MobileNetV2. Without
    mapping and trimming the step is twice as fast; resident memory stays at the peak. Only Linux with glibc is changed.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 256 * 2**20)


def return_freed_memory() -> None:
    """Give back what `keep_freed_memory` kept, at the end of a fit."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
