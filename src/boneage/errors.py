"""Everything that `boneage` raises on purpose, as one tree.

    BoneAgeError
    ├── UsageError                  the call itself is wrong: unknown sex word, no such folder, missing column
    ├── RadiographError             one file; a batch goes on without it
    │   ├── UnreadableRadiograph    could not be read (status "failed")
    │   └── UnsuitableRadiograph    was read, but is not to be assessed (status "rejected")
    ├── DatasetError                a data set as a whole cannot be used
    ├── ModelError                  a model folder is missing, damaged or of another version
    ├── OutputError                 something could not be written
    └── TrainingError               a training cannot start or go on

Every message says what was wrong, with which file, and what to do about it. Every error has a stable `code`
(`no_such_file`, `not_a_hand`, `unknown_sex`, ...): programs and tests key on codes, never on sentences.
"""

from __future__ import annotations

from pathlib import Path


class BoneAgeError(Exception):
    """Root of the tree: catch this to catch everything that `boneage` raises on purpose.

    Args:
        message: what was wrong, with which file, and what to do.
        code: stable, snake case; the kind's own code where a raise gives none.

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
        reason: what was wrong, in plain words, without the file's name.
        remedy: what to do about it, one sentence.
        file: the path as the user gave it, where there is one.
    """

    def __init__(self, code: str, reason: str, remedy: str = "", file: str | Path | None = None) -> None:
        super().__init__(reason, code=code)
        self.reason = reason
        self.remedy = remedy
        self.file = None if file is None else str(file)
        self.args = (code, reason, remedy, file)

    def __str__(self) -> str:
        said = ". ".join(part.rstrip(".") for part in (self.reason, self.remedy) if part)
        return f"{self.file}: {said}." if self.file else f"{said}."


class UnreadableRadiograph(RadiographError):
    """The file could not be read as a picture (status "failed")."""


class UnsuitableRadiograph(RadiographError):
    """The file was read, but must not be assessed (status "rejected")."""


class DatasetError(BoneAgeError):
    """A data set as a whole cannot be used."""

    code = "dataset"


class ModelError(BoneAgeError):
    """A model folder is missing, damaged, or of a version that this code does not read; exit status 2 as well."""

    code = "model"


class OutputError(BoneAgeError):
    """Something could not be written; what stood there before is untouched."""

    code = "output"


class TrainingError(BoneAgeError):
    """A training cannot start or cannot go on."""

    code = "training"
