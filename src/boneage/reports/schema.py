"""The JSON schema of one assessment.

    python -m boneage.reports.schema docs/reference/assessment.schema.json

writes it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from boneage.atomic import write_atomically
from boneage.reports.record import AssessmentRecord

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def assessment_schema() -> str:
    """The JSON schema of `AssessmentRecord` as written by `as_json`: JSON text with a line break at its end."""
    schema = {"$schema": DIALECT, **AssessmentRecord.model_json_schema(mode="serialization")}
    return json.dumps(schema, indent=2) + "\n"


def write_schema(path: str | Path) -> None:
    """Write `assessment_schema` to a file, atomically.

    Raises:
        OutputError: the folder cannot be written to.
    """
    write_atomically(path, assessment_schema())


if __name__ == "__main__":
    write_schema(sys.argv[1])
