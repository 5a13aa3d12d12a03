"""The repository itself: what must agree, what must not be in it, what a wheel must hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import boneage

ROOT = Path(__file__).parents[1]
MEGABYTE = 1024 * 1024

# Written in pieces: this file is searched, too.
REGISTRY_HOSTS = [
    "py" + "pi.org", "pythonhost" + "ed.org", "download.py" + "torch.org", "npm" + "js.", "conda.anaconda" + ".org",
    "deb." + "debian", "hf" + ".co/", "--index" + "-url", "--find" + "-links",
]  # fmt: skip
MACHINE_PATHS = re.compile(r"(?<![\w.])/" + r"(work|root|home/\w+)/")
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".dcm", ".gif", ".bmp"}
PICTURES_OF_PHANTOMS = {
    "docs/images/assessed-phantom.jpg": "examples/assessed_phantom.py",
    "docs/images/phantoms.jpg": "examples/phantom_sheet.py",
    "docs/images/stress.jpg": "examples/stress_sheet.py",
}
"""The pictures that may be in the repository, besides tests/golden/* and results, and the script that makes each: it
makes phantoms. No radiograph may be in the repository."""


def tracked_files() -> list[Path]:
    """What git tracks or would track; everything but the ignored, in a copy without git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    else:
        left_out = re.compile(
            r"(^|/)(\.[^/]*(venv|cache)[^/]*|\.git|\.hypothesis|__pycache__|build|site|demo-output|[^/]*\.egg-info)(/|$)"
        )
        names = [
            str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not left_out.search(str(path.relative_to(ROOT)))
        ]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


TRACKED = tracked_files()


def pyproject() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project: dict[str, object] = tomllib.load(file)["project"]
    return project


def test_no_download_addresses_and_no_paths_of_one_machine() -> None:
    found = []
    for path in TRACKED:
        text = path.read_bytes().decode("utf-8", "ignore")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRY_HOSTS if host in text]
        if path.suffix not in PICTURES | {".onnx"} and (match := MACHINE_PATHS.search(text)):
            found.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert not found, "\n".join(found)


def test_constraints_are_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert not [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+-]+", pin)]
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    project = pyproject()
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]  # type: ignore[misc, attr-defined]
    assert {re.split(r"[><=\[]", name)[0].lower() for name in wanted} <= pinned


def test_the_plain_install_asks_for_no_torch() -> None:
    names = {re.split(r"[><=\[]", name)[0] for name in pyproject()["dependencies"]}  # type: ignore[attr-defined]
    assert not names & {"torch", "torchvision", "timm", "lightning", "onnx", "pandas"}


def test_one_version_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert pyproject()["version"] == boneage.__version__
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == boneage.__version__  # type: ignore[index]
    assert f"## [{boneage.__version__}]" in changelog


EXPERIMENTS_DRAWN = {"figure1", "figure3", "figure4"}
"""Experiments of which there is a picture and no table."""


def test_no_radiograph_and_nothing_large_is_tracked() -> None:
    pictures = {path.relative_to(ROOT).as_posix() for path in TRACKED if path.suffix.lower() in PICTURES}
    results = {name for name in pictures if name.startswith("docs/results/")}
    golden = {name for name in pictures if Path(name).parent == Path("tests/golden")}
    assert pictures - results - golden <= PICTURES_OF_PHANTOMS.keys()
    # Plots show no radiograph; figures 1 and 3 show images, and may be of phantoms only.
    images = {name for name in results if Path(name).stem in ("figure1", "figure3")}
    assert all(name.startswith("docs/results/phantoms-") for name in images)
    assert {Path(name).stem for name in results} <= {
        *EXPERIMENTS_DRAWN, *(path.stem for path in TRACKED if path.suffix == ".md" and "results" in path.parts)
    }  # fmt: skip
    models = ROOT / "src" / "boneage" / "models"
    assert not [path for path in TRACKED if path.stat().st_size > MEGABYTE and not path.is_relative_to(models)]
    assert sum(path.stat().st_size for path in TRACKED if path.is_relative_to(models)) <= 20 * MEGABYTE


@pytest.mark.parametrize(("picture", "script"), PICTURES_OF_PHANTOMS.items())
def test_a_picture_of_the_documents_is_made_from_phantoms(picture: str, script: str) -> None:
    source = (ROOT / script).read_text(encoding="utf-8")
    assert picture in source
    assert "from boneage.phantom import phantom" in source
    assert (ROOT / picture).is_file()


def test_ci_runs_what_people_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in commands
    assert commands.index(" check") < commands.index(" test\n")


def test_relative_links_of_the_documents_lead_somewhere() -> None:
    broken = []
    for path in TRACKED:
        if path.suffix == ".md":
            for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
                if "://" not in link and not link.startswith("mailto:") and not (path.parent / link).exists():
                    broken.append(f"{path.relative_to(ROOT)} -> {link}")
    assert not broken, "\n".join(broken)


def test_a_wheel_holds_the_models_a_default_and_the_templates(tmp_path: Path) -> None:
    """Built from a copy, without the network."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    models = ROOT / "src" / "boneage" / "models"
    wanted = {path.relative_to(ROOT / "src").as_posix() for path in TRACKED if path.is_relative_to(models)}
    templates = ROOT / "src" / "boneage" / "reports" / "html" / "templates"
    wanted |= {path.relative_to(ROOT / "src").as_posix() for path in TRACKED if path.is_relative_to(templates)}
    assert wanted <= packed
    assert "boneage/py.typed" in packed
    assert any(name.endswith("licenses/LICENSE") for name in packed)
    assert "boneage/models/DEFAULT" in packed
    default = (models / "DEFAULT").read_text(encoding="utf-8").strip()
    settings = json.loads((models / default / "model.json").read_text(encoding="utf-8"))
    for network in settings["networks"].values():
        assert f"boneage/models/{default}/{network['file']}" in packed
    assert f"boneage/models/{default}/MODEL_CARD.md" in packed


@pytest.mark.parametrize("target", ["demo", "test", "check", "docs", "reference"])
def test_the_makefile_has_the_targets(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}: ", makefile, re.MULTILINE)
