"""The errors that `boneage` raises on purpose, as one tree.

    BoneAgeError
    ├── UsageError                  the call is wrong: unknown word for a sex, no such folder, missing column
    ├── RadiographError             one radiograph cannot be assessed; a batch goes on without it
    │   ├── UnreadableRadiograph    the file could not be read (status "failed")
    │   └── UnsuitableRadiograph    the file was read, but must not be assessed (status "rejected")
    ├── DatasetError                a data set as a whole cannot be used
    ├── ModelError                  a model folder is missing, damaged or of another version
    ├── OutputError                 a result could not be written
    └── TrainingError               a training cannot start or go on

Every message names the problem, the file and the remedy. Every error has a stable `code`, such as `no_such_file`,
`not_a_hand` or `unknown_sex`. Programs and tests key on codes, never on sentences.
"""

from __future__ import annotations

from pathlib import Path


class BoneAgeError(Exception):
    """Root of the tree: catch it to catch every error that `boneage` raises on purpose.

    Args:
        message: the problem, the file and the remedy.
        code: stable, snake case; the class has a code of its own where none is given.

    Attributes:
        code: see above.
    """

    code: str = "error"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code


class UsageError(BoneAgeError, ValueError):
    """The call is wrong; the command line exits with status 2."""

    code = "usage"


class RadiographError(BoneAgeError):
    """One radiograph cannot be assessed.

    Args:
        code: stable, snake case.
        reason: the problem, without the file's name.
        remedy: one sentence.
        file: the path as the user gave it, where there is one.
    """

    def __init__(self, code: str, reason: str, remedy: str = "", file: str | Path | None = None) -> None:
        super().__init__(reason, code=code)
        self.reason = reason
        self.remedy = remedy
        self.file = None if file is None else str(file)
        self.args = (code, reason, remedy, file)

    def __str__(self) -> str:
        text = ". ".join(part.rstrip(".") for part in (self.reason, self.remedy) if part)
        return f"{self.file}: {text}." if self.file else f"{text}."


class UnreadableRadiograph(RadiographError):
    """The file could not be read as an image (status "failed")."""


class UnsuitableRadiograph(RadiographError):
    """The file was read, but must not be assessed (status "rejected")."""


class DatasetError(BoneAgeError):
    """A data set as a whole cannot be used."""

    code = "dataset"


class ModelError(BoneAgeError):
    """A model folder is missing, damaged or of another version; the command line exits with status 2."""

    code = "model"


class OutputError(BoneAgeError):
    """A result could not be written. An older result at its place is unchanged."""

    code = "output"


class TrainingError(BoneAgeError):
    """A training cannot start or cannot go on."""

    code = "training"
