"""Drawn hands: pictures whose age and regions are known, for tests and demonstrations only."""

from __future__ import annotations

from boneage.phantom.drawn import drawn_hand, write_drawn_dataset

__all__ = ["drawn_hand", "write_drawn_dataset"]
