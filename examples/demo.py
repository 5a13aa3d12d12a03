"""Make six phantoms of different ages and let the installed `boneage` assess them.

    python examples/demo.py [FOLDER]          (`make demo` installs boneage first)

Phantoms are synthetic radiographs whose bone age is known. The shipped model was trained on radiographs of children,
never on phantoms. It reads phantoms well at some ages, which were chosen for this demo, and badly at others: phantoms
of 8 to 12 years look up to four years older to it. The demo shows how the program is used and what its pages look
like. Its errors say nothing about children.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boneage.phantom import phantom
from boneage.radiograph import PHANTOM_MARK

HANDS = ((24, "male"), (48, "male"), (60, "male"), (72, "female"), (150, "female"), (174, "male"))
"""Bone age in months and sex: chosen because the shipped model reads phantoms of them well."""
SIZE = 512


def main(folder: Path) -> int:
    images, report = folder / "phantoms", folder / "pages"
    for old in (images, report):
        shutil.rmtree(old, ignore_errors=True)
    images.mkdir(parents=True)
    print(f"Making {len(HANDS)} phantoms: synthetic radiographs, whose bone age is known.")
    print("The model was trained on radiographs, never on phantoms. The ages were chosen as some that it reads well.\n")
    sys.stdout.flush()
    truth = write_phantoms(images)
    command = [sys.executable, "-m", "boneage", "assess", "--table", str(images / "table.csv"), "--report", str(report)]
    run = subprocess.run([*command, "--heatmaps", "--format", "json"], check=False, stdout=subprocess.PIPE, text=True)
    page = report / "index.html"
    if run.returncode not in (0, 1) or not page.is_file():
        print(f"\nboneage assess ended with status {run.returncode} and wrote no page.", file=sys.stderr)
        return run.returncode or 1
    print_answers([json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")], truth)
    print(f"\nThe page: {page.resolve()}")
    return 0


def write_phantoms(images: Path) -> dict[str, int]:
    """Write the phantoms and the table for `boneage assess --table`.

    Returns:
        The bone age by file name, in months.
    """
    mark = PngInfo()
    mark.add_text("Software", PHANTOM_MARK)
    truth = {}
    with (images / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "sex"])
        for seed, (months, sex) in enumerate(HANDS):
            name = f"phantom-{months:03d}-months-{sex}.png"
            Image.fromarray(phantom(months, sex, seed, size=SIZE).pixels).save(images / name, pnginfo=mark)
            table.writerow([name, sex])
            truth[name] = months
    return truth


def print_answers(answers: list[dict[str, object]], truth: dict[str, int]) -> None:
    """Print each answer beside the phantom's bone age, and the mean absolute error."""
    print(f"{'phantom':<34}{'bone age':>10}{'answer':>10}{'error':>10}   months")
    errors = []
    for answer in answers:
        name = Path(str(answer["file"])).name
        months = answer["bone_age_months"]
        if not isinstance(months, int | float):
            print(f"{name:<34}{truth[name]:>10}   {answer['status']}: {answer['reason']}")
            continue
        errors.append(abs(months - truth[name]))
        print(f"{name:<34}{truth[name]:>10}{months:>10.1f}{months - truth[name]:>+10.1f}")
    if errors:
        print(f"\nMean absolute error on these {len(errors)} phantoms: {sum(errors) / len(errors):.1f} months.")
    print("At other ages phantoms are read worse. No error on phantoms says anything about children.")
    print("Research use only, not a medical device.")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))
