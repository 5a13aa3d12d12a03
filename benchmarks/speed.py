"""From a 2000 x 1500 PNG to its JSON line: seconds with the model loaded, and the largest resident memory.

    python benchmarks/speed.py [--model NAME|DIR] [--runs 20]

The radiograph is a phantom, so that anybody can repeat the measurement. Run it on an idle machine. The first assessment
is reported apart: it opens the networks.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

import boneage
from boneage.assessor import Assessor
from boneage.phantom import phantom
from boneage.reports import AssessmentRecord


def time_one(assessor: Assessor, file: Path) -> float:
    """File to JSON."""
    started = time.perf_counter()
    AssessmentRecord.of(assessor.assess(file, "female")).as_json()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=None)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hand.png"
        image = Image.fromarray(phantom(120, "female", 0, 1500).pixels)
        image.resize((1500, 2000), Image.Resampling.BILINEAR).save(file)
        started = time.perf_counter()
        assessor = boneage.load(options.model)
        loaded = time.perf_counter() - started
        first = time_one(assessor, file)
        times = sorted(time_one(assessor, file) for _ in range(options.runs))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, model {assessor.model.name}")
    print(f"load {loaded:.2f} s, first assessment {first:.2f} s")
    print(f"file to JSON: median {statistics.median(times):.3f} s, slowest of {options.runs} {times[-1]:.3f} s")
    print(f"largest resident memory {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
