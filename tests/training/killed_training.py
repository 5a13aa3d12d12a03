"""Kills a training in every stage, starting it again each time; run by test_killed.py in a process of its own.

Each attempt is a forked child: torch is imported once, and nothing is computed before the fork. The hook sends
SIGKILL, which nobody can catch.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from boneage.training.age import model_parts
from boneage.training.networks import export
from boneage.training.pipeline import train_on
from boneage.training.recipes.recipe import Recipe
from boneage.training.run import callbacks, stage
from boneage.training.run.hardware import Machine

spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
assert spec is not None
assert spec.loader is not None
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)

REGIONS = ("hand", "region_1", "region_2")


@dataclass(frozen=True)
class Kill:
    """One kill: `how` in a stage: "epoch" (amid the second one of a fit), "export" (the weights are on disk, the
    exported network is not), "end" (everything is there but the marker) or "model" (the model is not written).
    """

    how: str
    stage: str


CHAIN = [
    *(
        Kill(how, f"{kind}-{region}")
        for region in REGIONS
        for how, kind in (("epoch", "localizer"), ("end", "maps"), ("epoch", "tau"))
    ),
    Kill("end", "tau-region_2"),
    Kill("epoch", "student"),
    Kill("end", "tau-student"),
    Kill("end", "regions"),
    Kill("epoch", "regressor"),
    Kill("end", "calibration"),
]
COMPACT = [
    Kill("epoch", "localizer-hand"),
    Kill("export", "localizer-hand"),
    Kill("end", "maps-hand"),
    Kill("epoch", "localizer-region_1"),
    Kill("end", "localizer-region_1"),
    Kill("end", "population"),
    Kill("export", "prior-region_1"),
    Kill("end", "prior-region_1"),
    Kill("end", "maps-region_1"),
    Kill("epoch", "tau-region_1"),
    Kill("end", "tau-region_1"),
    Kill("end", "prior-region_2"),
    Kill("end", "maps-region_2"),
    Kill("epoch", "tau-region_2"),
    Kill("epoch", "student"),
    Kill("export", "student"),
    Kill("end", "tau-student"),
    Kill("end", "regions"),
    Kill("epoch", "regressor"),
    Kill("export", "regressor"),
    Kill("end", "calibration"),
    Kill("model", "calibration"),
]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill: Kill) -> None:
    """Lay the trap in this process."""

    def second_epoch(self: object, trainer: object, *rest: object) -> None:
        if self.folder.name == kill.stage and trainer.current_epoch == 1:  # type: ignore[attr-defined]
            die()

    def die_or_finish(self: stage.Stage, **facts: object) -> None:
        if self.folder.name == kill.stage:
            die()
        finish(self, **facts)

    def die_or_write(path: Path, content: bytes) -> None:
        if path.parent.name == kill.stage:
            die()
        write(path, content)

    def die_or_write_model(folder: Path, *rest: object, **options: object) -> Path:
        if folder.name == model_parts.MODEL_FOLDER:
            die()
        return write_model(folder, *rest, **options)  # type: ignore[arg-type]

    finish, write, write_model = stage.Stage.finish, export.write_atomically, model_parts.write_model
    if kill.how == "epoch":
        callbacks.History.on_train_batch_end = second_epoch  # type: ignore[method-assign, assignment]
    elif kill.how == "end":
        stage.Stage.finish = die_or_finish  # type: ignore[method-assign, assignment]
    elif kill.how == "export":
        export.write_atomically = die_or_write  # type: ignore[assignment]
    else:
        model_parts.write_model = die_or_write_model  # type: ignore[assignment]


def train(recipe: Recipe, out: Path) -> None:
    torch.set_num_threads(1)
    train_on(recipe, toy.toy_training_set(), out, Machine(accelerator="cpu", progress=False))


def attempt(recipe: Recipe, out: Path, kill: Kill | None = None) -> int:
    """The signal that ended a forked training, 0 where it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            if kill:
                arm(kill)
            train(recipe, out)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a training failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if __name__ == "__main__":
    which, whole, killed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if which == "compact":
        toy.give_valleys()
    recipe = toy.compact_recipe() if which == "compact" else toy.toy_recipe("student=true")
    for kill in COMPACT if which == "compact" else CHAIN:
        assert attempt(recipe, killed, kill) == signal.SIGKILL, kill
        print(kill.stage, kill.how)
    assert attempt(recipe, killed) == 0
    assert attempt(recipe, whole) == 0
