"""What `boneage assess` is asked for: files, folders and a table -> a list of requests, in order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from boneage.ages import parse_sex
from boneage.errors import DatasetError, UsageError


@dataclass(frozen=True)
class Request:
    """One radiograph to assess.

    Attributes:
        file: the path as the user gave it.
        path: where it lies.
        sex: the sex word, checked; None to take the header's.
        chronological_age_months: shown beside the bone age; the estimator never sees it.
        problem: why there is nothing to read (an empty folder among other arguments).
    """

    file: str
    path: Path
    sex: str | None = None
    chronological_age_months: float | None = None
    problem: str = ""


def gather(files: Iterable[str], sex: str | None, table: Path | None) -> tuple[list[Request], list[str]]:
    """The requests in the order asked, and remarks for people.

    Files and folders are assessed in the order given. A table alone asks for all its rows; beside files it tells
    their sex, and its other rows are left out. `sex` fills in where the table says nothing.

    Raises:
        UsageError: nothing is asked for, an unknown sex word, a table that cannot be used, no radiograph at all.
    """
    if sex is not None:
        parse_sex(sex, where="--sex")
    arguments = list(files)
    rows = read_table(table, sex_needed=sex is None) if table is not None else []
    remarks = []
    if not arguments and table is None:
        raise UsageError("Nothing to assess. Name files or folders, or a table with --table.")
    if arguments:
        requests = [request for argument in arguments for request in _expanded(argument)]
        known = {row.path.resolve(): row for row in rows}
        used = {request.path.resolve() for request in requests} & set(known)
        if len(known) > len(used):
            remarks.append(f"{table}: {len(known) - len(used)} of its files are not among the files given; left out.")
        requests = [_told(request, known.get(request.path.resolve())) for request in requests]
    else:
        requests = rows
    if requests and all(request.problem for request in requests):
        raise UsageError(" ".join(f"{request.file}: {request.problem}" for request in requests))
    return [replace(request, sex=request.sex or sex) for request in requests], remarks


def _told(request: Request, row: Request | None) -> Request:
    if row is None:
        return request
    return replace(
        request,
        sex=row.sex,
        chronological_age_months=row.chronological_age_months,
        problem=request.problem or row.problem,
    )


def _expanded(argument: str) -> list[Request]:
    path = Path(argument)
    if not path.is_dir():
        return [Request(argument, path)]
    from boneage.formats import find_radiographs

    try:
        return [Request(str(file), file) for file in find_radiographs(path)]
    except UsageError as error:
        # One bad folder among other arguments is a failure of that argument, not of the whole call.
        return [Request(argument, path, problem=str(error).removeprefix(f"{argument}: "))]


def read_table(table: Path, *, sex_needed: bool = True) -> list[Request]:
    """Read a CSV (or XLSX) with the columns `file,sex` and optionally `chronological_age_months`.

    Column names are read without regard to case and space; commas, semicolons and tabs separate. Paths are relative
    to the table. A row that cannot be used becomes a request with that problem: the others go on.

    Raises:
        UsageError: not readable, a column is missing, or it has no rows.
    """
    from boneage.datasets.tabular import read_sheet

    try:
        sheet = read_sheet(table)
    except DatasetError as error:
        raise UsageError(str(error)) from error
    columns = ["_".join(name.lower().split()) for name in sheet.header]
    for needed in ["file", *(["sex"] if sex_needed else [])]:
        if needed not in columns:
            found = ", ".join(columns) or "none"
            extra = " or say it for all with --sex" if needed == "sex" else ""
            raise UsageError(f"{table}: needs a column '{needed}' (columns found: {found}). Add it{extra}.")
    requests = []
    for number, cells in sheet.rows:
        row = dict(zip(columns, cells, strict=False))
        where = f"{table}, row {number}"
        if not row.get("file"):
            problem = f"{where}: the column 'file' is empty. Name a file or remove the row."
            requests.append(Request("", table.parent, problem=problem))
            continue
        request = Request(row["file"], table.parent / row["file"])
        try:
            word = row.get("sex", "")
            parse_sex(word, where=where)
            age = _age(row.get("chronological_age_months", ""), where)
            requests.append(replace(request, sex=word or None, chronological_age_months=age))
        except UsageError as error:
            requests.append(replace(request, problem=str(error)))
    if not requests:
        raise UsageError(f"{table}: the table has no rows. Add one row a radiograph.")
    return requests


def _age(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if not (math.isfinite(age) and 0 <= age <= 1200):
        raise UsageError(f"{where}: chronological_age_months is '{text}'. Write months as a number, for example 126.")
    return age
