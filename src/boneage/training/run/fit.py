"""One fit, with Lightning. Killed at any moment, it goes on from its last finished epoch."""

from __future__ import annotations

import logging
import signal
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn
from torch.utils.data import DataLoader

from boneage.errors import TrainingError
from boneage.training.data.views_data import EpochOrder, ViewsData
from boneage.training.recipes.settings import Schedule
from boneage.training.run.callbacks import History, LossWatch, ProgressReport
from boneage.training.run.hardware import Machine, keep_freed_memory, return_freed_memory
from boneage.training.run.learner import Learner

CHECKPOINTS = "checkpoints"


def steps_per_epoch(cases: int, schedule: Schedule, machine: Machine) -> int:
    """The number of steps of one epoch."""
    return len(_order(cases, schedule, seed=0, sizes=[(0, 0)], machine=machine))


def fit(
    learner: Learner,
    train: ViewsData,
    validation: ViewsData,
    folder: Path,
    *,
    schedule: Schedule,
    machine: Machine,
    label: str,
) -> nn.Module:
    """Train to the end, from the last checkpoint of `folder` where there is one.

    Args:
        learner: network and loss; its `steps_per_epoch` is that of `steps_per_epoch(len(train), ...)`.
        train: the training cases; their order and augmentation depend on seed and epoch only.
        validation: the cases on which the averaged weights are measured; nothing is learned from them.
        folder: gets `checkpoints/` (the last epoch's), `log.csv` and `curve.png`.
        schedule: how long and how fast.
        machine: devices, workers, precision.
        label: the network's name in progress lines.

    Returns:
        The averaged network, in evaluation mode on the CPU. With the same seed, the same data and one device, an
        interrupted training gives the same weights bit for bit.

    Raises:
        TrainingError: a split is empty, the loss is not finite, or a checkpoint does not fit.
        SystemExit: with status 143, the system asked the process to end (SIGTERM).
    """
    if len(train) == 0 or len(validation) == 0:
        raise TrainingError(
            f"{label}: {len(train)} training and {len(validation)} validation cases are left; both need at least one.",
            code="no_cases",
        )
    if not machine.uses_gpu:
        keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = folder / CHECKPOINTS
    _silence_loggers()
    trainer = lightning.Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        strategy="auto" if machine.devices == 1 else "ddp_spawn",
        precision=machine.lightning_precision,
        max_epochs=schedule.epochs,
        gradient_clip_val=schedule.gradient_clip or None,
        callbacks=[
            History(folder, label, _measured_every(schedule)),
            LossWatch(label),
            ProgressReport(label, quiet=not machine.progress),
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
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=_measured_every(schedule),
        limit_val_batches=1.0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    sizes = [*([(0, train.size)] if not schedule.size_schedule or schedule.size_schedule[0][0] > 0 else [])]
    sizes += list(schedule.size_schedule)
    last = latest_checkpoint(folder)
    feed = _Feed(
        train,
        validation,
        schedule=schedule,
        seed=learner.seed,
        sizes=sizes,
        machine=machine,
        first_epoch=_epoch_of(last) + 1 if last else 0,
    )
    with warnings.catch_warnings():
        _filter_warnings()
        try:
            trainer.fit(learner, feed, ckpt_path=last, weights_only=False)
        except SIGTERMException as error:
            # Lightning's carries no status: whoever waits for the training would take it for finished.
            raise SystemExit(128 + signal.SIGTERM) from error
        except (RuntimeError, KeyError, EOFError) as error:
            if last is None or "state_dict" not in str(error):
                raise
            raise TrainingError(
                f"{last}: this checkpoint does not fit ({error}). Remove {folder} to start anew.",
                code="checkpoint_does_not_fit",
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
        order = _order(
            len(self.train_data), self.schedule, seed=self.seed, sizes=self.sizes, machine=self.machine, rank=rank
        )
        # A loader's processes draw ahead before Lightning sets the first epoch of a resumed training.
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


def _silence_loggers() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _filter_warnings() -> None:
    """Silence Lightning's warnings about choices that are made on purpose here."""
    for message in (
        r".*does not have many workers.*",
        r".*Checkpoint directory .* exists and is not empty.*",
        r".*The number of training batches .* is smaller than the logging interval.*",
        r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message)
