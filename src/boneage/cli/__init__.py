"""The command `boneage`.

Commands are imported only when they are called, so that `boneage --help` is fast and `boneage assess` never
imports what only training needs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from boneage.cli.process import prepare_process
from boneage.errors import BoneAgeError, ModelError, UsageError

_COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "assess": ("boneage.cli.assess", "assess", "Bone age of radiographs."),
    "train": ("boneage.cli.train", "train", "Train both phases from ages alone and write a model folder."),
    "evaluate": ("boneage.cli.evaluate", "evaluate", "Measure a model on a data set: predictions, metrics, report."),
    "reproduce": ("boneage.cli.reproduce", "reproduce", "Run the paper's experiments, and those beyond it."),
    "regions": ("boneage.cli.regions", "regions", "Boxes and crops of many radiographs."),
    "phantom": ("boneage.cli.phantom", "phantom", "Write synthetic radiographs with known truth."),
    "models": ("boneage.cli.models", "app", "List, verify, describe and index models."),
}
"""Command -> module, attribute (a function or a Typer application), and one line of help."""

_TRAINING_LIBRARIES: Final = frozenset({"torch", "timm", "lightning", "torchvision", "onnx"})


class _Commands(TyperGroup):
    """A group that loads a command's module when the command is called, and turns errors into messages."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # --help needs no more than the name and a line of help.
        return TyperCommand(cmd_name, help=_COMMANDS[cmd_name][2]) if cmd_name in _COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = {name: self.get_command(ctx, name) for name in _COMMANDS}
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else _loaded(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader (`| head`) has gone. Without this Python prints an error when it flushes at exit.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (UsageError, ModelError) as error:
            # Without a model nothing is assessed at all: status 1 would mean that some radiographs were.
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from error
        except BoneAgeError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from error
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _TRAINING_LIBRARIES:
                raise
            remedy = "Training needs it: pip install 'boneage[train]'."
            typer.echo(f"Error: {error.name} is not installed. {remedy}", err=True)
            raise typer.Exit(2) from error


def _loaded(name: str) -> Any:
    module, attribute, line = _COMMANDS[name]
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        alone.command(name, help=found.__doc__ or line)(found)
        command = typer.main.get_command(alone)
    command.name = name
    return command


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    # With markup, a help text would lose words in brackets, such as [train].
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # Every command takes these from its parent.
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from boneage import __version__

        typer.echo(f"boneage {__version__}")
        raise typer.Exit


@app.callback()
def _boneage(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    """Bone age from radiographs of the hand, learned from ages alone.

    Research use only, not a medical device; not for diagnosis, treatment, or age determination of asylum seekers or
    athletes.
    """


def main() -> None:
    """The entry point of the command `boneage`."""
    prepare_process()
    app(prog_name="boneage")
