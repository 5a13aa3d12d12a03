"""What is to be assessed: files, folders and a table -> requests, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from boneage.ages import Sex, is_missing, parse_sex
from boneage.datasets.columns import ColumnIndices, Columns, Row, find_columns, read_rows
from boneage.datasets.image_matching import ImageFinder, find_files
from boneage.datasets.tabular import Sheet, read_sheet
from boneage.errors import DatasetError, UnreadableRadiograph, UsageError
from boneage.formats.folder_search import ARCHIVE_SUFFIXES, count_in_words, find_radiographs_and_others
from boneage.radiograph import Radiograph

_OLDEST_MONTHS: Final = 1200
_PROBLEMS_TOLD: Final = 3
_UNPACK: Final = "Unpack it and give the folder"
_REMEDIES: Final = {"unreadable age": "Write months as a number, for example 126"}


@dataclass(frozen=True)
class Request:
    """One radiograph to assess.

    Attributes:
        file: the path as the user gave it.
        path: where it lies.
        sex: a valid sex word; None to take the header's.
        chronological_age_months: shown beside the bone age; never an input of the model.
        problem: why there is nothing to read, such as an empty folder or an invalid row.
        line: of the table; 0 without one.
    """

    file: str
    path: Path
    sex: str | None = None
    chronological_age_months: float | None = None
    problem: UnreadableRadiograph | None = None
    line: int = 0

    @property
    def known_sex(self) -> Sex | None:
        """The sex that the user gave; None where the header decides, or it is unknown."""
        return parse_sex(self.sex)

    def read(self, *, refuse: bool = True) -> Radiograph:
        """The radiograph, under the file name that the user gave.

        Args:
            refuse: see `boneage.formats.read_radiograph`.

        Raises:
            UnreadableRadiograph: there is nothing to read (`problem`), or it cannot be read.
            UnsuitableRadiograph: it is not a radiograph.
        """
        if self.problem is not None:
            raise self.problem
        # Here, not above: the readers load pydicom and Pillow's plug-ins.
        from boneage.formats import read_radiograph

        return replace(read_radiograph(self.path, refuse=refuse), file=self.file)


def gather_requests(files: Iterable[str], sex: str | None, table: Path | None) -> tuple[list[Request], list[str]]:
    """The requests in the order given, and notes for people.

    Files and folders come in their order, a folder's radiographs sorted. A table alone asks for all its rows. Beside
    files, a table gives their sex and age; its other rows are left out. `sex` fills in where the table gives none.
    Rows of a table that name the same file are one request; they must not contradict each other. Files of folders that
    are not radiographs are counted in the notes.

    Raises:
        UsageError: nothing is asked for (`nothing_to_assess`), an unknown sex word (`unknown_sex`), a table that cannot
            be used (see `read_requests`), or not one radiograph (the code of the first problem).
    """
    if sex is not None:
        parse_sex(sex, where="--sex")
    arguments = list(files)
    if not arguments and table is None:
        message = "Nothing to assess. Name files or folders, or a table with --table."
        raise UsageError(message, code="nothing_to_assess")
    notes: list[str] = []
    rows: list[Request] = []
    if table is not None:
        read = read_requests(table, sex_needed=sex is None)
        rows = merge_rows(read, table)
        if len(rows) < len(read):
            notes.append(f"{table}: {len(read) - len(rows):,} of its rows repeat a file of another row.")
    requests = rows
    if arguments:
        requests = [request for argument in arguments for request in _expand(argument, notes)]
        known = {row.path.resolve(): row for row in rows}
        unused = known.keys() - {request.path.resolve() for request in requests}
        if unused:
            notes.append(f"{table}: {len(unused)} of its files are not among the files given; left out.")
        requests = [_complete(request, known.get(request.path.resolve())) for request in requests]
    problems = [request.problem for request in requests if request.problem is not None]
    if problems and len(problems) == len(requests):
        raise UsageError(_tell(problems), code=problems[0].code)
    return [replace(request, sex=request.sex or sex) for request in requests], notes


def _tell(problems: Sequence[UnreadableRadiograph]) -> str:
    """The first few problems, one a line, and the number of the others."""
    lines = [str(problem) for problem in problems[:_PROBLEMS_TOLD]]
    if len(problems) > _PROBLEMS_TOLD:
        codes = Counter(problem.code for problem in problems[_PROBLEMS_TOLD:])
        kinds = ", ".join(f"{count:,} {code}" for code, count in codes.most_common(_PROBLEMS_TOLD))
        lines.append(f"And {len(problems) - _PROBLEMS_TOLD:,} more ({kinds}).")
    return "\n".join(lines)


def merge_rows(rows: Sequence[Request], table: Path) -> list[Request]:
    """One request a file, at the place of its first row; a value that one row lacks is taken from another.

    Rows with different sexes or ages for the same file become one request with the problem `contradicting_rows`.
    """
    by_file: dict[Path, list[Request]] = {}
    for number, row in enumerate(rows):
        # A row without a file stays by itself.
        by_file.setdefault(row.path.resolve() if row.file else Path(str(number)), []).append(row)
    return [group[0] if len(group) == 1 else _merge(group, table) for group in by_file.values()]


def _merge(group: Sequence[Request], table: Path) -> Request:
    first = group[0]
    if problem := next((row.problem for row in group if row.problem is not None), None):
        return replace(first, problem=problem)
    sexes = {parse_sex(row.sex): row.sex for row in group if row.sex}
    ages = {row.chronological_age_months for row in group if row.chronological_age_months is not None}
    if len(sexes) > 1 or len(ages) > 1:
        lines = ", ".join(str(row.line) for row in group)
        what = "sexes" if len(sexes) > 1 else "ages"
        reason = f"{table}: the rows {lines} give it different {what}"
        problem = UnreadableRadiograph("contradicting_rows", reason, "Correct the table", file=first.file)
        return replace(first, sex=None, chronological_age_months=None, problem=problem)
    return replace(first, sex=next(iter(sexes.values()), None), chronological_age_months=next(iter(ages), None))


def _complete(request: Request, row: Request | None) -> Request:
    """The request with what a row of the table says about its file."""
    if row is None:
        return request
    return replace(
        request,
        sex=row.sex,
        chronological_age_months=row.chronological_age_months,
        problem=request.problem or row.problem,
    )


def _expand(argument: str, notes: list[str]) -> list[Request]:
    path = Path(argument)
    if not path.is_dir():
        if path.suffix.lower() in ARCHIVE_SUFFIXES and path.is_file():
            problem = UnreadableRadiograph("packed_files", "it is a packed file", _UNPACK, file=argument)
            return [Request(argument, path, problem=problem)]
        return [Request(argument, path)]
    try:
        found = find_radiographs_and_others(path)
    except UsageError as error:
        # One bad folder among other arguments is a failure of that argument, not of the whole call.
        reason = str(error).removeprefix(f"{argument}: ")
        return [Request(argument, path, problem=UnreadableRadiograph(error.code, reason, file=argument))]
    others = count_in_words(found.left_out)
    if not found.files:
        reason = "the folder holds no radiograph" + (f"; {others}" if others else "")
        remedy = "Give one with PNG, JPEG, TIFF, WebP or DICOM files in it"
        code = "no_radiograph"
        if found.left_out.keys() & ARCHIVE_SUFFIXES:
            code, remedy = "packed_files", _UNPACK
        return [Request(argument, path, problem=UnreadableRadiograph(code, reason, remedy, file=argument))]
    if others:
        notes.append(f"{argument}: {others}.")
    return [Request(str(file), file) for file in found.files]


def read_requests(table: Path, *, sex_needed: bool = True) -> list[Request]:
    """Read a CSV or XLSX with one radiograph a row. A row with an invalid value becomes a request with that problem.

    Columns have the names that the data-set reader knows: file (or id), sex (or male), chronological_age_months.
    Files are relative to the table. An id without an image extension stands for the image of that name.

    Args:
        table: the file.
        sex_needed: whether a table without a column for the sex is refused.

    Raises:
        UsageError: it cannot be read (`cannot_read`, `damaged_table`), lacks a column (`missing_column`) or has no rows
            (`empty_table`).
    """
    try:
        sheet = read_sheet(table)
    except DatasetError as error:
        raise UsageError(str(error), code=error.code) from error
    indices = find_columns(sheet, Columns())
    found = ", ".join(sheet.header) or "none"
    if not indices.keys() & {"file", "id"}:
        message = f"{table}: needs a column 'file' (columns found: {found}). Add it."
        raise UsageError(message, code="missing_column")
    if sex_needed and not indices.keys() & {"sex", "male"}:
        message = f"{table}: needs a column 'sex' (columns found: {found}). Add it or give the sex of all with --sex."
        raise UsageError(message, code="missing_column")
    if not sheet.rows:
        raise UsageError(f"{table}: the table has no rows. Add one row a radiograph.", code="empty_table")
    images = _Images(table.parent)
    return [_read_request(sheet, indices, line=line, cells=cells, images=images) for line, cells in sheet.rows]


def _read_request(sheet: Sheet, indices: ColumnIndices, line: int, cells: tuple[str, ...], images: _Images) -> Request:
    where = f"{sheet.file}, row {line}"
    file = _cell(cells, indices, "file") or _cell(cells, indices, "id")
    request = Request(file, sheet.file.parent / file, line=line)
    if not file:
        return _invalid(
            request, "missing_file_name", reason=f"{where}: the column 'file' is empty", remedy="Name a file"
        )
    # The sex word is read here: the data-set reader makes no difference between "unknown" and an empty cell.
    wanted = {meaning: index for meaning, index in indices.items() if meaning not in ("sex", "age", "split")}
    rows, dropped, _ = read_rows(Sheet(sheet.file, sheet.header, ((line, cells),)), wanted, Columns())
    if dropped:
        reason = dropped[0].reason
        detail = f"{where}: {reason}: {dropped[0].detail}"
        return _invalid(
            request, reason.replace(" ", "_"), reason=detail, remedy=_REMEDIES.get(reason, "Correct the row")
        )
    (row,) = rows
    age = row.chronological_age_months
    if age is not None and not 0 <= age <= _OLDEST_MONTHS:
        reason = f"{where}: {age:g} months is not a valid chronological age"
        return _invalid(request, "invalid_age", reason=reason, remedy=_REMEDIES["unreadable age"])
    word = row.sex.value if row.sex else _cell(cells, indices, "sex")
    try:
        parse_sex(word, where=where)
    except UsageError as error:
        return replace(request, problem=UnreadableRadiograph(error.code, str(error), file=file))
    request = replace(request, sex=None if is_missing(word) else word, chronological_age_months=age)
    path, conflict = images.find(row)
    if conflict:
        return _invalid(request, "several_files", reason=f"{where}: several files have this name", remedy=conflict)
    return replace(request, path=path)


def _invalid(request: Request, code: str, reason: str, remedy: str) -> Request:
    return replace(request, problem=UnreadableRadiograph(code, reason, remedy, request.file or None))


def _cell(cells: tuple[str, ...], indices: ColumnIndices, meaning: str) -> str:
    index = indices[meaning][0] if meaning in indices else len(cells)
    return cells[index] if index < len(cells) else ""


class _Images:
    """Finds the files of rows; the folder of the table is searched only for names that are not paths of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finder: ImageFinder | None = None

    def find(self, row: Row) -> tuple[Path, str]:
        """The file of a row, and what to do where several files have its name.

        A table of Windows has backslashes, and one of another computer has paths that do not exist here. Of such a path
        the last folder and the name must be found: another child's radiograph may have the same name in another folder.
        """
        written = row.name if (self.folder / row.name).exists() else row.name.replace("\\", "/")
        plain, inside = self.folder / written, self.folder / row.folder.replace("\\", "/") / written
        for path in (plain, inside):
            if path.is_file():
                return path, ""
        if self._finder is None:
            self._finder = ImageFinder(dict.fromkeys(find_files(self.folder)[1]))
        (match,) = self._finder.match([(row, None)])
        folders = PurePosixPath(written).parts[:-1]
        if match.path is None or (folders and match.path.parent.name.casefold() != folders[-1].casefold()):
            return plain, match.conflict
        return match.path, ""
