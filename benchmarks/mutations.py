"""Whether the plain tests notice what must not happen unnoticed.

    python benchmarks/mutations.py [NAME...]

Every mutation changes one place of a copy of src/ in a temporary folder; then the tests below run against the copy.
Prints a Markdown table, mutation -> tests that fail. Exit status 1 if a mutation survives or its old text is not found
exactly once (a module moved: bring the list up to date), 2 if the tests fail without any mutation.
About ten seconds a mutation on one core.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("tests/golden", "tests/test_views.py", "tests/test_radiograph.py", "tests/test_regions.py")


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands in `file` (below src/boneage/) exactly once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


SHRINK = "drawn.resize((width, height), Image.Resampling.BILINEAR)"
MOVE = "drawn.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)"
SHRINK_IMAGE = "image.resize(size, Image.Resampling.BILINEAR)"
ENLARGE = "image.resize((side, side), Image.Resampling.BILINEAR)"

MUTATIONS = [
    Mutation("views shrunk with LANCZOS", "views.py", SHRINK, SHRINK.replace("BILINEAR", "LANCZOS")),
    Mutation("views shrunk with NEAREST", "views.py", SHRINK, SHRINK.replace("BILINEAR", "NEAREST")),
    Mutation("views moved with LANCZOS", "views.py", MOVE, MOVE.replace("BILINEAR", "LANCZOS")),
    Mutation("views moved with BICUBIC", "views.py", MOVE, MOVE.replace("BILINEAR", "BICUBIC")),
    Mutation("views moved with NEAREST", "views.py", MOVE, MOVE.replace("BILINEAR", "NEAREST")),
    Mutation(
        "region 1 erased with another seed",
        "views.py",
        ".digest()[:8]",
        ".digest()[8:16]",
    ),
    Mutation("maps enlarged to 64, not 224", "regions.py", "MAP_SIDE: Final = 224", "MAP_SIDE: Final = 64"),
    Mutation("maps enlarged with LANCZOS", "pipeline/localization.py", ENLARGE, ENLARGE.replace("BILINEAR", "LANCZOS")),
    Mutation(
        "localizers do not average the mirror image",
        "pipeline/localization.py",
        "        if localizer.average_mirror:\n            evidence =",
        "        if False:\n            evidence =",
    ),
    Mutation(
        "no correction",
        "pipeline/age_network.py",
        "correction = self.model.calibration.correction\n",
        "correction = None\n",
    ),
    Mutation("sex sign swapped", "ages.py", "1.0 if self is Sex.MALE else -1.0", "-1.0 if self is Sex.MALE else 1.0"),
    Mutation(
        "the age network does not average the mirror image",
        "pipeline/age_network.py",
        "np.stack([stack, stack[..., ::-1]]) if settings.average_mirror else stack[None]",
        "stack[None]",
    ),
    Mutation("window from the percentiles 2 and 98", "radiograph.py", "= (0.5, 99.5)", "= (2.0, 98.0)"),
    Mutation("image shrunk with LANCZOS", "radiograph.py", SHRINK_IMAGE, SHRINK_IMAGE.replace("BILINEAR", "LANCZOS")),
    Mutation("the gate does not invert", "pipeline/gate.py", "inverted = output.inverted > 0.5", "inverted = False"),
]


def failing(source: Path) -> tuple[int, list[str]]:
    """pytest's exit status and the tests that fail against a copy of src/."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    found = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode, found


def imported_from(source: Path) -> Path:
    """Where `boneage` comes from when the copy stands first."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", "import boneage; print(boneage.__file__)"]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def in_words(tests: list[str]) -> str:
    """The first failing test of every file, and how many more there are."""
    firsts: dict[str, str] = {}
    for test in tests:
        firsts.setdefault(test.partition("::")[0], test)
    more = len(tests) - len(firsts)
    return "; ".join(firsts.values()) + (f"; and {more} more" if more else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these mutations")
    names = set(parser.parse_args().names)
    if unknown := names - {mutation.name for mutation in MUTATIONS}:
        parser.error(f"no mutation is called {', '.join(sorted(unknown))}")
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        if not imported_from(source).is_relative_to(source.resolve()):
            print(f"boneage is imported from {imported_from(source)}, not from the copy", file=sys.stderr)
            return 2
        status, tests = failing(source)
        if status:
            print(f"The tests fail without a mutation (status {status}): {in_words(tests)}", file=sys.stderr)
            return 2
        print("| mutation | failing tests |\n|---|---|", flush=True)
        for mutation in MUTATIONS:
            if names and mutation.name not in names:
                continue
            file = source / "boneage" / mutation.file
            text = file.read_text(encoding="utf-8") if file.is_file() else ""
            if text.count(mutation.old) != 1:
                said = f"**not applied**: {mutation.file} holds the old text {text.count(mutation.old)} times, not once"
                wrong.append(mutation.name)
            else:
                file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
                status, tests = failing(source)
                file.write_text(text, encoding="utf-8")
                said = in_words(tests)
                if status != 1 or not tests:
                    said = f"**none** (pytest's exit status {status})"
                    wrong.append(mutation.name)
            print(f"| {mutation.name} | {said} |", flush=True)
    print(f"\n{len(wrong)} not noticed: {', '.join(wrong)}" if wrong else "\nevery mutation is noticed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
