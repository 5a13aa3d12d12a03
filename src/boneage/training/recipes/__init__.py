"""Recipes: Python files with one `RECIPE` each, whose docstring gives command, hardware, hours and expected score."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from boneage.errors import UsageError
from boneage.training.recipes.recipe import Recipe

NAMES = ("paper", "compact", "tiny")
"""The recipes of the package."""
Settings = TypeVar("Settings")


def find_recipe_file(name: str) -> Path:
    """The file of one of `NAMES`; a `-` of the name is a `_` in the file's name."""
    return Path(__file__).with_name(f"{name.replace('-', '_')}.py")


def find_recipe(name_or_file: str) -> Recipe:
    """Find a recipe of the package by its name, or the `RECIPE` of a Python file.

    Raises:
        UsageError: there is no such recipe, or its file cannot be run.
    """
    file = find_recipe_file(name_or_file) if name_or_file in NAMES else Path(name_or_file)
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(
            f"{name_or_file}: is not a recipe. Take one of {', '.join(NAMES)}, or give a .py file with a RECIPE.",
            code="unknown_recipe",
        )
    spec = importlib.util.spec_from_file_location(f"boneage_recipe_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UsageError as error:
        raise UsageError(f"{file}: {error}", code=error.code) from error
    except Exception as error:
        raise UsageError(
            f"{file}: cannot be run as a recipe ({type(error).__name__}: {error}). Correct it.", code="broken_recipe"
        ) from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise UsageError(
            f"{file}: holds no RECIPE. Assign a boneage.training.recipes.recipe.Recipe to that name.",
            code="broken_recipe",
        )
    return recipe


def replace_settings(recipe: Settings, assignments: Iterable[str]) -> Settings:
    """Replace fields of a recipe or of any other group of settings.

    Args:
        assignments: `key=value` with dotted keys, as for `--set`: `regressor.schedule.epochs=12`,
            `regressor.views=H,R1`, `hand.tau=none`, `region_1.backbone.stages=4`.

    Raises:
        UsageError: there is no such key, or the value does not fit; the message names the key.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(
                f"--set {assignment}: write key=value, for instance --set hand.size=160.", code="malformed_assignment"
            )
        try:
            recipe = _replace(recipe, key.strip().split("."), text.strip())
        except UsageError as error:
            raise UsageError(f"--set {assignment}: {error}", code=error.code) from error
    return recipe


def _replace(group: Any, path: list[str], text: str) -> Any:
    name, *rest = path
    hints = typing.get_type_hints(type(group))
    if name not in hints:
        raise UsageError(f"there is no '{name}' here; there are {', '.join(hints)}.", code="unknown_setting")
    hint = hints[name]
    optional = [part for part in typing.get_args(hint) if dataclasses.is_dataclass(part)]
    if optional and rest:
        # A group that may be left out gets its defaults as soon as one of its settings is given.
        group = dataclasses.replace(group, **{name: getattr(group, name) or optional[0]()})  # type: ignore[operator]
        hint = optional[0]
    if dataclasses.is_dataclass(hint):
        if not rest:
            inner = ", ".join(field.name for field in dataclasses.fields(hint))
            raise UsageError(f"'{name}' is a group; set one of its settings: {inner}.", code="setting_is_a_group")
        value = _replace(getattr(group, name), rest, text)
    elif rest:
        raise UsageError(f"'{name}' is a value, not a group.", code="unknown_setting")
    else:
        try:
            value = _parse(text, hint)
        except (ValueError, SyntaxError) as error:
            raise UsageError(f"{error}.", code="malformed_setting") from error
    return dataclasses.replace(group, **{name: value})


def _parse(text: str, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        # Among texts "none" is a value (a random start), so None is the empty text there.
        if text == "" or (inner is not str and text.lower() in ("none", "null")):
            return None
        if dataclasses.is_dataclass(inner):
            raise ValueError("write none, or set one of its settings")
        return _parse(text, inner)
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"take one of {', '.join(map(str, arguments))}")
        return text
    if origin is tuple:
        return _parse_tuple(text, arguments)
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("write true or false")
        return text.lower() == "true"
    if hint is int:
        return int(_parse_number(text, int))
    if hint is float:
        return float(_parse_number(text, float))
    return text


def _parse_number(text: str, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"write a {'whole ' if kind is int else ''}number") from None


def _parse_tuple(text: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    inner = arguments[0]
    if typing.get_origin(inner) is tuple:
        rows = ast.literal_eval(text)
        if not isinstance(rows, (tuple, list)) or not all(isinstance(row, (tuple, list)) for row in rows):
            raise ValueError("write a tuple of tuples, for instance ((50, 1e-4),)")
        kinds = typing.get_args(inner)
        if any(len(row) != len(kinds) for row in rows):
            raise ValueError(f"each inner tuple has {len(kinds)} numbers")
        return tuple(tuple(kind(value) for kind, value in zip(kinds, row, strict=True)) for row in rows)
    parts = [part.strip().strip("'\"") for part in text.strip("()[] ").split(",")]
    return tuple(_parse(part, inner) for part in parts if part)
