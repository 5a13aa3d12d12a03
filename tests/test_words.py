"""The vocabulary: words that the project once used stay out of code, messages, help, pages, documents and tests.

`docs/explanation/glossary.md` lists the terms that took their place. CHANGELOG and decisions keep the words of their
time.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = {".py", ".md", ".html", ".jinja", ".css", ".toml", ".svg", ".ipynb", ".yml", ".txt", ".json"}
LEFT_OUT = ("CHANGELOG.md", "docs/decisions", "tests/test_words.py", "src/boneage/models")

# Old word -> the term that replaces it. Written as in code and prose alike.
REPLACED = {
    r"\bfilms?\b|[Ff]ilm(?=[A-Z_])|_films?\b|\bFILM": "radiograph (what the user gave) or image (what a network sees)",
    r"[Jj]itter|\brelit\b": "augmentation",
    r"\bno numbers\b": "non-finite values",
    r"\bparts?[ _]ages?\b|\bmodels parts\b": "regional bone ages",
    r"\b[Cc]losest (training )?cases?\b|\b[Cc]ase[ _]index\b|\bclosest_\w+": "similar cases",
    r"\boddness\b": "out-of-distribution score",
    r"\bforeign\b": "negatives",
    r"\bstead(y|iness|ied)\b": "consistency",
    r"\b[Cc]ertainty\b": "negative entropy",
    r"\bWayBack\b|\bway back\b|\bupright\b": "inverse transform, canonical orientation",
    r"\b[Pp]eers?\b|\b[Rr]ivals?\b": "baseline",
    r"\b[Ww]orkshops?\b|\bshop\b|\b[Bb]ench\b|\b[Tt]rials?\b": "training run, experiment runner, adapter",
    r"\b[Dd]oubts?\b": "remark",
    r"\*(select|report)\*|\bon (select|report)\b": "validation, test",
    r"\blearnt\b": "learned",
}


def texts() -> list[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("the words are searched in a git checkout")
    names = [name for name in listed.stdout.split("\0") if name and not name.startswith(LEFT_OUT)]
    return [
        (name, (ROOT / name).read_text(encoding="utf-8"))
        for name in names
        if Path(name).suffix in TEXT and (ROOT / name).is_file()
    ]


def test_no_replaced_word_survives() -> None:
    found = [
        f"{name}:{number}: '{match[0]}', say: {term}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        for pattern, term in REPLACED.items()
        if (match := re.search(pattern, line))
    ]
    assert not found, "\n".join(found[:200])
