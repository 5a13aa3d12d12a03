"""The documents: commands that parse, Python that compiles, generated pages that are current, notebooks that run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_README = 8192
HAS_TORCH = importlib.util.find_spec("torch") is not None


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("boneage_docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


GENERATE = _generate()
# Decisions are written once: what they name may be gone. The page of the command line is made from the commands.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(
        file
        for file in sorted(DOCS.rglob("*.md"))
        if file.parent.name != "decisions" and file.name != "command-line.md"
    ),
]


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def _text(file: Path) -> str:
    if file.suffix != ".ipynb":
        return file.read_text(encoding="utf-8")
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of each fenced block."""
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
        yield match[2], match[3]


def _command_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each `boneage ...`, and whether it stands in a block, where nothing may be missing."""
    for language, content in _blocks(text):
        if language in ("", "bash", "sh"):
            joined = re.sub(r"\\\n\s*", " ", content)
            yield from ((line.strip(), True) for line in joined.splitlines() if line.strip().startswith("boneage "))
    prose = re.sub(r"^( *)```\w*\n.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from ((match[1].replace("\\|", "|"), False) for match in re.finditer(r"`(boneage [^`\n]+)`", prose))


COMMANDS: dict[str, Any] = dict(GENERATE.commands())


def _choices(option: Any) -> set[str]:
    """What an option may be set to; empty where it is not one of a few words."""
    kind = option.type_descriptor.annotation
    return {str(choice.value) for choice in kind} if isinstance(kind, type) and issubclass(kind, Enum) else set()


def _problem(line: str, whole: bool) -> str | None:
    """What is wrong with a command line, or None; nothing is executed."""
    words = shlex.split(line, comments=True)
    for end in ("|", ">", "&&", "2>"):
        words = words[: words.index(end)] if end in words else words
    words = [word.strip("[]") for word in words if word not in ("...", "…")]
    if words == ["boneage"] or words[1:] == ["--help"] or words[1:] == ["--version"]:
        return None
    path = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in COMMANDS), None)
    if path is None:
        groups = {name.rpartition(" ")[0] for name in COMMANDS}
        return None if not whole and " ".join(words) in groups else "there is no such command"
    command = COMMANDS[path]
    options = {name: item for item in command.params for name in (*item.opts, *item.secondary_opts) if name[0] == "-"}
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    given: set[str] = set()
    places: list[str] = []
    assigned: list[str] = []
    rest = iter(words[len(path.split()) :])
    for word in rest:
        if not word.startswith("-"):
            places.append(word)
            continue
        name, equals, value = word.partition("=")
        if name == "--help":
            return None
        if name not in options:
            return f"{name} is not an option of {path}"
        given.add(options[name].name)
        if options[name].is_flag:
            continue
        if not equals:
            value = next(rest, "")
            if not value and whole:
                return f"{name} has no value"
        choices = _choices(options[name])
        if choices and value and not value.isupper() and "|" not in value and value not in choices:
            return f"{name} {value}: not a choice"
        if name == "--set":
            assigned.append(value)
    if not any(item.nargs == -1 for item in arguments) and len(places) > len(arguments):
        return f"too many arguments: {' '.join(places)}"
    if whole:
        missing = [item.opts[0] for item in options.values() if item.required and item.name not in given]
        missing += [item.name for item in arguments[len(places) :] if item.required]
        if missing:
            return f"{', '.join(missing)} is missing"
    return _problem_of_settings(path, places, assigned)


def _problem_of_settings(path: str, places: list[str], assigned: list[str]) -> str | None:
    from boneage.errors import UsageError
    from boneage.training.recipes import NAMES, find_recipe, replace_settings

    if path == "boneage train" and places and places[0] in NAMES:
        try:
            replace_settings(find_recipe(places[0]), [item for item in assigned if "key" not in item.casefold()])
        except UsageError as error:
            return str(error)
    return None


@pytest.mark.parametrize("file", [*PAGES, *NOTEBOOKS], ids=_name)
def test_commands_in_the_documents_parse(file: Path) -> None:
    wrong = [f"{line}\n    {found}" for line, whole in _command_lines(_text(file)) if (found := _problem(line, whole))]
    assert not wrong, "\n".join(wrong)


def test_the_reader_of_commands_sees_what_is_wrong() -> None:
    assert _problem("boneage assess hand.png --sex female", True) is None
    assert _problem("boneage assess hand.png --sox female", True) == "--sox is not an option of boneage assess"
    assert _problem("boneage asess hand.png", True) == "there is no such command"
    assert _problem("boneage train tiny --data DIR", True) == "--out is missing"
    assert _problem("boneage assess a.png --format xml", True) == "--format xml: not a choice"
    assert "regressor.size" in str(_problem("boneage train tiny --data D --out O --set regressor.size=x", True))
    lines = list(_command_lines("See `boneage models list`.\n\n```\nboneage assess a \\\n  --sex male  # why\n```\n"))
    assert [(" ".join(line.split()), whole) for line, whole in lines] == [
        ("boneage assess a --sex male # why", True),
        ("boneage models list", False),
    ]


@pytest.mark.parametrize("file", PAGES, ids=_name)
def test_files_that_the_documents_name_exist(file: Path) -> None:
    named = re.findall(r"`((?:src|tests|docs|examples|notebooks|benchmarks)/[^`\s]+)`", _text(file))
    assert not [name for name in named if "NAME" not in name and not (ROOT / name).exists()]


@pytest.mark.parametrize("file", PAGES, ids=_name)
def test_python_in_the_documents_compiles_and_its_imports_are_there(file: Path) -> None:
    for language, content in _blocks(_text(file)):
        if language == "python":
            tree = ast.parse(content, _name(file))
            _check_imports(tree)


def _check_imports(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("boneage"):
            if not HAS_TORCH and (node.module or "").startswith(("boneage.training", "boneage.research")):
                continue
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found = hasattr(module, alias.name) or importlib.util.find_spec(inner) is not None
                assert found, f"{node.module} has no {alias.name}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "boneage":
            assert hasattr(importlib.import_module("boneage"), node.attr), f"boneage has no {node.attr}"


@pytest.mark.parametrize("name", GENERATE.PAGES)
def test_generated_pages_are_current(name: str) -> None:
    file = DOCS / name
    assert file.is_file(), f"run `make reference`: docs/{name} is missing"
    assert file.read_text(encoding="utf-8") == GENERATE.page(name), f"run `make reference`: docs/{name} is not current"


def test_every_remark_and_every_code_of_a_radiograph_is_on_the_page_of_codes() -> None:
    from boneage.remarks import REMARKS

    page = (DOCS / "reference" / "codes.md").read_text(encoding="utf-8")
    codes = GENERATE.error_codes()
    assert {"no_such_file", "not_a_hand"} - codes.keys() - REMARKS.keys() == set()
    assert not [code for code in (*REMARKS, *codes) if f"`{code}`" not in page]


def test_every_page_is_in_the_navigation_or_left_out_on_purpose() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")}
    left_out = {page for page in pages if re.match(r"(results/[^/]+/|decisions/2)", page)}
    assert not [page for page in pages - left_out if f": {page}" not in navigation]


def test_readme_is_short_and_says_what_it_must() -> None:
    readme = (ROOT / "README.md").read_bytes()
    assert len(readme) <= LONGEST_README
    text = readme.decode("utf-8")
    assert "Research use only, not a medical device" in text
    for command in ("make test", "make demo", "pip install .", "boneage assess", "boneage train", "boneage evaluate"):
        assert command in text


def test_the_site_builds_strictly_and_asks_nothing_of_other_places(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outside = []
    for file in tmp_path.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"([^\"]+)\"", text)
        fetched += re.findall(r"<link[^>]+rel=\"(?:stylesheet|preconnect|icon)\"[^>]+href=\"([^\"]+)\"", text)
        fetched += re.findall(r"<link[^>]+href=\"([^\"]+)\"[^>]+rel=\"(?:stylesheet|preconnect|icon)\"", text)
        outside += [f"{file.name}: {link}" for link in fetched if link.startswith(("http:", "https:", "//"))]
    for file in tmp_path.rglob("*.css"):
        outside += re.findall(r"url\(\"?(https?:[^)\"]+)", file.read_text(encoding="utf-8"))
    assert not outside


@pytest.mark.parametrize("file", NOTEBOOKS, ids=_name)
def test_notebooks_hold_no_outputs_and_say_what_they_are(file: Path) -> None:
    notebook = json.loads(file.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert code
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None]
    assert "Research use only, not a medical device" in _text(file)
    for link in re.findall(r"\]\(([^)#\s]+)", _text(file)):
        assert (file.parent / link).exists(), link


def _run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Execute a notebook as it is; returns what its cells printed."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(file, 4)
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]


def test_the_notebook_on_assessing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = "\n".join(_run(ROOT / "notebooks" / "assess.ipynb", tmp_path, monkeypatch))
    assert "bone age" in printed
    assert "phantom" in printed
    assert "UnsuitableRadiograph" in printed


@pytest.mark.slow
def test_the_notebook_on_training_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    printed = "\n".join(_run(ROOT / "notebooks" / "train-on-phantoms.ipynb", tmp_path, monkeypatch))
    assert "model.json" in printed
    assert "trained on phantom hands" in printed


@pytest.mark.slow
def test_the_notebook_on_a_table_of_the_paper_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    printed = "\n".join(_run(ROOT / "notebooks" / "rebuild-a-table.ipynb", tmp_path, monkeypatch))
    assert "table3.csv" in printed
    assert "Table III" in printed
