"""Ages, file names and reasons in words for people."""

from __future__ import annotations

import re

from boneage.errors import RadiographError


def years_and_months(months: float) -> str:
    """126.3 -> "10 y 6 mo", as bone ages are commonly written."""
    years, rest = divmod(round(months), 12)
    return f"{years} y {rest} mo"


def number(value: float, digits: int = 0, *, signed: bool = False) -> str:
    """A number with a true minus sign and never a negative zero; `signed`: with a plus sign where it is positive."""
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def short_file_name(file: str, longest: int = 60) -> str:
    """A file name for people: unprintable characters become "?", a long name loses its middle."""
    name = re.sub(r"[\x00-\x1f\x7f]", "?", file.encode("utf-8", "replace").decode("utf-8"))
    return name if len(name) <= longest else f"{name[: longest // 2 - 2]}...{name[-(longest // 2 - 1) :]}"


def reason_of(error: Exception, file: str = "") -> str:
    """Why a radiograph has no answer and what to do, without the file's name in front."""
    if isinstance(error, RadiographError):
        reason = ". ".join(part.rstrip(".") for part in (error.reason, error.remedy) if part) + "."
    else:
        reason = str(error) or type(error).__name__
        reason = reason.removeprefix(f"{file}: ") if file else reason
    return reason[:1].upper() + reason[1:]
