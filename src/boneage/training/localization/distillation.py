"""The stages that replace a chain of localizers by one student network."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import torch

from boneage.model.folder import Localizer as LocalizerStep
from boneage.model.folder import Network
from boneage.regions import Region
from boneage.training.data.views_data import FromTable
from boneage.training.localization.chain import LocalizerChain
from boneage.training.localization.student import OUTPUTS, Student, StudentData, StudentLearner, stride_of
from boneage.training.networks.export import export_student
from boneage.training.run.stage import key_of, sha256_of
from boneage.training.run.training_run import NETWORK_FILE, TrainingRun

STUDENT_GRID: Final = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)


def distil(run: TrainingRun, chain: LocalizerChain) -> LocalizerChain:
    """Train one network for all regions on the chain's boxes; it takes the chain's place where the recipe says so."""
    if not run.recipe.student:
        return chain
    settings, seed = run.recipe.student_network, run.recipe.seed
    # The tau of its masks does not change the training.
    stage = run.stage("student", dataclasses.replace(settings, tau=0.5), chain.key)
    file = stage.folder / NETWORK_FILE
    if not stage.complete:
        stage.begin()
        table = run.finder.regions(chain.steps, run.training_set.ids, chain.maps)
        torch.manual_seed(seed)
        student = Student(settings, start=run.recipe.pretrained)
        data = run.data(StudentData, [], FromTable(table), size=settings.size, augmentation=settings.augmentation)
        for part in data:
            part.stride = stride_of(student, settings.size)
        student = run.fit(
            student,
            lambda network, steps: StudentLearner(network, settings, seed=seed, steps_per_epoch=steps),
            data,
            stage=stage,
            schedule=settings.schedule,
            label="student",
        )
        export_student(student, file, size=settings.size, outputs=OUTPUTS, half=run.recipe.fp16_weights)
        stage.finish()
    shared = Network("localizer", file, settings.size, threads=1)
    uncut = tuple(
        LocalizerStep(
            region,
            shared,
            "O",
            settings.tau or 0.5,
            smallest=run.settings(region).smallest,
            output=output,
            average_mirror=settings.average_mirror,
        )
        for region, output in zip(Region, OUTPUTS, strict=True)
    )
    steps = uncut if settings.tau is not None else _choose_tau(run, uncut, chain)
    shape = [(step.tau, step.smallest) for step in steps]
    return LocalizerChain(key_of(chain.key, sha256_of(file), settings, shape), steps, origin=chain.origin)


def _choose_tau(
    run: TrainingRun, student: tuple[LocalizerStep, ...], teachers: LocalizerChain
) -> tuple[LocalizerStep, ...]:
    """The student with the tau at which its boxes overlap most, on average, with its teachers' boxes on *validation*.

    At one half of its height a soft mask is wider than the boxes that it was taught, because these vary.
    """
    shape = [(step.smallest, step.average_mirror) for step in student]
    stage = run.stage("tau-student", sha256_of(student[0].network.path), shape, teachers.key, STUDENT_GRID)
    if not stage.complete:
        stage.begin()
        ids = [case.id for case in run.training_set.validation]
        taught = run.finder.regions(teachers.steps, ids, teachers.maps)
        seen = run.finder.each(student, ids, known={}, kept=lambda found: found.attention, what="maps of the student")
        maps = {step.region: {case_id: seen[case_id][step.region].map for case_id in ids} for step in student}
        overlap: dict[str, dict[str, float]] = {step.region.value: {} for step in student}
        for tau in STUDENT_GRID:
            cut = run.finder.regions([dataclasses.replace(step, tau=tau) for step in student], ids, maps)
            for step in student:
                shared = [
                    cut[case_id].boxes[step.region].intersection_over_union(taught[case_id].boxes[step.region])
                    for case_id in ids
                    if step.region not in taught[case_id].missing
                ]
                overlap[step.region.value][str(tau)] = round(float(np.mean(shared)) if shared else 0.0, 4)
        best = {region: float(max(of_tau, key=lambda tau: of_tau[tau])) for region, of_tau in overlap.items()}
        stage.finish(tau=best, validation_overlap_with_teachers=overlap)
    return tuple(dataclasses.replace(step, tau=float(stage.facts["tau"][step.region.value])) for step in student)
