"""Writing a model folder: built beside its place, read once to see that it is whole, then renamed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from boneage.ages import FIRST_MONTH, LAST_MONTH
from boneage.errors import ModelError, OutputError
from boneage.model.document import FORMAT
from boneage.model.folder import (
    OTHER_FILES,
    SETTINGS_FILE,
    Model,
    load_model,
    networks_sha256,
    replaced_model,
    settings_sha256,
    written_settings,
)

_COMPUTED: Final = ("format", "months", "created", "code_version", "networks_sha256", "settings_sha256", OTHER_FILES)


def write_model(
    folder: str | Path,
    settings: Mapping[str, Any],
    networks: Mapping[str, bytes | Path],
    *,
    others: Mapping[str, bytes] | None = None,
    replace: bool = False,
) -> Path:
    """Write a model folder, all or nothing.

    The folder is built beside its place, loaded once to see that it is whole, and then renamed.

    Args:
        folder: the model folder to make.
        settings: `model.json` without what is computed here: `format`, `months`, `created`, `code_version`,
            the networks' `file` and `sha256`, `networks_sha256`, `settings_sha256`.
        networks: the ONNX bytes (or a file) of every network that `settings["networks"]` names.
        others: further files of the folder by name (a model card); `check_files` verifies them.
        replace: put it in the place of an existing model folder.

    Returns:
        The folder.

    Raises:
        ModelError: the settings are not complete, or the folder exists and `replace` is not set.
        OutputError: it could not be written; what stood there before is untouched.
    """
    from boneage import __version__

    target = Path(folder)
    if target.exists() and not replace:
        raise ModelError(f"{target}: exists already. Name a new folder, or remove this one first.")
    if target.exists() and not target.is_dir():
        raise ModelError(f"{target}: is a file, not a folder. Name a new folder.")
    if replace and target.exists() and not (target / SETTINGS_FILE).is_file() and any(target.iterdir()):
        raise ModelError(f"{target}: is no model folder and is not empty. Name a new folder.")
    described = settings.get("networks", {})
    if set(described) != set(networks):
        raise ModelError(f"{target}: the settings describe {sorted(described)}, the networks are {sorted(networks)}.")
    document: dict[str, Any] = {
        "format": FORMAT,
        "months": [FIRST_MONTH, LAST_MONTH],
        "created": datetime.now(UTC).date().isoformat(),
        "code_version": __version__,
        **settings,
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}). Choose another folder.") from error
    try:
        entries: dict[str, dict[str, Any]] = {}
        for name, content in networks.items():
            data = content if isinstance(content, bytes) else Path(content).read_bytes()
            (work / f"{name}.onnx").write_bytes(data)
            checksum = hashlib.sha256(data).hexdigest()
            entries[name] = {**described[name], "file": f"{name}.onnx", "sha256": checksum}
        document["networks"] = entries
        document["networks_sha256"] = networks_sha256({name: entry["sha256"] for name, entry in entries.items()})
        for name, data in (others or {}).items():
            (work / name).write_bytes(data)
        document[OTHER_FILES] = {name: hashlib.sha256(data).hexdigest() for name, data in (others or {}).items()}
        document["settings_sha256"] = settings_sha256(document)
        (work / SETTINGS_FILE).write_bytes(written_settings(document))
        work.chmod(0o755)
        load_model(work)
        _bring_along(target, work)
        _put(work, target)
    except OSError as error:
        raise OutputError(
            f"{target}: the model cannot be written ({error.strerror or error}). Free some space or choose another "
            "folder."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def rewritten(
    model: Model, target: str | Path, settings: Mapping[str, Any], others: Mapping[str, bytes] | None = None
) -> Path:
    """Write a model again with other settings and further files; its networks and its own files come along.

    Args:
        model: read and verified.
        target: may be the model's own folder, or one in whose place it is put.
        settings: what replaces or joins the top level of `model.json`.
        others: further files by name, or new content for those that are there.

    Raises:
        ModelError, OutputError: see `write_model`.
    """
    document = {key: value for key, value in model.document.items() if key not in _COMPUTED}
    kept = {name: (model.folder / name).read_bytes() for name in model.document.get(OTHER_FILES) or {}}
    networks = {name: network.path for name, network in model.networks.items()}
    return write_model(target, {**document, **settings}, networks, others={**kept, **(others or {})}, replace=True)


def _bring_along(target: Path, work: Path) -> None:
    """Copy what a user keeps in the folder of the model that is replaced, and no model has signed."""
    source = target if target.is_dir() else replaced_model(target)
    if not source.is_dir():
        return
    try:
        document = json.loads((source / SETTINGS_FILE).read_bytes())
        networks = [entry["file"] for entry in document["networks"].values()]
        signed = {SETTINGS_FILE, *networks, *(document.get(OTHER_FILES) or {})}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        signed = {SETTINGS_FILE}
    for path in source.iterdir():
        if path.name in signed or (work / path.name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, work / path.name, symlinks=True)
        else:
            shutil.copy2(path, work / path.name, follow_symlinks=False)


def _put(work: Path, target: Path) -> None:
    """Rename `work` to `target`; an older folder there moves away first and comes back if that fails.

    Killed between the two renames, the older one still stands under a name that `find_model` looks at, and the next
    call takes it for what it replaces.
    """
    older = replaced_model(target)
    if target.exists():
        shutil.rmtree(older, ignore_errors=True)
        target.rename(older)
    try:
        work.rename(target)
    except OSError:
        if older.exists():
            older.rename(target)
        raise
    shutil.rmtree(older, ignore_errors=True)
