"""The commands and what is common to them: the version, and errors of ours as one line."""

from __future__ import annotations

import importlib
import sys
from collections import UserDict
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from asyncconn import __version__
from asyncconn.cli.output import error
from asyncconn.errors import AsyncConnError

__all__ = ["app"]

# By command, the module of its name and what stands for it there: a function, or a group of commands.
_HOMES = {
    "demo": "demo",
    "sandbox": "sandbox",
    "doctor": "doctor",
    "panoply": "app",
    "source": "app",
    "datorama": "app",
    "limits": "app",
}


class _Commands(UserDict[str, Any]):
    """Imports a command when it is asked for: nobody waits for the modules of the others."""

    def __getitem__(self, name: str) -> Any:
        command = super().__getitem__(name)
        if command is None:
            found = getattr(importlib.import_module(f"asyncconn.cli.{name}"), _HOMES[name])
            if not isinstance(found, typer.Typer):
                made = typer.Typer(add_completion=False)
                made.command(name)(found)
                found = made
            command = self[name] = typer.main.get_command(found)
            command.name = name
        return command


class _Group(TyperGroup):
    """Turns errors of ours into one line and a status, unless ``--debug`` asks for the traceback."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(dict.fromkeys(_HOMES))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            error("interrupted")
            raise typer.Exit(130) from None
        except (AsyncConnError, OSError) as problem:
            # A reader that has gone away is no error of ours, and there is nobody left to tell.
            if ctx.params.get("debug") or isinstance(problem, BrokenPipeError):
                raise
            error(problem)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Group,
    name="asyncconn",
    help="Talk to data platforms from the command line, or to the embedded sandbox, with no account at all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"asyncconn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end a command that has delivered.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")
