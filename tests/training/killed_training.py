"""Kills a training in every stage, starting it again each time; run by test_killed.py in a process of its own.

Each attempt is a forked child: torch is imported once, and nothing is computed before the fork. The hook sends
SIGKILL, which nobody can catch, in the middle of the second epoch of a fit, or where another stage has done its
work but has not said so yet.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import torch

from boneage.training import fit, stage
from boneage.training.hardware import Machine
from boneage.training.stages import train_on

spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
assert spec is not None
assert spec.loader is not None
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)

REGIONS = ("hand", "region_1", "region_2")
FITS = [*(f"{kind}-{region}" for region in REGIONS for kind in ("localizer", "tau")), "student", "regressor"]
OTHERS = [*(f"maps-{region}" for region in REGIONS), "tau-hand", "regions", "calibration"]


def train(out: Path, kill_in_fit: str = "", kill_at_end: str = "") -> None:
    def second_epoch(self: object, trainer: object, *rest: object) -> None:
        if self.folder.name == kill_in_fit and trainer.current_epoch == 1:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGKILL)

    finish = stage.Stage.finish

    def finish_or_die(self: stage.Stage, **facts: object) -> None:
        if self.folder.name == kill_at_end:
            os.kill(os.getpid(), signal.SIGKILL)
        finish(self, **facts)

    fit._History.on_train_batch_end = second_epoch  # type: ignore[method-assign, assignment]
    stage.Stage.finish = finish_or_die  # type: ignore[method-assign, assignment]
    torch.set_num_threads(1)
    train_on(toy.toy_recipe("student=true"), toy.toy_material(), out, Machine(accelerator="cpu", progress=False))


def attempt(out: Path, **kill: str) -> int:
    """The signal that ended a forked training, 0 where it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            train(out, **kill)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a training failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if __name__ == "__main__":
    whole, killed = Path(sys.argv[1]), Path(sys.argv[2])
    for name in FITS:
        assert attempt(killed, kill_in_fit=name) == signal.SIGKILL, name
        print(f"killed in {name}")
        if name in ("localizer-hand", "localizer-region_1", "localizer-region_2"):
            maps = name.replace("localizer", "maps")
            assert attempt(killed, kill_at_end=maps) == signal.SIGKILL, maps
            print(f"killed at the end of {maps}")
        if name == "tau-hand":
            assert attempt(killed, kill_at_end=name) == signal.SIGKILL, name
            print(f"killed at the end of {name}")
        if name == "student":
            assert attempt(killed, kill_at_end="regions") == signal.SIGKILL
            print("killed at the end of regions")
    assert attempt(killed, kill_at_end="calibration") == signal.SIGKILL
    print("killed at the end of calibration")
    assert attempt(killed) == 0
    assert attempt(whole) == 0
