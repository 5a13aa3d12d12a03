"""What training asks of the machine it runs on."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from typing import Any, Literal

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


@dataclass(frozen=True)
class Machine:
    """How a training uses the machine; nothing of this changes what is learnt on one device.

    Attributes:
        devices: GPUs (or CPU processes) that train together.
        workers: processes that cut views ahead of the training; 0 cuts them in the training process.
        accelerator: Lightning's word.
        precision: Lightning's word, or "auto": 32-bit on a CPU, mixed on a GPU.
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

    A training step on a CPU allocates and frees the same hundreds of megabytes again and again. glibc takes
    blocks of that size from mmap and returns them on free, so every step pays for page faults and zeroed pages:
    half of the time for MobileNetV2. Without mmap and trimming the same step is twice as fast. Elsewhere than
    on Linux with glibc nothing happens. Resident memory stays at the highest step's need.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 256 * 2**20)


def return_freed_memory() -> None:
    """Give back what `keep_freed_memory` kept: at the end of a fit, whose tensors the next one has no use for."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
