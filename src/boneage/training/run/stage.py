"""One stage of a training on disk: whether it is complete, and for which settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boneage.atomic import write_atomically
from boneage.errors import TrainingError
from boneage.progress import say

MARKER, BEGUN = "stage.json", "begun.json"


def key_of(*parts: Any) -> str:
    """A short SHA-256 of settings (data classes, texts, numbers, keys of earlier stages).

    Files of starting weights that settings name (`pretrained`) count by name and content, not by folder.
    """
    document = json.dumps([_plain(part) for part in parts], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:16]


class Stage:
    """A folder with the results of one stage.

    A stage that is complete for the same key is not run again. One that was begun for the same key goes on where
    it was. Anything else in the folder belongs to other settings and is removed when the stage begins.

    Args:
        folder: the stage's own folder.
        key: changes with everything that its result depends on, earlier stages included.
    """

    def __init__(self, folder: Path, key: str, *, progress: bool = True) -> None:
        self.folder, self.key, self.progress = folder, key, progress
        self._started = time.monotonic()

    @property
    def complete(self) -> bool:
        return _read(self.folder / MARKER).get("key") == self.key

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts that `finish` stored."""
        facts: Mapping[str, Any] = _read(self.folder / MARKER)["facts"]
        return facts

    def begin(self) -> None:
        """Make the folder ready; results for the same key stay.

        Raises:
            TrainingError: the folder holds files of someone else.
        """
        self._started = time.monotonic()
        known = _read(self.folder / BEGUN).get("key") or _read(self.folder / MARKER).get("key")
        if known is None and self.folder.exists() and any(self.folder.iterdir()):
            raise TrainingError(
                f"{self.folder}: holds files that no training has made, and a stage needs this folder. "
                "Move them away, or name another folder for --out.",
                code="folder_of_others",
            )
        if known not in (None, self.key):
            self._print("runs again: its settings or those of an earlier stage have changed")
            self._clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / BEGUN, {"key": self.key})
        self._print("begins")

    def finish(self, **facts: Any) -> None:
        """Mark the stage as complete; its checkpoints are no longer needed and go."""
        document = {
            "key": self.key,
            "seconds": round(time.monotonic() - self._started),
            "largest_resident_mb": _largest_resident_mb(),
            "facts": facts,
        }
        _write(self.folder / MARKER, document)
        for checkpoints in self.folder.glob("**/checkpoints"):
            shutil.rmtree(checkpoints)
        self._print("is complete")

    def _clear(self) -> None:
        """Remove all results; the markers last, so that a half cleared folder still counts as a stage's."""
        for item in self.folder.iterdir():
            if item.name not in (MARKER, BEGUN):
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        for marker in (MARKER, BEGUN):
            (self.folder / marker).unlink(missing_ok=True)

    def _print(self, what: str) -> None:
        say(f"stage {self.folder.name} {what}", quiet=not self.progress)


def _largest_resident_mb() -> int | None:
    """Peak memory of this process so far; None on systems that do not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1024 if sys.platform != "darwin" else peak / 2**20)


def start_key(start: str) -> str:
    """The identity of starting weights, whatever folder their file is in."""
    file = Path(start)
    return f"{file.name} {sha256_of(file)}" if file.is_file() else start


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return _by_content(dataclasses.asdict(value))


def _by_content(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {
        key: start_key(value) if key == "pretrained" and isinstance(value, str) else _by_content(value)
        for key, value in settings.items()
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write(file: Path, document: Mapping[str, Any]) -> None:
    write_atomically(file, json.dumps(document, indent=2) + "\n")
