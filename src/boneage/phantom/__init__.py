"""Phantoms: synthetic hand radiographs whose age, regions and bones are known; and the drawn hands before them.

Research use only, not a medical device. A figure reached on phantoms says nothing about children.
"""

from __future__ import annotations

from boneage.phantom.drawn import drawn_hand, write_drawn_dataset
from boneage.phantom.synthesis import Phantom, phantom
from boneage.phantom.truth import Truth

__all__ = ["Phantom", "Truth", "drawn_hand", "phantom", "write_drawn_dataset"]
