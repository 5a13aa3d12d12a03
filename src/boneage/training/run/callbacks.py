"""What happens beside the learning: the log, the curve, progress, and a stop when the loss is not finite."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning
import torch

from boneage.atomic import replacing, write_atomically
from boneage.errors import TrainingError
from boneage.progress import Advance, progress, say

LOG, CURVE = "log.csv", "curve.png"


class History(lightning.Callback):
    """Writes log.csv and curve.png. Its rows are part of the checkpoint: a resumed log misses and repeats nothing."""

    def __init__(self, folder: Path, label: str, measured_every: int) -> None:
        self.folder, self.label, self.measured_every = folder, label, measured_every
        self.rows: list[dict[str, float]] = []
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        measured = trainer.callback_metrics
        is_measured = "validation" in measured and (trainer.current_epoch + 1) % self.measured_every == 0
        row = {
            "epoch": trainer.current_epoch + 1,
            "loss": float(measured["loss"]),
            "validation": float(measured["validation"]) if is_measured else float("nan"),
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": round(time.monotonic() - self.started, 1),
        }
        self.rows.append(row)
        if not trainer.is_global_zero:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(row))
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / LOG, text.getvalue())
        _draw_curve(self.rows, self.folder / CURVE, self.label)


class LossWatch(lightning.Callback):
    """Stops a training whose loss is not finite."""

    def __init__(self, label: str) -> None:
        self.label = label

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not torch.isfinite(trainer.callback_metrics["loss"]):
            raise TrainingError(
                f"{self.label}: the loss is NaN or infinite. Lower the learning rate of this stage "
                "(--set ...schedule.learning_rate=...) and go on with --resume.",
                code="loss_not_finite",
            )


class ProgressReport(lightning.Callback):
    """Shows how many steps of a fit are done; where no terminal shows a bar, also one line after each epoch."""

    def __init__(self, label: str, *, quiet: bool) -> None:
        self.label, self.quiet = label, quiet
        self.shown = ExitStack()
        self.advance: Advance | None = None
        self.started = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.quiet = self.quiet or not trainer.is_global_zero
        steps = int(trainer.max_epochs or 0) * int(trainer.num_training_batches)
        self.advance = self.shown.enter_context(progress(f"Training {self.label}, steps", steps, quiet=self.quiet))
        if trainer.global_step:
            self.advance(trainer.global_step)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.advance:
            self.advance()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        measured = {
            key: float(value) for key, value in trainer.callback_metrics.items() if key in ("loss", "validation")
        }
        figures = " ".join(f"{key} {value:.4f}" for key, value in measured.items())
        say(
            f"{self.label}: epoch {trainer.current_epoch + 1} of {trainer.max_epochs} done in "
            f"{time.monotonic() - self.started:.0f} s: {figures}",
            quiet=self.quiet or (sys.stderr is not None and sys.stderr.isatty()),
        )

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.shown.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self.shown.close()


def _draw_curve(rows: list[dict[str, float]], file: Path, title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    epochs = [row["epoch"] for row in rows]
    left.plot(epochs, [row["loss"] for row in rows], "o-", color="tab:gray")
    left.set_xlabel("epoch")
    left.set_ylabel("training loss")
    right = left.twinx()
    measured = [row for row in rows if not math.isnan(row["validation"])]
    right.plot([row["epoch"] for row in measured], [row["validation"] for row in measured], "o-", color="tab:blue")
    right.set_ylabel("error on validation, averaged weights", color="tab:blue")
    left.set_title(title)
    with replacing(file) as waiting:
        figure.savefig(waiting, dpi=110, format="png")
