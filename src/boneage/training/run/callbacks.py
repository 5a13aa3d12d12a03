"""What happens beside the learning: the log, the curve, progress, and a stop when the loss is not finite."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from boneage.atomic import replacing, write_atomically
from boneage.errors import TrainingError

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


class ProgressBar(TQDMProgressBar):
    """A bar for terminals, which names the network."""

    def __init__(self, label: str) -> None:
        super().__init__(refresh_rate=5)
        self.label = label

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.set_description(self.label)
        return bar


class ProgressLines(lightning.Callback):
    """Plain progress lines for logs: about one every twenty seconds and one after each epoch."""

    def __init__(self, label: str, *, shown: bool) -> None:
        self.label, self.shown = label, shown
        self.began = self.printed = time.monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.began = self.printed = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if not self.shown or not trainer.is_global_zero or now - self.printed < 20:
            return
        self.printed = now
        rate = (batch_idx + 1) * len(batch.views) * trainer.world_size / (now - self.began)
        loss = float(outputs["loss"])
        self._print(trainer, f"step {batch_idx + 1}/{trainer.num_training_batches} loss {loss:.4f} {rate:.1f} images/s")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.shown and trainer.is_global_zero:
            measured = {
                key: float(value) for key, value in trainer.callback_metrics.items() if key in ("loss", "validation")
            }
            figures = " ".join(f"{key} {value:.4f}" for key, value in measured.items())
            self._print(trainer, f"done in {time.monotonic() - self.began:.0f} s: {figures}")

    def _print(self, trainer: lightning.Trainer, text: str) -> None:
        print(
            f"{self.label}: epoch {trainer.current_epoch + 1}/{trainer.max_epochs} {text}", file=sys.stderr, flush=True
        )


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
