"""Make a trained model the shipped one: its figures go into metrics.json, MODEL_CARD.md and docs/accuracy.md.

    python benchmarks/ship_model.py RUN/model EVALUATION --name NAME --hardware "2 CPU cores"

EVALUATION is a folder that `boneage evaluate --split test` wrote. The text of the card is in
`benchmarks/model_card.md`; the figures are filled in.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from string import Template
from typing import Any

import boneage
from boneage.model.folder import load_model
from boneage.model.writing import rewrite_model

MODELS = Path(boneage.__file__).parent / "models"
TEMPLATE = Path(__file__).with_name("model_card.md")
CARD = "MODEL_CARD.md"
PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
LIMIT_BYTES = 20_000_000


def figure(entry: dict[str, Any], *, percent: bool = False) -> str:
    """A figure with its interval, for a table."""
    if entry["value"] is None:
        return "-"
    scale, form = (100, ".0f") if percent else (1, ".2f")
    text = f"{scale * entry['value']:{form}}"
    if entry["interval_95"]:
        text += f" ({scale * entry['interval_95'][0]:{form}} to {scale * entry['interval_95'][1]:{form}})"
    return text


def accuracy_table(accuracy: dict[str, Any]) -> str:
    """Markdown: overall, by sex, by band."""
    groups = {"all": accuracy["overall"], **accuracy["by_sex"], **accuracy["by_age_band_years"]}
    lines = [
        "| cases | n | MAE | bias | within 12 months, % | 90 % interval covers, % | its median width |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, group in groups.items():
        if group["n"]:
            label = f"{name} years" if name[0].isdigit() else name
            cells = [label, str(group["n"]), figure(group["mae"]), figure(group["bias"])]
            cells += [figure(group["within_12"], percent=True), figure(group["coverage_90"], percent=True)]
            lines.append("| " + " | ".join([*cells, figure(group["width_90"])]) + " |")
    return "\n".join(lines)


def localization_table(localization: dict[str, Any]) -> str:
    """Markdown: each truth, all boxed cases and those outside training."""
    lines = [
        "| truth | cases | n | mIoU | AP50, % | mean box: mIoU | gain, paired | centres, hand widths | covered, % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for truth, groups in localization.items():
        for group, row in groups.items():
            cells = [
                truth,
                group.replace("_", " "),
                str(row["n"]),
                figure(row["miou"]),
                figure(row["ap50"], percent=True),
            ]
            cells += [figure(row["mean_box"]["miou"]), figure(row["iou_gain_over_mean_box"])]
            cells += [figure(row["centre_distance"]), figure(row["covered"], percent=True)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def regional_table(regional: dict[str, Any] | None) -> str:
    """Markdown: carpal and tubular bone age overall, by sex, by band."""
    if not regional:
        return ""
    groups = {"all": regional["overall"], **regional["by_sex"], **regional["by_age_band_years"]}
    lines = [
        "| cases | n | carpal | tubular | whole hand | bias, carpal | bias, tubular | unusual, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, group in groups.items():
        if group["n"]:
            cells = [f"{name} years" if name[0].isdigit() else name, str(group["n"])]
            cells += [
                figure(group[key]) for key in ("carpal_mae", "tubular_mae", "whole_mae", "carpal_bias", "tubular_bias")
            ]
            lines.append("| " + " | ".join([*cells, figure(group["unusual"], percent=True)]) + " |")
    return "\n".join(lines)


def page_with(tables: dict[str, str]) -> str:
    """The page of figures with each table between its two marks; people update the text around them."""
    text = PAGE.read_text()
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        if not table or text.count(start) != 1 or text.count(end) != 1:
            raise SystemExit(
                f"{PAGE.name}: the table '{name}' has no marks, or the evaluation no figures for it. Evaluate with "
                "--boxes and --stress a model that has regional heads."
            )
        before, rest = text.split(start)
        text = before + start + table + end + rest.split(end)[1]
    return text


def constant_sentence(metrics: dict[str, Any]) -> str:
    """The coverage of an interval of constant width."""
    constant = metrics.get("constant_width_interval")
    if not constant:
        return ""
    months = constant["half_width_months"]
    return (
        f"An interval of +-{months:.1f} months for every case, calibrated on the same cases, covers "
        f"{figure(constant['coverage'], percent=True)} % and is {2 * months:.1f} months wide."
    )


def stress_table(stress: dict[str, Any] | None) -> str:
    """Markdown: how answers change under each transform."""
    if not stress:
        return ""
    lines = [
        "## Under stress",
        f"`boneage evaluate --stress`, {stress['cases']} cases of *test*; changes of the answer in months.",
        "",
    ]
    return "\n".join([*lines, stress_rows(stress)]) + "\n"


def stress_rows(stress: dict[str, Any]) -> str:
    """Markdown: one row a transform."""
    head = (
        "transform",
        "n",
        "refused",
        "MAE before",
        "after",
        "rise, %",
        "median change",
        "95th percentile",
        "> 1 SD, %",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in stress["transforms"].items():
        value = {key: entry.get("value") if isinstance(entry, dict) else entry for key, entry in row.items()}
        cells = [name, str(value["n"]), str(value["rejected"])]
        cells += [f"{value[key]:.2f}" for key in ("mae_before", "mae_after")]
        cells += [f"{value[key]:.1f}" for key in ("mae_rise_percent", "median_change", "percentile_95_change")]
        lines.append("| " + " | ".join([*cells, f"{100 * value['over_one_sd']:.0f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--hardware", required=True)
    options = parser.parse_args()
    metrics = json.loads((options.evaluation / "metrics.json").read_text())
    trained = load_model(options.model)
    if metrics["model_sha256"] != trained.sha256 or metrics["splits"] != "test":
        raise SystemExit(
            f"{options.evaluation}: measures model {metrics['model_sha256'][:12]} on the split '{metrics['splits']}', "
            f"not {trained.sha256[:12]} on the test split. Evaluate this model first."
        )
    accuracy, localization = metrics["accuracy"], metrics.get("localization") or {}
    page = page_with(
        {
            "accuracy": accuracy_table(accuracy),
            "localization": localization_table(localization),
            "stress": stress_rows(metrics["stress"]) if metrics.get("stress") else "",
            "regional": regional_table(metrics.get("regional")),
        }
    )
    settings = trained.settings
    target = MODELS / options.name
    card = Template(TEMPLATE.read_text()).substitute(
        name=options.name,
        hardware=options.hardware,
        size=trained.regressor.input_size,
        cases=settings.training_data.cases if settings.training_data else "unknown",
        accuracy=accuracy_table(accuracy),
        localization=localization_table(localization),
        constant=constant_sentence(metrics),
        regional=regional_table(metrics.get("regional")),
        stress=stress_table(metrics.get("stress")),
        sha256=trained.sha256,
    )
    rewrite_model(
        trained,
        target,
        {"name": options.name},
        metrics={"test": accuracy, "localization": localization},
        others={CARD: card.encode()},
    )
    assert load_model(target).sha256 == trained.sha256, "name and metrics are not part of a model's identity"
    PAGE.write_text(page)
    default = MODELS / ".DEFAULT.tmp"
    default.write_text(options.name + "\n")
    os.replace(default, MODELS / "DEFAULT")
    size = sum(file.stat().st_size for file in target.iterdir())
    if size > LIMIT_BYTES:
        raise SystemExit(f"{target}: {size} bytes, more than {LIMIT_BYTES}")
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
