"""Evaluation knows nouns and no model."""

from __future__ import annotations

import ast
from pathlib import Path

import boneage.evaluation

NOUNS = {"ages", "assessment", "errors", "evaluation", "radiograph", "regions", "views"}


def test_evaluation_imports_only_nouns() -> None:
    for path in Path(boneage.evaluation.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                if name.split(".")[0] == "boneage":
                    assert name.split(".")[1] in NOUNS, f"{path.name} imports {name}"
