"""Draw five hands of different ages and let the installed `boneage` assess them.

    python examples/demo.py [FOLDER]          (`make demo` installs boneage first)

The hands are drawings. The shipped model has learned from radiographs and never saw a drawing, so the demo shows
how the program is used and what its page looks like; how good the answers are it does not show.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boneage.phantom import drawn_hand
from boneage.radiograph import PHANTOM_MARK

HANDS = ((30, "female"), (66, "male"), (108, "female"), (150, "male"), (204, "male"))


def main(folder: Path) -> int:
    films, report = folder / "drawings", folder / "report"
    for old in (films, report):
        shutil.rmtree(old, ignore_errors=True)
    films.mkdir(parents=True)
    print(f"Drawing {len(HANDS)} hands. These are drawings, not radiographs: the model never saw one,")
    print("so its answers show how the program works, not how good it is.\n", flush=True)
    strip = []
    mark = PngInfo()
    mark.add_text("Software", PHANTOM_MARK)
    with (films / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "sex"])
        for seed, (months, sex) in enumerate(HANDS):
            name = f"drawing-{months:03d}-months-{sex}.png"
            values, _ = drawn_hand(months, sex, seed, size=600)
            Image.fromarray(values).save(films / name, pnginfo=mark)
            table.writerow([name, sex])
            strip.append(values)
    side_by_side = Image.fromarray(np.concatenate(strip, axis=1))
    side_by_side.resize((side_by_side.width // 3, side_by_side.height // 3)).save(
        folder / "drawn-hands.jpg", quality=88
    )

    command = [sys.executable, "-m", "boneage", "assess", "--table", str(films / "table.csv"), "--report", str(report)]
    status = subprocess.run([*command, "--heatmaps"], check=False).returncode
    page = report / "index.html"
    if status not in (0, 1) or not page.is_file():
        print(f"\nboneage assess ended with status {status}; there is no page.", file=sys.stderr)
        return status or 1
    print(f"\nThe page: {page.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))
