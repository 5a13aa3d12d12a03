"""Assessment -> JSON record, figure, page. Knows only the nouns, no model and no file format."""

from __future__ import annotations

from boneage.reports.record import failed_record, record

__all__ = ["failed_record", "record"]
