"""Options for how a training uses the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from boneage.errors import UsageError

if TYPE_CHECKING:
    from boneage.training.run.hardware import Machine

Workers = Annotated[int, typer.Option(min=0, help="Processes that cut views in advance of the training.")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu or gpu.")]
Precision = Annotated[
    str, typer.Option(help="auto (32 bits on a CPU, mixed on a GPU), 32-true, 16-mixed or bf16-mixed.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]

_ACCELERATORS: Final = ("auto", "cpu", "gpu")
_PRECISIONS: Final = ("auto", "32-true", "16-mixed", "bf16-mixed")


def machine_of(workers: int, accelerator: str, precision: str, *, quiet: bool, devices: int = 1) -> Machine:
    """The machine that the options describe.

    Raises:
        UsageError: an unknown accelerator or precision (codes `unknown_accelerator`, `unknown_precision`).
    """
    from boneage.training.run.hardware import Machine

    if accelerator not in _ACCELERATORS:
        raise UsageError(f"--accelerator {accelerator}: give {_either(_ACCELERATORS)}.", code="unknown_accelerator")
    if precision not in _PRECISIONS:
        raise UsageError(f"--precision {precision}: give {_either(_PRECISIONS)}.", code="unknown_precision")
    kind: Any = accelerator
    return Machine(devices=devices, workers=workers, accelerator=kind, precision=precision, progress=not quiet)


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
