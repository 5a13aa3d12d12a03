"""One fit, with Lightning: it can be killed at any moment and goes on from its last finished epoch."""

from __future__ import annotations

import csv
import io
import logging
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader

from boneage.atomic import replacing, write_atomically
from boneage.errors import TrainingError
from boneage.training.data.views_data import EpochOrder, ViewsData
from boneage.training.recipes.settings import Schedule
from boneage.training.run.hardware import Machine, keep_freed_memory, return_freed_memory
from boneage.training.run.learner import Learner

CHECKPOINTS, LOG, CURVE = "checkpoints", "log.csv", "curve.png"


def steps_per_epoch(cases: int, schedule: Schedule, machine: Machine) -> int:
    """How many steps one epoch has."""
    return len(_order(cases, schedule, 0, [(0, 0)], machine))


def fit(
    learner: Learner,
    train: ViewsData,
    validation: ViewsData,
    folder: Path,
    schedule: Schedule,
    machine: Machine,
    label: str,
) -> nn.Module:
    """Train to the end, from the last checkpoint of `folder` where there is one.

    Args:
        learner: network and loss; its `steps_per_epoch` is that of `steps_per_epoch(len(train), ...)`.
        train: the cases to learn from; order and jitter depend on seed and epoch only.
        select: the cases on which the averaged weights are measured; nothing is learnt from them.
        folder: gets `checkpoints/` (the last epoch's), `log.csv` and `curve.png`.
        schedule: how long and how fast.
        machine: devices, workers, precision.
        label: what the progress lines call it.

    Returns:
        The averaged network, in evaluation mode on the CPU. With the same seed, data and one device it is bit for
        bit the same, whether the training was interrupted or not.

    Raises:
        TrainingError: there is too little data, the loss is no number any more, or a checkpoint cannot be read.
    """
    if len(train) == 0 or len(validation) == 0:
        raise TrainingError(
            f"{label}: {len(train)} training and {len(validation)} selection cases are left; both need at least one."
        )
    if not machine.uses_gpu:
        keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = folder / CHECKPOINTS
    _quiet()
    on_terminal = machine.progress and sys.stderr.isatty()
    trainer = lightning.Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        strategy="auto" if machine.devices == 1 else "ddp_spawn",
        precision=machine.lightning_precision,
        max_epochs=schedule.epochs,
        gradient_clip_val=schedule.gradient_clip or None,
        callbacks=[
            _History(folder, label, _measured_every(schedule)),
            _LossWatch(label),
            _Progress(label) if on_terminal else _Lines(label, machine.progress),
            ModelCheckpoint(
                dirpath=checkpoints,
                filename="epoch-{epoch:04d}",
                auto_insert_metric_name=False,
                save_top_k=1,
                save_on_train_epoch_end=True,
            ),
        ],
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=on_terminal,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=_measured_every(schedule),
        limit_val_batches=1.0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    sizes = [*([(0, train.size)] if not schedule.size_schedule or schedule.size_schedule[0][0] > 0 else [])]
    sizes += list(schedule.size_schedule)
    last = latest_checkpoint(folder)
    feed = _Feed(train, validation, schedule, learner.seed, sizes, machine, _epoch_of(last) + 1 if last else 0)
    with warnings.catch_warnings():
        _filter_warnings()
        try:
            trainer.fit(learner, feed, ckpt_path=last, weights_only=False)
        except (RuntimeError, KeyError, EOFError) as error:
            if last is None or "state_dict" not in str(error):
                raise
            raise TrainingError(
                f"{last}: this checkpoint does not fit ({error}). Remove {folder} to start anew."
            ) from error
    if trainer.interrupted:
        raise KeyboardInterrupt
    if machine.devices > 1:
        final = latest_checkpoint(folder)
        learner.load_state_dict(torch.load(str(final), map_location="cpu", weights_only=False)["state_dict"])
    average = learner.average.cpu().eval()
    if not machine.uses_gpu:
        del trainer, feed
        return_freed_memory()
    return average


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the last finished epoch, or None."""
    return max((folder / CHECKPOINTS).glob("epoch-*.ckpt"), default=None)


def _epoch_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.rpartition("-")[2])


class _Feed(lightning.LightningDataModule):
    def __init__(
        self,
        train: ViewsData,
        validation: ViewsData,
        schedule: Schedule,
        seed: int,
        sizes: list[tuple[int, int]],
        machine: Machine,
        first_epoch: int,
    ) -> None:
        super().__init__()
        self.train_data, self.validation_data = train, validation
        self.schedule, self.seed, self.sizes, self.machine = schedule, seed, sizes, machine
        self.first_epoch = first_epoch

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        rank = trainer.global_rank if trainer else 0
        order = _order(len(self.train_data), self.schedule, self.seed, self.sizes, self.machine, rank)
        # A loader's processes draw ahead before Lightning says with which epoch a resumed training begins.
        order.set_epoch(self.first_epoch)
        return DataLoader(self.train_data, batch_sampler=order, **_loading(self.machine))

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.validation_data, batch_size=32, shuffle=False, **_loading(self.machine))


def _order(
    count: int, schedule: Schedule, seed: int, sizes: list[tuple[int, int]], machine: Machine, rank: int = 0
) -> EpochOrder:
    return EpochOrder(
        count,
        max(1, schedule.batch // machine.devices),
        seed,
        sizes=sizes,
        rank=rank,
        world=machine.devices,
    )


def _loading(machine: Machine) -> dict[str, Any]:
    return {
        "num_workers": machine.workers,
        "pin_memory": machine.uses_gpu,
        "persistent_workers": machine.workers > 0,
        "prefetch_factor": 4 if machine.workers else None,
    }


def _measured_every(schedule: Schedule) -> int:
    return min(schedule.validate_every or schedule.epochs, schedule.epochs)


class _History(lightning.Callback):
    """log.csv and curve.png. The rows travel in the checkpoint, so that a resumed log has no hole and no echo."""

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
        is_measured = "select" in measured and (trainer.current_epoch + 1) % self.measured_every == 0
        row = {
            "epoch": trainer.current_epoch + 1,
            "loss": float(measured["loss"]),
            "select": float(measured["select"]) if is_measured else float("nan"),
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
    measured = [row for row in rows if not math.isnan(row["select"])]
    right.plot([row["epoch"] for row in measured], [row["select"] for row in measured], "o-", color="tab:blue")
    right.set_ylabel("error on select, averaged weights", color="tab:blue")
    left.set_title(title)
    with replacing(file) as waiting:
        figure.savefig(waiting, dpi=110, format="png")


class _LossWatch(lightning.Callback):
    def __init__(self, label: str) -> None:
        self.label = label

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not torch.isfinite(trainer.callback_metrics["loss"]):
            raise TrainingError(
                f"{self.label}: the loss is no number any more. Lower the learning rate of this stage "
                "(--set ...schedule.learning_rate=...) and go on with --resume."
            )


class _Progress(TQDMProgressBar):
    def __init__(self, label: str) -> None:
        super().__init__(refresh_rate=5)
        self.label = label

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.set_description(self.label)
        return bar


class _Lines(lightning.Callback):
    """Plain progress lines, for logs: about one in twenty seconds and one an epoch."""

    def __init__(self, label: str, spoken: bool) -> None:
        self.label, self.spoken = label, spoken
        self.began = self.said = time.monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.began = self.said = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if not self.spoken or not trainer.is_global_zero or now - self.said < 20:
            return
        self.said = now
        rate = (batch_idx + 1) * len(batch.views) * trainer.world_size / (now - self.began)
        loss = float(outputs["loss"])
        self._say(trainer, f"step {batch_idx + 1}/{trainer.num_training_batches} loss {loss:.4f} {rate:.1f} films/s")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.spoken and trainer.is_global_zero:
            measured = {
                key: float(value) for key, value in trainer.callback_metrics.items() if key in ("loss", "select")
            }
            figures = " ".join(f"{key} {value:.4f}" for key, value in measured.items())
            self._say(trainer, f"done in {time.monotonic() - self.began:.0f} s: {figures}")

    def _say(self, trainer: lightning.Trainer, text: str) -> None:
        print(
            f"{self.label}: epoch {trainer.current_epoch + 1}/{trainer.max_epochs} {text}", file=sys.stderr, flush=True
        )


def _quiet() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _filter_warnings() -> None:
    """Silence what Lightning says about choices that are made on purpose here."""
    for message in (
        r".*does not have many workers.*",
        r".*Checkpoint directory .* exists and is not empty.*",
        r".*The number of training batches .* is smaller than the logging interval.*",
        r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message)
