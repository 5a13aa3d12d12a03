"""The golden answers: what the shipped model says of the phantoms in this folder.

    python tests/golden/rewrite.py            writes answers.json anew and prints every answer that moved
    python tests/golden/rewrite.py --check    prints only; exit status 1 if an answer moved

A new case is a file in this folder and an entry with `file`, `sex` (null: none is given) and `phantom` (what it shows)
under `cases` in answers.json; this script fills in its answer. The files are kept as they are: they do not change when
the code that makes phantoms does. A file without the phantom mark (every JPEG, TIFF and WebP) can be refused.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import boneage
from boneage.errors import RadiographError, UnreadableRadiograph

HERE: Final = Path(__file__).parent
ANSWERS: Final = HERE / "answers.json"

TOLERANCE_MONTHS: Final = 0.05
TOLERANCES: Final = {
    "regions": 0.5,
    "turned_degrees": 0.05,
    "mode_months": 0.0,
    "mode_probability": 0.0005,
}
"""By the name of the value: pixels, degrees, months, probability. What is not named here is in months.

A case can widen them in its own `tolerances`. One does: the values that erase region 1 are drawn with a seed taken from
the image's bytes. The bytes of a rotated image depend on the last digits of the angle, which differ from one processor
to the next; its tubular bone age then moves by up to a month.
"""


def ask(assessor: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What the model says of one case, as plain values for JSON."""
    try:
        assessment = assessor.assess(HERE / case["file"], case["sex"])
    except RadiographError as error:
        status = "failed" if isinstance(error, UnreadableRadiograph) else "rejected"
        return {"status": status, "reason": reason_of(error)}
    return {
        "status": "assessed",
        "sex": None if assessment.sex is None else assessment.sex.value,
        "by_sex": {sex.value: _answer(answer) for sex, answer in assessment.answers.items()},
        "regions": {region.value: [round(edge, 3) for edge in box.as_list()] for region, box in
                    assessment.regions.items()},
        "turned_degrees": round(assessment.turned_degrees, 3),
        "inverted": assessment.inverted,
        "remarks": remarks_of(assessment),
    }  # fmt: skip


def remarks_of(assessment: Any) -> list[str]:
    """The codes of the remarks; their sentences may be improved."""
    return [remark.code for remark in assessment.remarks]


def reason_of(error: RadiographError) -> str:
    """Why there is no answer, by its code."""
    return error.code


def _answer(answer: Any) -> dict[str, Any]:
    months = [(month, float(probability)) for month, probability in enumerate(answer.distribution, start=1)]
    mean = math.fsum(month * probability for month, probability in months)
    variance = math.fsum((month - mean) ** 2 * probability for month, probability in months)
    mode, probability = max(months, key=lambda pair: pair[1])
    parts = answer.regional_ages
    return {
        "bone_age_months": round(answer.bone_age_months, 4),
        "interval_90_months": [round(end, 4) for end in answer.interval_90_months],
        "carpal_bone_age_months": None if parts is None else round(parts.carpal_months, 4),
        "tubular_bone_age_months": None if parts is None else round(parts.tubular_months, 4),
        "mode_months": mode,
        "mode_probability": round(probability, 6),
        "sd_months": round(math.sqrt(variance), 4),
    }


def moved_in(case: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """How a new answer differs from the written one of a case."""
    return list(changes(case.get("answer"), new, tolerances={**TOLERANCES, **case.get("tolerances", {})}))


def changes(
    old: Any,
    new: Any,
    where: str = "",
    *,
    tolerances: dict[str, float] = TOLERANCES,
    tolerance: float = TOLERANCE_MONTHS,
) -> Iterator[str]:
    """Every value that differs by more than its tolerance, as "where: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            at = f"{where}: {name}" if where else name
            within = tolerances.get(name, tolerance)
            yield from changes(
                old.get(name, "(nothing)"), new.get(name, "(nothing)"), at, tolerances=tolerances, tolerance=within
            )
    elif isinstance(old, list) and isinstance(new, list) and _numbers(old) and _numbers(new):
        if len(old) != len(new) or any(abs(a - b) > tolerance for a, b in zip(old, new, strict=True)):
            yield f"{where}: {old} -> {new}"
    elif _numbers([old]) and _numbers([new]):
        if abs(new - old) > tolerance:
            yield f"{where}: {old} -> {new} ({new - old:+.4g}, tolerance {tolerance:g})"
    elif old != new:
        yield f"{where}: {json.dumps(old)} -> {json.dumps(new)}"


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def read() -> dict[str, Any]:
    """The golden answers as they were written."""
    said: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
    return said


def _as_text(golden: dict[str, Any]) -> str:
    """JSON with one value a line, lists of numbers in one line."""
    text = json.dumps(golden, indent=1, ensure_ascii=False)
    return re.sub(r"\[[\d\s.,-]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    only_check = parser.parse_args().check
    golden = read()
    assessor = boneage.load()
    now = {name: {**case, "answer": ask(assessor, case)} for name, case in golden["cases"].items()}
    moved = list(changes(golden.get("model"), assessor.model.name, "model"))
    for name, case in now.items():
        moved += [f"{name}: {line}" for line in moved_in(golden["cases"][name], case["answer"])]
    print("\n".join(moved) if moved else "no answer moved")
    if not only_check:
        ANSWERS.write_text(_as_text({"model": assessor.model.name, "cases": now}), encoding="utf-8")
    return 1 if moved and only_check else 0


if __name__ == "__main__":
    sys.exit(main())
