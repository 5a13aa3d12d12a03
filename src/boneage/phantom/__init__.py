"""Phantoms: synthetic hand radiographs whose age, regions and bones are known.

Research use only, not a medical device. Figures reached on phantoms say nothing about children.
"""

from __future__ import annotations

from boneage.phantom.synthesis import Phantom, phantom
from boneage.phantom.truth import Truth

__all__ = ["Phantom", "Truth", "phantom"]
