"""Bone age from a radiograph of a hand, found from ages alone.

    import boneage

    assessment = boneage.assess("hand.png", sex="female")
    assessment.bone_age_months, assessment.interval_90_months

    assessor = boneage.load("path/to/a/model/folder")
    assessment = assessor.assess("hand.png", sex="male")

Research use only, not a medical device; not for diagnosis, treatment, or age determination of asylum
seekers or athletes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boneage import errors
    from boneage.ages import Sex
    from boneage.assessment import Assessment
    from boneage.assessor import assess, load
    from boneage.radiograph import Radiograph
    from boneage.regions import Region
    from boneage.views import View

__version__ = "0.1.0"

__all__ = ["Assessment", "Radiograph", "Region", "Sex", "View", "__version__", "assess", "errors", "load"]

_HOME: Final = {
    "Assessment": "boneage.assessment",
    "Radiograph": "boneage.radiograph",
    "Region": "boneage.regions",
    "Sex": "boneage.ages",
    "View": "boneage.views",
    "assess": "boneage.assessor",
    "load": "boneage.assessor",
}


def __getattr__(name: str) -> object:
    # Importing on first use keeps `boneage --help` fast: numpy, scipy and Pillow are only loaded when needed.
    if name == "errors":
        return import_module("boneage.errors")
    if name in _HOME:
        value: object = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'boneage' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
