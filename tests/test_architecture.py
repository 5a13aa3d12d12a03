"""The import arrows of the package, read from the source: lazy imports and those for type checking count, too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

NOUNS = {
    "errors",
    "remarks",
    "ages",
    "radiograph",
    "regions",
    "views",
    "assessment",
    "regional_ages",
    "similar",
    "atomic",
    "journal",
    "sole_writer",
}
STORY = {"assessor", "batch"}
SHOWN = {"progress"}

# Room -> rooms of boneage that its modules may import, besides their own. A room that is not listed fails the test.
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(NOUNS, NOUNS),
    "model": NOUNS,
    "pipeline": NOUNS | {"model"},
    "assessor": NOUNS | {"model", "pipeline", "formats"},
    # The assessor and the requests by type only.
    "batch": NOUNS | {"assessor", "datasets", "formats"},
    "progress": set(),
    "clinical": NOUNS,
    "formats": NOUNS,
    "reports": NOUNS | {"clinical"},
    "datasets": NOUNS | SHOWN | {"formats"},
    "phantom": NOUNS,
    # Of reports only what every page and picture shares, see FOR_EVALUATION.
    "evaluation": NOUNS | SHOWN | {"batch", "clinical", "datasets", "reports"},
    # The assessor among them: a training's last stage measures exactly what will answer later.
    "training": NOUNS | SHOWN | {"assessor", "datasets", "evaluation", "model", "pipeline"},
    "research": NOUNS
    | STORY
    | SHOWN
    | {"datasets", "evaluation", "formats", "model", "phantom", "pipeline", "reports", "training"},
    "cli": NOUNS
    | STORY
    | SHOWN
    | {
        "clinical",
        "datasets",
        "evaluation",
        "formats",
        "model",
        "phantom",
        "pipeline",
        "reports",
        "research",
        "training",
    },
    "__main__": {"cli"},
    "": NOUNS | {"assessor"},  # boneage/__init__.py
}

FOR_EVALUATION = {"boneage.reports.html.rendering", "boneage.reports.overlays", "boneage.reports.text"}
"""Templates with the one stylesheet, the palette, and numbers in words."""

TRAINING_LIBRARIES = {"torch", "torchvision", "timm", "lightning", "pytorch_lightning", "torchmetrics", "safetensors"}
TRAINING_LIBRARIES |= {"onnx", "onnxscript"}  # writing networks; running them is onnxruntime's
DICOM_LIBRARIES = {"pydicom", "pylibjpeg", "libjpeg", "openjpeg", "highdicom", "pynetdicom"}
DICOM_ROOMS = ("boneage.formats.dicom", "boneage.phantom.dicom", "boneage.reports.dicom", "boneage.serving.dicom")
FOR_NOUNS = {"numpy", "scipy", "PIL"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def _name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted((SOURCE / "boneage").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in FILES.items()}


def _room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def _imports(module: str) -> Iterator[tuple[str, int]]:
    """Every module that a module imports, and the line; `from a import b` counts as `a.b` where that is a module."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*anchor, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}"
                yield (target if target in FILES else base), node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [part.value for part in node.args[:1] if isinstance(part, ast.Constant)]
            yield from ((name, node.lineno) for name in names if isinstance(name, str))


def _where(module: str, line: int) -> str:
    return f"{FILES[module].relative_to(SOURCE.parent)}:{line}"


def test_the_reader_sees_lazy_relative_and_dynamic_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
from typing import TYPE_CHECKING
from boneage import __version__
from boneage.model.folder import folder as model
from . import other
from .near import thing
if TYPE_CHECKING:
    import torch.nn
def later():
    import pydicom
    import_module("boneage.training.run.fit")
"""
    monkeypatch.setitem(FILES, "boneage.reports.made_up", SOURCE / "boneage" / "reports" / "made_up.py")
    monkeypatch.setitem(TREES, "boneage.reports.made_up", ast.parse(source))
    assert {target for target, _ in _imports("boneage.reports.made_up")} == {
        "typing", "boneage.model.folder", "boneage", "boneage.reports", "boneage.reports.near", "torch.nn", "pydicom",
        "boneage.training.run.fit",
    }  # fmt: skip


def test_every_room_has_its_arrows() -> None:
    new = {_room(module) for module in FILES} - set(MAY_IMPORT)
    assert not new, f"new rooms {sorted(new)}: give them their arrows in this test and in docs/decisions"


def test_rooms_import_only_what_they_may() -> None:
    wrong = [
        f"{_where(module, line)} imports {target}"
        for module in FILES
        for target, line in _imports(module)
        if target.startswith("boneage.") and _room(target) not in MAY_IMPORT.get(_room(module), set()) | {_room(module)}
    ]
    assert not wrong, "\n".join(wrong)


def test_evaluation_takes_only_looks_from_reports() -> None:
    wrong = [
        f"{_where(module, line)} imports {target}"
        for module in FILES
        if _room(module) == "evaluation"
        for target, line in _imports(module)
        if target.startswith("boneage.reports") and target not in FOR_EVALUATION
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_version_is_taken_from_the_root() -> None:
    """The root's public names are for users; inside the package they would hide an arrow."""
    wrong = [
        f"{_where(module, node.lineno)} takes {alias.name} from the root"
        for module in FILES
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.ImportFrom) and node.module == "boneage" and not node.level
        for alias in node.names
        if alias.name != "__version__" and f"boneage.{alias.name}" not in FILES
    ]
    assert not wrong, "\n".join(wrong)


def test_training_libraries_stay_under_training_and_research() -> None:
    wrong = [
        f"{_where(module, line)} imports {target}"
        for module in FILES
        for target, line in _imports(module)
        if target.partition(".")[0] in TRAINING_LIBRARIES and _room(module) not in ("training", "research")
    ]
    assert not wrong, "\n".join(wrong)


def test_one_module_imports_onnx_runtime() -> None:
    """It switches the library's telemetry off before; see tests/model/test_network.py."""
    tests = {str(path): ast.parse(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.rglob("*.py")}
    named = {name for name, tree in (TREES | tests).items() if _imports_library(tree, "onnxruntime")}
    assert named == {"boneage.model.network"}


def _imports_library(tree: ast.Module, library: str) -> bool:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return any(name.partition(".")[0] == library for name in names)


def test_dicom_libraries_stay_in_modules_named_for_dicom() -> None:
    wrong = [
        f"{_where(module, line)} imports {target}"
        for module in FILES
        for target, line in _imports(module)
        if target.partition(".")[0] in DICOM_LIBRARIES and not module.startswith(DICOM_ROOMS)
    ]
    assert not wrong, "\n".join(wrong)


def test_nouns_need_arrays_and_pictures_at_most() -> None:
    allowed = FOR_NOUNS | {"boneage"} | sys.stdlib_module_names
    wrong = [
        f"{_where(module, line)} imports {target}"
        for module in FILES
        if _room(module) in NOUNS
        for target, line in _imports(module)
        if target.partition(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_the_assessor_reads_files_lazily() -> None:
    """`boneage.assessor` works on radiographs; it needs the formats only when it is given a path."""
    top_level = [node for node in TREES["boneage.assessor"].body if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in top_level if (node.module or "").startswith("boneage.formats")]


def test_no_module_is_named_for_being_useful() -> None:
    assert not [name for name in FILES if FORBIDDEN_NAMES & set(name.split("."))]


def test_no_two_modules_import_each_other_when_they_load() -> None:
    def loaded_with(module: str) -> set[str]:
        body = [node for node in TREES[module].body if isinstance(node, ast.Import | ast.ImportFrom)]
        lines = {node.lineno for node in body}
        return {target for target, line in _imports(module) if line in lines and target in FILES and target != module}

    graph = {module: loaded_with(module) for module in FILES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import boneage", ("torch", "numpy", "matplotlib", "pydicom", "onnxruntime", "openpyxl", "pydantic")),
        (
            "import boneage.cli; from typer.testing import CliRunner; CliRunner().invoke(boneage.cli.app, ['--help'])",
            ("torch", "numpy", "matplotlib", "pydicom", "onnxruntime", "openpyxl", "pydantic"),
        ),
        (
            "import boneage; boneage.load; boneage.assess",
            ("torch", "timm", "lightning", "onnx", "matplotlib", "openpyxl"),
        ),
        ("import boneage.cli.assess", ("torch", "timm", "lightning", "onnx", "matplotlib", "openpyxl")),
        ("import boneage.formats, boneage.reports, boneage.datasets", ("torch", "timm", "lightning", "onnx")),
    ],
)
def test_loading_stays_light(statement: str, absent: tuple[str, ...]) -> None:
    """Assessing loads no torch even where it is installed."""
    code = f"import sys; {statement}; print(sorted(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stdout + done.stderr
