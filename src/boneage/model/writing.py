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
from boneage.atomic import replace_folder
from boneage.errors import ModelError, OutputError
from boneage.model.document import FORMAT, read_settings
from boneage.model.folder import (
    METRICS_FILE,
    SETTINGS_FILE,
    Model,
    check_files,
    load_model,
    replaced_model,
    settings_sha256,
    written_settings,
)

_COMPUTED: Final = {"format", "months", "created", "code_version", "files", "settings_sha256"}


def write_model(
    folder: str | Path,
    settings: Mapping[str, Any],
    networks: Mapping[str, bytes | Path],
    *,
    metrics: Mapping[str, Any] | None = None,
    others: Mapping[str, bytes] | None = None,
    replace: bool = False,
) -> Path:
    """Write a model folder, all or nothing.

    The folder is built beside its place, loaded once to see that it is whole, and then renamed. A folder that already
    holds this very model (but for the day on which it was written) stays as it is.

    Args:
        folder: the model folder to make.
        settings: `model.json` (`boneage.model.document.Settings`) without what is computed here: `format`, `months`,
            `created`, `code_version`, the networks' `file` and `sha256`, `files`, `settings_sha256`.
        networks: the ONNX bytes (or a file) of every network that `settings["networks"]` names.
        metrics: figures for `metrics.json`; None: the model has none.
        others: further files of the folder by name (a model card); `check_files` verifies them.
        replace: put it in the place of an existing model folder.

    Returns:
        The folder.

    Raises:
        ModelError: the settings are not valid, or the folder exists and `replace` is not set.
        OutputError: it could not be written; what stood there before is untouched.
    """
    target = Path(folder)
    _check_target(target, replace=replace)
    files = dict(others or {})
    if metrics is not None:
        files[METRICS_FILE] = (json.dumps(metrics, indent=2) + "\n").encode()
    try:
        contents = {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in networks.items()}
        content = _completed(settings, contents, files=files, file=target / SETTINGS_FILE)
        if _holds(target, content):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for name, data in contents.items():
                (work / f"{name}.onnx").write_bytes(data)
            for name, data in files.items():
                (work / name).write_bytes(data)
            (work / SETTINGS_FILE).write_bytes(content)
            work.chmod(0o755)
            load_model(work)
            _bring_along(target, work)
            replace_folder(work, target, aside=replaced_model(target))
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"{target}: the model cannot be written ({error.strerror or error}). Free some space or choose another "
            "folder.",
            code="cannot_write",
        ) from error
    return target


def rewrite_model(
    model: Model,
    target: str | Path,
    settings: Mapping[str, Any] | None = None,
    *,
    metrics: Mapping[str, Any] | None = None,
    others: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a model again with other settings and further files; its networks and its own files come along.

    Args:
        model: read and verified.
        target: may be the model's own folder, or one in whose place it is put.
        settings: what replaces or joins the top level of `model.json`.
        metrics: what replaces or joins the top level of `metrics.json`.
        others: further files by name, or new content for those that are there.

    Raises:
        ModelError, OutputError: see `write_model`.
    """
    document = model.settings.model_dump(mode="json", exclude=_COMPUTED)
    kept = {name: (model.folder / name).read_bytes() for name in model.settings.files if name != METRICS_FILE}
    figures = {**model.metrics, **(metrics or {})}
    return write_model(
        target,
        {**document, **(settings or {})},
        {name: network.path for name, network in model.networks.items()},
        metrics=figures or None,
        others={**kept, **(others or {})},
        replace=True,
    )


def draft_model(settings: Mapping[str, Any], networks: Mapping[str, Path]) -> Model:
    """A model in memory whose networks stay where they are, to try settings before they are written.

    Args:
        settings, networks: as for `write_model`.

    Raises:
        ModelError: the settings are not valid.
    """
    contents = {name: path.read_bytes() for name, path in networks.items()}
    file = Path(str(settings.get("name", "draft"))) / SETTINGS_FILE
    content = _completed(settings, contents, files={}, file=file)
    made, opened = read_settings(content, file, paths=networks)
    return Model(folder=file.parent, settings=made, networks=opened, localizers=made.localizers)


def _completed(
    settings: Mapping[str, Any], networks: Mapping[str, bytes], files: Mapping[str, bytes], file: Path
) -> bytes:
    """`model.json` with what is computed, validated; unknown fields are refused."""
    from boneage import __version__

    described = settings.get("networks", {})
    if set(described) != set(networks):
        raise ModelError(
            f"{file}: the settings describe {sorted(described)}, the networks are {sorted(networks)}.",
            code="invalid_model_json",
        )
    document = {
        "format": FORMAT,
        "months": [FIRST_MONTH, LAST_MONTH],
        "created": datetime.now(UTC).date().isoformat(),
        "code_version": __version__,
        **settings,
        "networks": {
            name: {**described[name], "file": f"{name}.onnx", "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in networks.items()
        },
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    made, _ = read_settings(json.dumps(document).encode(), file, strict=True)
    document = made.model_dump(mode="json")
    return written_settings({**document, "settings_sha256": settings_sha256(document)})


def _check_target(target: Path, *, replace: bool) -> None:
    if not target.exists():
        return
    if not replace:
        raise ModelError(f"{target}: exists already. Name a new folder, or remove this one first.", code="model_exists")
    if not target.is_dir():
        raise ModelError(f"{target}: is a file, not a folder. Name a new folder.", code="not_a_model_folder")
    if not (target / SETTINGS_FILE).is_file() and any(target.iterdir()):
        raise ModelError(
            f"{target}: is not a model folder and is not empty. Name a new folder.", code="not_a_model_folder"
        )


def _holds(target: Path, content: bytes) -> bool:
    """Whether a whole model folder has this `model.json`, but for the day."""
    if not (target / SETTINGS_FILE).is_file():
        return False
    try:
        model = load_model(target)
        check_files(model)
    except ModelError:
        return False
    wanted, _ = read_settings(content, target / SETTINGS_FILE)
    present, expected = (
        made.model_dump(mode="json", exclude={"created", "settings_sha256"}) for made in (model.settings, wanted)
    )
    return present == expected


def _bring_along(target: Path, work: Path) -> None:
    """Copy what a user keeps in the folder of the model that is replaced, and no model has signed."""
    source = target if target.is_dir() else replaced_model(target)
    if not source.is_dir():
        return
    try:
        document = json.loads((source / SETTINGS_FILE).read_bytes())
        networks = [entry["file"] for entry in document["networks"].values()]
        signed = {SETTINGS_FILE, *networks, *(document.get("files") or {})}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        signed = {SETTINGS_FILE}
    for path in source.iterdir():
        if path.name in signed or (work / path.name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, work / path.name, symlinks=True)
        else:
            shutil.copy2(path, work / path.name, follow_symlinks=False)


__all__ = ["draft_model", "rewrite_model", "write_model"]
