"""Similar cases: an index of a model's training cases, with features, ages, sexes and ids, and no image.

An index belongs to one model. Features are the penultimate activations of its age network (without the sex), reduced by
PCA: `scores` are the coordinates of the cases on the principal `components`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.atomic import replacing
from boneage.errors import ModelError
from boneage.model.folder import Model
from boneage.remarks import Remark
from boneage.similar import SimilarCase, SimilarCases

FORMAT: Final = 2
SAME_RADIOGRAPH: Final = 0.01
"""Distance below which two radiographs are the same: different ones of RSNA are at least four times as far apart."""
_ARRAYS: Final = {"mean": "f4", "components": "f4", "scores": "f2", "ages": "f4", "males": "b1", "ids": "U"}
"""Array -> type in the file."""
_MAKE_AGAIN: Final = "Make it again with `boneage models index` or `boneage train --index`"


@dataclass(frozen=True, eq=False)
class SimilarCasesIndex:
    """Training cases by their features.

    Attributes:
        file: where it is stored (or will be).
        model, model_sha256: the model that it belongs to.
        count: how many similar cases an answer names.
        usual_difference_months: see `boneage.similar.SimilarCases`.
        data: name, terms and split of the data set, the number of its cases, and whether phantoms are among them.
        figures: measured on *validation*.
        mean: float32 [C].
        components: float32 [d, C]; the scores of a case are `components @ (features - mean)`.
        scores: float32 [n, d].
        ages: float32 [n], months.
        males: bool [n].
        ids: n names.
    """

    file: Path
    model: str
    model_sha256: str
    count: int
    usual_difference_months: float | None
    data: Mapping[str, Any]
    mean: npt.NDArray[np.float32] = field(repr=False)
    components: npt.NDArray[np.float32] = field(repr=False)
    scores: npt.NDArray[np.float32] = field(repr=False)
    ages: npt.NDArray[np.float32] = field(repr=False)
    males: npt.NDArray[np.bool_] = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    figures: Mapping[str, Any] = field(default_factory=dict)

    def of(self, sex: Sex) -> int:
        """How many cases are of this sex."""
        return int((self.males == (sex is Sex.MALE)).sum())

    def summary(self) -> str:
        """What the index holds and how well its cases answer, one or two lines."""
        lines = [f"{len(self.ids):,} cases: " + ", ".join(f"{sex.value} {self.of(sex):,}" for sex in Sex)]
        if seen := self.figures.get("validation"):
            of_cases, of_model = (seen[key]["value"] for key in ("similar_cases_mae_months", "model_mae_months"))
            lines.append(
                f"mean absolute error on validation (n = {seen['cases']}): median of the {self.count} similar cases "
                f"{of_cases:.2f} months, the model {of_model:.2f}"
                + ("" if seen["error_correlation"] is None else f"; errors correlate, {seen['error_correlation']:.2f}")
            )
        return "\n".join(lines)

    def check_model(self, model: Model) -> None:
        """Raise ModelError where the index belongs to another model."""
        if self.model_sha256 != model.sha256:
            raise ModelError(
                f"{self.file}: belongs to the model {self.model} (SHA-256 {self.model_sha256[:12]}...), not to "
                f"{model.name} ({model.sha256[:12]}...). Name its own model with --model, or make an index of this one "
                "with `boneage models index`.",
                code="index_mismatch",
            )

    def nearest(self, features: npt.NDArray[np.float32], sex: Sex, months: float) -> SimilarCases | None:
        """The similar cases of one sex.

        Args:
            features: float32 [C] of the radiograph.
            sex: of the child.
            months: the model's bone age, to compare.

        Returns:
            At most `count` cases, nearest first; None if the index has none of that sex.

        Raises:
            ModelError: the network gives another number of features, or non-finite ones.
        """
        if features.shape != self.mean.shape:
            raise ModelError(
                f"{self.file}: has {self.mean.size} features a case, the model gives {features.shape}. {_MAKE_AGAIN}.",
                code="index_mismatch",
            )
        if not np.isfinite(features).all():
            raise ModelError(
                f"{self.file}: the age network gives non-finite values (NaN or infinity). Verify the model with "
                "`boneage models verify`.",
                code="non_finite_output",
            )
        members, tree = self._trees[sex]
        count = min(self.count, len(members))
        if not count:
            return None
        distances, found = tree.query(self.project(features), k=[rank + 1 for rank in range(count)])
        ages = self.ages[members[found]].astype(np.float64)
        cases = tuple(
            SimilarCase(self.ids[members[at]], float(age), float(distance))
            for at, age, distance in zip(found, ages, distances, strict=True)
        )
        age = float(np.median(ages))
        remarks = tuple(self._remarks(cases[0], age, months))
        return SimilarCases(
            cases=cases,
            age_months=age,
            data=str(self.data.get("name", "")),
            usual_difference_months=self.usual_difference_months,
            remarks=remarks,
        )

    def project(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Features float32 [..., C] -> scores float32 [..., d]."""
        return np.asarray((features - self.mean) @ self.components.T, dtype=np.float32)

    @cached_property
    def _trees(self) -> dict[Sex, tuple[npt.NDArray[np.intp], Any]]:
        # Here, not above: assessing without an index does without it.
        from scipy.spatial import KDTree

        members = {sex: np.flatnonzero(self.males == (sex is Sex.MALE)) for sex in Sex}
        return {sex: (rows, KDTree(self.scores[rows])) for sex, rows in members.items()}

    def _remarks(self, nearest: SimilarCase, age: float, months: float) -> Iterator[Remark]:
        if self.data.get("phantom"):
            yield Remark.of(
                "similar_cases_from_phantoms",
                "Phantoms, not radiographs alone, are among the cases that similar ones are taken from.",
            )
        if nearest.distance < SAME_RADIOGRAPH and self.scores.std() > 0:
            yield Remark.of(
                "radiograph_in_index",
                f"The case {nearest.id} is this very radiograph or a copy of it. Its bone age and that of the similar "
                "cases are not independent of the answer; if the model learned from it, neither is the answer.",
            )
        elif self.usual_difference_months is not None and abs(age - months) > self.usual_difference_months:
            yield Remark.of(
                "similar_cases_differ",
                f"The similar cases have a median bone age of {age:.0f} months, the model answers {months:.0f}. "
                f"On 95 % of the cases they differ by at most {self.usual_difference_months:.0f} months. "
                "Review the image.",
            )


def write_index(index: SimilarCasesIndex) -> Path:
    """Write an index to its `file`, whole or not at all.

    Raises:
        OutputError: it cannot be written; what stood there before is untouched.
    """
    from boneage import __version__

    arrays: dict[str, Any] = {
        name: np.array(getattr(index, name)) if kind == "U" else np.asarray(getattr(index, name), dtype=kind)
        for name, kind in _ARRAYS.items()
    }
    header = {
        "format": FORMAT,
        "model": index.model,
        "model_sha256": index.model_sha256,
        "count": index.count,
        "usual_difference_months": index.usual_difference_months,
        "data": dict(index.data),
        "figures": dict(index.figures),
        "code_version": __version__,
    }
    signed = {**header, "sha256": _digest(header, arrays)}
    text = np.frombuffer(json.dumps(signed).encode(), dtype=np.uint8)
    with replacing(index.file) as waiting, waiting.open("wb") as stream:
        np.savez_compressed(stream, header=text, **arrays)
    return index.file


def read_index(file: str | Path) -> SimilarCasesIndex:
    """Read and verify an index.

    Raises:
        ModelError: it is missing, damaged, or of another version; the message names the file.
    """
    path = Path(file)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            header = json.loads(stored["header"].tobytes())
            checksum = header.pop("sha256")
            # The version comes first: another version may well hold other arrays.
            arrays = {name: stored[name] for name in _ARRAYS} if header["format"] == FORMAT else {}
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such index. {_MAKE_AGAIN}.", code="no_such_index") from error
    except Exception as error:
        # A damaged archive may raise anything: its unpacking passes through three libraries.
        raise ModelError(
            f"{path}: cannot be read as an index ({error}). {_MAKE_AGAIN}.", code="damaged_index"
        ) from error
    if not arrays:
        raise ModelError(
            f"{path}: index format {header['format']!r}; this version of boneage reads format {FORMAT}. {_MAKE_AGAIN}.",
            code="other_format",
        )
    if checksum != _digest(header, arrays):
        raise ModelError(f"{path}: does not match its checksum: the file was changed. {_MAKE_AGAIN}.", code="checksum")
    try:
        index = SimilarCasesIndex(
            file=path,
            model=str(header["model"]),
            model_sha256=str(header["model_sha256"]),
            count=int(header["count"]),
            usual_difference_months=header["usual_difference_months"],
            data=header["data"],
            figures=header["figures"],
            mean=arrays["mean"],
            components=arrays["components"],
            scores=arrays["scores"].astype(np.float32),
            ages=arrays["ages"],
            males=arrays["males"],
            ids=tuple(arrays["ids"].tolist()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: is not a complete index ({error!r}). {_MAKE_AGAIN}.", code="damaged_index"
        ) from error
    _check(index)
    return index


def _check(index: SimilarCasesIndex) -> None:
    """Raise ModelError where the arrays do not fit each other."""
    cases = len(index.ids)
    wrong = [
        index.components.ndim != 2 or index.mean.shape != index.components.shape[1:],
        index.scores.shape != (cases, len(index.components)),
        index.ages.shape != (cases,),
        index.males.shape != (cases,),
        cases == 0 or index.count < 1,
    ]
    if any(wrong) or not np.isfinite(index.scores).all() or not _are_ages(index.ages):
        raise ModelError(f"{index.file}: its arrays do not fit each other. {_MAKE_AGAIN}.", code="damaged_index")


def _are_ages(ages: npt.NDArray[np.float32]) -> bool:
    return bool(np.isfinite(ages).all() and ages.min() >= FIRST_MONTH and ages.max() <= LAST_MONTH)


def _digest(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name in _ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
