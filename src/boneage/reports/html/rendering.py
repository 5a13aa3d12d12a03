"""The Jinja templates of every page; `templates/base.html.jinja` and `templates/style.css` are shared by all."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from boneage.reports.text import number, short_file_name, years_and_months


def render(template: str, **values: Any) -> str:
    """Fill a template in.

    Args:
        template: file name in `templates/`, such as "index.html.jinja".
        values: what it shows. Text is escaped; a name that the template uses and that is missing is an error.

    Returns:
        A whole page that needs no other file.
    """
    return _environment().get_template(template).render(values)


def data_url(image: bytes, kind: Literal["png", "jpeg"]) -> str:
    """An image file as an address that needs no file."""
    return f"data:image/{kind};base64,{b64encode(image).decode()}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("boneage.reports.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "years_and_months": years_and_months,
        "number": number,
        "short_file_name": short_file_name,
    }
    return environment
