"""A per-case statistic, a metric of it, and a bin of cases: three small pieces that combine freely.

A statistic is one number about one case. A metric brings the numbers of many cases together, with an interval from
resampled cases. A bin names the group of a case. Every metric can be measured overall and in every bin, by sex, by age
band, or by both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np

from boneage.evaluation.bootstrap import Bootstrap, Figure, Reduce

C = TypeVar("C")
R = TypeVar("R")

Statistic = Callable[[C], float | None]
"""One number about one case, or None where it has none: the case is then left out."""


@dataclass(frozen=True)
class Metric(Generic[C]):
    """A figure over cases.

    Attributes:
        statistic: of one case.
        reduce: brings the numbers of all cases together.
    """

    statistic: Statistic[C]
    reduce: Reduce = np.mean

    def measure(self, cases: Iterable[C], bootstrap: Bootstrap) -> Figure:
        """The figure with its 95 % interval."""
        found = (self.statistic(case) for case in cases)
        return bootstrap.figure([value for value in found if value is not None], reduce=self.reduce)


def measure_all(metrics: Mapping[str, Metric[C]], cases: Sequence[C], bootstrap: Bootstrap) -> dict[str, Any]:
    """{name: figure} of several metrics of the same cases."""
    return {name: metric.measure(cases, bootstrap) for name, metric in metrics.items()}


@dataclass(frozen=True)
class Bin(Generic[C]):
    """A way to share out cases.

    Attributes:
        groups: all names that there are, in the order in which they are given.
        group_of: the name for one case; None where it belongs to no group.
    """

    groups: tuple[str, ...]
    group_of: Callable[[C], str | None]

    def split(self, cases: Iterable[C]) -> dict[str, list[C]]:
        """The cases of every group, empty groups among them."""
        found: dict[str, list[C]] = {name: [] for name in self.groups}
        for case in cases:
            if (name := self.group_of(case)) is not None:
                found[name].append(case)
        return found

    def map(self, make: Callable[[list[C]], R], cases: Iterable[C]) -> dict[str, R]:
        """What `make` makes of the cases of every group."""
        return {name: make(group) for name, group in self.split(cases).items()}


class Figures:
    """Base of dataclasses whose fields are figures and plain numbers."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, field by field."""
        return {item.name: as_json(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]


def as_json(value: Any) -> Any:
    """For JSON: objects by their `as_dict`, mappings entry by entry, anything else unchanged."""
    if isinstance(value, Mapping):
        return {str(name): as_json(entry) for name, entry in value.items()}
    return value.as_dict() if hasattr(value, "as_dict") else value
