"""The stage that trains the gate and sets its thresholds on *validation*."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from boneage.model.document import GateSettings as Thresholds
from boneage.model.folder import load_model
from boneage.model.network import Network
from boneage.pipeline.gate import HAND, KINDS, Gate, GateOutput
from boneage.training.data.views_data import FromTable
from boneage.training.gate.examples import GateData
from boneage.training.gate.gate_network import GateLearner, GateNetwork, GatePort, fit_ood_score
from boneage.training.localization.regions_table import RegionsTable
from boneage.training.networks.export import export_student
from boneage.training.recipes.settings import NO_AUGMENTATION, GateSettings
from boneage.training.run.training_run import NETWORK_FILE, TrainingRun

NAME = "gate"


def train_gate(run: TrainingRun, settings: GateSettings, regions: RegionsTable, key: str) -> tuple[Network, Thresholds]:
    """Train and export the gate, and set its thresholds on *validation*.

    Args:
        regions: of every image; images are cut off at region 1.
        key: of what the regions depend on.

    Returns:
        The exported network and its thresholds.
    """
    # Which radiographs are rotated does not change how the gate learns.
    stage = run.stage(NAME, dataclasses.replace(settings, tilt_degrees=0.0), key)
    network = Network(NAME, stage.folder / NETWORK_FILE, settings.size)
    if not stage.complete:
        stage.begin()
        torch.manual_seed(run.recipe.seed)
        chances = dataclasses.replace(NO_AUGMENTATION, overlays=settings.overlays, fields=settings.fields)
        data = run.data(GateData, [], FromTable(regions), size=settings.size, augmentation=chances)
        gate = run.fit(
            GateNetwork(settings, start=run.recipe.pretrained),
            lambda network, steps: GateLearner(network, settings, seed=run.recipe.seed, steps_per_epoch=steps),
            data,
            stage=stage,
            schedule=settings.schedule,
            label=NAME,
        )
        fit_ood_score(gate, data[0])
        export_student(GatePort(gate), network.path, size=settings.size, outputs=list(GatePort.OUTPUTS), half=False)
        open_gate = Gate(network, _thresholds(0.0, 1e9, settings.tilt_degrees))
        outputs = [open_gate.examine(run.training_set.images.image(case.id)) for case in run.training_set.validation]
        min_hand, max_score = choose_thresholds(outputs, settings.refused)
        stage.finish(min_hand_probability=min_hand, max_ood_score=max_score)
    facts: dict[str, Any] = dict(stage.facts)
    return network, _thresholds(facts["min_hand_probability"], facts["max_ood_score"], settings.tilt_degrees)


def take_over_gate(folder: str, settings: GateSettings) -> tuple[Network, Thresholds] | None:
    """The gate of a finished model, with the `tilt_degrees` of `settings`, or None where it has none."""
    model = load_model(folder)
    gate = model.settings.gate
    if gate is None:
        return None
    return model.networks[gate.network], gate.model_copy(update={"tilt_degrees": settings.tilt_degrees})


def choose_thresholds(outputs: list[GateOutput], refused: float) -> tuple[float, float]:
    """The smallest probability of a hand and the largest out-of-distribution score that pass.

    Each refuses at most half of the share `refused` of these images.
    """
    hands = np.sort([output.kinds[KINDS.index(HAND)] for output in outputs])
    scores = np.sort([output.ood_score for output in outputs])[::-1]
    left_out = int(len(outputs) * refused / 2)
    return float(min(0.5, hands[left_out])), float(scores[left_out] * 1.1)


def _thresholds(min_hand: float, max_score: float, tilt_degrees: float) -> Thresholds:
    return Thresholds(network=NAME, min_hand_probability=min_hand, max_ood_score=max_score, tilt_degrees=tilt_degrees)
