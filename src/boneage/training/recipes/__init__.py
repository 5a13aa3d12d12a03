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
from boneage.training.recipes.settings import Recipe

NAMES = ("paper", "compact", "tiny")
Settings = TypeVar("Settings")


def find_recipe(name_or_file: str) -> Recipe:
    """A recipe that came with the package, or the `RECIPE` of a Python file of your own.

    Raises:
        UsageError: there is no such recipe, or its file cannot be run.
    """
    file = Path(__file__).with_name(f"{name_or_file}.py") if name_or_file in NAMES else Path(name_or_file)
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(
            f"'{name_or_file}' is no recipe. Take one of {', '.join(NAMES)}, or give a .py file with a RECIPE."
        )
    spec = importlib.util.spec_from_file_location(f"boneage_recipe_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{file}: cannot be run as a recipe ({type(error).__name__}: {error}). Correct it.") from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise UsageError(f"{file}: holds no RECIPE of the kind boneage.training.recipes.settings.Recipe.")
    return recipe


def replaced(recipe: Settings, assignments: Iterable[str]) -> Settings:
    """A recipe, or any other group of settings, with some fields replaced.

    Args:
        assignments: `key=value` with dotted keys, as for `--set`: `regressor.schedule.epochs=12`,
            `regressor.views=H,R1`, `hand.tau=none`, `region_1.backbone.stages=4`.

    Raises:
        UsageError: no such key, or a value of another type; the message names the keys that there are.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment}: write key=value, for instance --set hand.size=160.")
        recipe = _with(recipe, key.strip().split("."), text.strip(), key.strip())
    return recipe


def _with(group: Any, path: list[str], text: str, key: str) -> Any:
    hints = typing.get_type_hints(type(group))
    if path[0] not in hints:
        raise UsageError(f"--set {key}: there is no '{path[0]}' here; there are {', '.join(hints)}.")
    hint = hints[path[0]]
    optional = [part for part in typing.get_args(hint) if dataclasses.is_dataclass(part)]
    if optional and len(path) > 1:
        # A group that may be left out comes with its defaults where one of its settings is given.
        group = dataclasses.replace(group, **{path[0]: getattr(group, path[0]) or optional[0]()})  # type: ignore[operator]
        hint = optional[0]
    if dataclasses.is_dataclass(hint):
        if len(path) == 1:
            inner = ", ".join(f"{key}.{field.name}" for field in dataclasses.fields(hint))
            raise UsageError(f"--set {key}: that is a group; set one of {inner}.")
        value = _with(getattr(group, path[0]), path[1:], text, key)
    elif len(path) > 1:
        raise UsageError(f"--set {key}: '{path[0]}' is a value, not a group.")
    else:
        try:
            value = _parsed(text, hint)
        except (ValueError, SyntaxError) as error:
            raise UsageError(f"--set {key}={text}: {error}.") from error
    return dataclasses.replace(group, **{path[0]: value})


def _parsed(text: str, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        # "none" is a word of its own for texts (a random start), so an empty text means None there.
        if text == "" or (inner is not str and text.lower() in ("none", "null")):
            return None
        if dataclasses.is_dataclass(inner):
            raise ValueError("write none, or set one of its settings")
        return _parsed(text, inner)
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"take one of {', '.join(map(str, arguments))}")
        return text
    if origin is tuple:
        return _parsed_tuple(text, arguments)
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("write true or false")
        return text.lower() == "true"
    if hint is int:
        return int(_number(text, int))
    if hint is float:
        return float(_number(text, float))
    return text


def _number(text: str, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"write a {'whole ' if kind is int else ''}number") from None


def _parsed_tuple(text: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
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
    return tuple(_parsed(part, inner) for part in parts if part)
