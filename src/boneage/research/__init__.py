"""`boneage reproduce`: the paper's tables and figures, and the questions that it left open, on any data set.

Where is Table III? In `experiments/table3.py`: every experiment is one file with the name that the command line takes.

    experiments/        what is compared: table1 ... table5, figure1, figure3 ... figure5, and beyond the paper delta,
                        fusion, baselines, end_to_end, ...; the list is in experiments/__init__.py
    scales/             with which networks, sizes and epochs: paper.py, compact.py, tiny.py
    reproduce           from the options of the command to files in a folder
    runner              the data, phase I and the cells of one folder; every cell is trained once and kept
    age_cells           a cell of a table: an age network and its predictions on *test*
    localizer_cells     a cell of Table I: a localizer and the overlap of its boxes with readers'
    adapters            how the kinds of age network are trained and measured alike
    compare             tables of age cells (Tables II to V): train, measure, compare case by case
    tau_table           tables of localizer cells (Table I)
    attention_sheet     sheets of images, attention maps and views (Figures 1 and 3)
    results             a table as CSV, Markdown and PNG
    baselines/          other methods' designs
    networks/           networks that only experiments train: L1, end to end

In Python: `run_experiments(ExperimentRunner(dataset, find_scale("tiny"), out, machine), ["table3"])`.
The lists of experiments and scales need no training library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boneage.research.experiments import EXPERIMENTS
from boneage.research.scales import SCALES, Scale, find_scale

if TYPE_CHECKING:
    from boneage.research.reproduce import run_experiments
    from boneage.research.runner import ExperimentRunner

__all__ = ["EXPERIMENTS", "SCALES", "ExperimentRunner", "Scale", "find_scale", "run_experiments"]


def __getattr__(name: str) -> object:
    # On first use: the runner imports torch, and the list of experiments must not.
    if name == "ExperimentRunner":
        from boneage.research.runner import ExperimentRunner

        return ExperimentRunner
    if name == "run_experiments":
        from boneage.research.reproduce import run_experiments

        return run_experiments
    raise AttributeError(f"module 'boneage.research' has no attribute '{name}'")
