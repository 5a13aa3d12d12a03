"""Objections to a file that a user may overrule: its colours, and what its header says about modality and body part."""

from __future__ import annotations

from dataclasses import dataclass, field

from boneage.errors import UnsuitableRadiograph
from boneage.remarks import Remark


@dataclass
class Objections:
    """Raises each objection, or keeps it as a remark of the same code.

    Attributes:
        refuse: raise them.
        remarks: those that were overruled.
    """

    refuse: bool = True
    remarks: list[Remark] = field(default_factory=list)

    def add(self, code: str, reason: str, remedy: str) -> None:
        """Raise UnsuitableRadiograph, or keep a remark; `code` is one of `boneage.remarks.REMARKS`."""
        if self.refuse:
            raise UnsuitableRadiograph(code, reason, remedy)
        self.remarks.append(Remark.of(code, f"Read although {reason}. Do not rely on the answer."))
