"""Clinical standards for age and sex, as small tables with their sources.

Research use only, not a medical device. Tables are transcribed; check them against the originals before clinical use.
"""

from __future__ import annotations

from boneage.clinical.brush import brush_sd_months

__all__ = ["brush_sd_months"]
