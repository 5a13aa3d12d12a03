"""The story of an evaluation: data set -> predictions -> stress -> figures -> a folder with tables and a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boneage.assessment import NOTICE
from boneage.atomic import write_atomically
from boneage.batch import Assessing
from boneage.errors import OutputError
from boneage.evaluation import folder
from boneage.evaluation import stress as stress_suite
from boneage.evaluation.contact_sheet import PanelCollector, contact_sheet
from boneage.evaluation.localization import Truths
from boneage.evaluation.predictions import Prediction, write_predictions
from boneage.evaluation.report import Evaluation, Provenance
from boneage.evaluation.run import cases_of, run

if TYPE_CHECKING:
    from boneage.datasets import Dataset

PHANTOMS_NOTICE: Final = "Measured on phantoms, not on radiographs alone: says nothing about children."


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        assessor: must be safe to call from several threads (`Assessor.for_many`).
        model, model_sha256: what answers.
        under_stress: assesses for the stress suite, which needs the whole hand's answer alone; None: `assessor`.
        constant_half_width_months: half the width of the constant interval to compare with, where there is one.
        notice: of the model.
    """

    assessor: Assessing
    model: str
    model_sha256: str
    under_stress: Assessing | None = None
    constant_half_width_months: float | None = None
    notice: str = NOTICE


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        split: "train", "validation", "test", or "all" cases.
        truths: readers' boxes (`boneage.datasets.read_boxes`); boxed cases of other splits are localized, never scored.
        against: predictions of another model on the same data, for a paired comparison.
        panels: cases on the contact sheet; 0 for none.
        stress: assess every case again under every transform.
        stress_count: take so many of the cases for it; None for all.
        workers: radiographs that are assessed at the same time.
    """

    split: str = "test"
    truths: Truths = field(default_factory=dict)
    against: Sequence[Prediction] | None = None
    panels: int = 0
    stress: bool = False
    stress_count: int | None = None
    workers: int = 1


def evaluate_into(out: Path, subject: Subject, dataset: Dataset, plan: Plan) -> Evaluation:
    """Measure on a data set and write everything into a folder; see `boneage.evaluation.folder` for its files.

    Args:
        out: made and checked by `boneage.evaluation.folder.prepare_folder`. An older evaluation's files are replaced.

    Raises:
        DatasetError, ModelError: see `boneage.evaluation.run`.
        OutputError: a file cannot be written (code `cannot_write`).
        UsageError: `against` has none of the cases.
    """
    scored = cases_of(dataset, plan.split)
    beyond = {case for given in plan.truths.values() for case in given} - {case.id for case in scored.cases}
    boxed_only = replace(dataset, cases=tuple(case for case in dataset.cases if case.id in beyond))
    panels = PanelCollector([case.id for part in (scored, boxed_only) for case in part.cases], plan.truths, plan.panels)

    predictions = run(subject.assessor, scored, workers=plan.workers, each=panels)
    # The table first: whatever happens to the figures, hours of assessing are on disk.
    written = [out / folder.PREDICTIONS_FILE]
    write_predictions(written[0], predictions)
    localized: list[Prediction] = []
    if boxed_only.cases:
        localized = run(subject.assessor, boxed_only, workers=plan.workers, doing="Localizing", each=panels)
        written.append(out / folder.LOCALIZED_FILE)
        write_predictions(written[-1], localized)
    if dataset.dropped:
        from boneage.datasets import dropped_table

        written.append(out / folder.DROPPED_FILE)
        write_atomically(written[-1], dropped_table(dataset.dropped))
    stress_rows = None
    if plan.stress:
        written.append(out / folder.STRESS_FILE)
        stress_rows = stress_suite.run(
            subject.under_stress or subject.assessor,
            scored.cases,
            predictions,
            table=written[-1],
            count=plan.stress_count,
            workers=plan.workers,
        )
    made = Evaluation.of(
        predictions,
        _provenance(subject, dataset, plan.split),
        localized=localized,
        truths=plan.truths,
        against=plan.against,
        stress=stress_rows,
        constant_half_width_months=subject.constant_half_width_months,
    )
    try:
        written += folder.write_evaluation(made, out)
    except OutputError as error:
        message = (
            f"{error} The predictions are whole ({written[0]}), not all figures are: run again, with --force for "
            "the same folder."
        )
        raise OutputError(message, code=error.code) from error
    if panels.panels:
        written.append(out / folder.SHEET_FILE)
        contact_sheet(panels.panels, written[-1])
    folder.remove_stale(out, written)
    return made


def _provenance(subject: Subject, dataset: Dataset, split: str) -> Provenance:
    from boneage import __version__
    from boneage.datasets import has_phantoms

    return Provenance(
        model=subject.model,
        model_sha256=subject.model_sha256,
        data=dataset.name,
        splits=split,
        code_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notice=f"{PHANTOMS_NOTICE} {subject.notice}" if has_phantoms(dataset) else subject.notice,
        dropped=dict(Counter(dropped.reason for dropped in dataset.dropped)),
    )
