"""From an assessment to what people and programs read: typed record, overlays, figure, pages.

Knows the nouns only: no model, no file format.
"""

from __future__ import annotations

from boneage.reports.record import AssessmentRecord

__all__ = ["AssessmentRecord"]
