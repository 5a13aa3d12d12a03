"""The tables of a data set of phantoms: labels, truth and boxes from the records of its cases."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

from boneage.ages import Sex
from boneage.atomic import write_atomically
from boneage.errors import OutputError
from boneage.phantom.truth import NOTICE
from boneage.regions import Region

FIRST_ID: Final = 1000
TABLE: Final = "boneage-training-dataset.csv"
BOX_COLUMNS: Final = ("id", "reader", "label", "x0", "y0", "x1", "y1")
_CONSISTS_OF: Final = {"region_1": {"wrist": 1, "radius": 1, "ulna": 1}, "region_2": {"mcp": 5}}
"""Both tables of boxes hold a region only where all of its bones are in the image."""
_TRUTH_COLUMNS: Final = (
    "id", "label_months", "true_bone_age_months", "true_chronological_age_months", "child", "tempo", "laterality",
    "hands", "partial", "inverted", "width", "height", "spacing_mm", "seed",
)  # fmt: skip


def read_record(root: Path, index: int) -> dict[str, Any]:
    """Read the record of a case that has been written.

    Raises:
        OutputError: the record is damaged (code `damaged_truth`).
    """
    path = root / "truth" / f"{FIRST_ID + index}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = record["label_months"], record["truth"]["bone_age_months"]
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(
            f"{path}: is damaged. Delete it and repeat the command: the case is made again.", code="damaged_truth"
        ) from error
    return record


def write_tables(
    root: Path, records: list[dict[str, Any]], label_sd_months: float, best_mae_months: float, seed: int
) -> None:
    """Write the labels, `truth.csv`, the boxes of images with one hand, and the README.

    Raises:
        OutputError: a table exists that is not the beginning of the new one (code `file_in_the_way`).
    """
    labels: list[tuple[Any, ...]] = [("id", "boneage", "male")]
    truths: list[tuple[Any, ...]] = [_TRUTH_COLUMNS]
    boxes: list[tuple[Any, ...]] = [BOX_COLUMNS]
    regions: list[tuple[Any, ...]] = [BOX_COLUMNS]
    for record in records:
        truth = record["truth"]
        case, sex, hand = record["id"], truth["sex"], truth["hands"][0]
        labels.append((case, record["label_months"], sex == Sex.MALE.value))
        truths.append(
            (
                case, record["label_months"], truth["bone_age_months"], truth["chronological_age_months"],
                sex, truth["tempo"], hand["laterality"], len(truth["hands"]), record["partial"],
                truth["inverted"], truth["width"], truth["height"], truth["spacing_mm"], truth["seed"],
            )
        )  # fmt: skip
        if len(truth["hands"]) == 1:
            scale = (truth["width"], truth["height"]) * 2

            def row(label: str, box: list[float], case: int = case, scale: tuple[int, ...] = scale) -> tuple[Any, ...]:
                shares = (f"{value / side:.5f}" for value, side in zip(box, scale, strict=True))
                return (case, "phantom", label, *shares)

            boxes += [row(label, box) for label, found in hand["readers_boxes"].items() for box in found]
            names = {Region.HAND.value: "hand_mask"}
            whole = [region for region in hand["regions"] if _is_whole(region, hand["readers_boxes"])]
            regions += [row(names.get(region, region), hand["regions"][region]) for region in whole]
    for path, rows in (
        (root / TABLE, labels),
        (root / "truth.csv", truths),
        (root / "annotations" / "boxes.csv", boxes),
        (root / "annotations" / "regions.csv", regions),
    ):
        stream = io.StringIO(newline="")
        csv.writer(stream, lineterminator="\n").writerows(rows)
        _write_longer(path, stream.getvalue())
    _write_longer(root / "README.md", _readme(label_sd_months, best_mae_months, seed))


def _is_whole(region: str, parts: dict[str, list[Any]]) -> bool:
    return all(len(parts[label]) == count for label, count in _CONSISTS_OF.get(region, {}).items())


def _write_longer(path: Path, text: str) -> None:
    """Write a table. An older one has to be the beginning of the new one."""
    if path.is_file():
        there = path.read_bytes()
        if there == text.encode():
            return
        if not text.encode().startswith(there):
            raise OutputError(
                f"{path}: has been changed and will not be replaced. Move it and repeat.", code="file_in_the_way"
            )
    write_atomically(path, text)


def _readme(label_sd_months: float, best_mae_months: float, seed: int) -> str:
    return (
        f"# Phantoms\n\n{NOTICE}\n\n"
        f"Written by `boneage phantom` with seed {seed}. `{TABLE}` holds the labels: the true bone\n"
        f"age with a rater's noise of {label_sd_months:g} months (standard deviation). Even the true bone\n"
        f"ages have a mean absolute error of {best_mae_months:.2f} months against such labels.\n"
        "`truth.csv` holds the true ages, `truth/` the whole truth of each case, `annotations/boxes.csv` boxes with\n"
        "the margins of readers, `annotations/regions.csv` tight boxes of hand, region_1 and region_2 (both of images\n"
        "with one hand). Figures reached on phantoms say nothing about children.\n"
    )
