"""The commands and what is common to them: the version, words for all of them, and errors of ours as one line."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from asyncconn import __version__
from asyncconn.cli.output import error, spoken, told
from asyncconn.errors import AsyncConnError

__all__ = ["app", "with_words"]

# By command, what it is: its function, or its group (``app``), is in the module of its name.
_COMMANDS = {
    "demo": "Stream 10,220 real records into the embedded sandbox and check, by SQL, that every one landed.",
    "sandbox": "Run the embedded platforms until Ctrl-C, and show what lands.",
    "doctor": "Check this machine: Python, libraries, settings, and a record through an embedded sandbox.",
    "panoply": "Panoply: stream records into a data warehouse.",
    "source": "Data sources: what a source module asks for, and runs of it.",
    "datorama": "Datorama: lists, bulk work under the cap of 60 calls a minute, reports, queries, downloads.",
    "limits": "Atoti Limits: connect it to a session, find out why it is not connected, upload and evaluate limits.",
    "tcup": "TCUP: observations, files of the data lake, message routing, live data, tasks and workflows.",
    "rates": "Shared rates: what several processes may still use of a platform's limits.",
}


class _Later(TyperCommand):
    """Stands for a command whose module is imported when it is asked for: nobody waits for those of the others."""

    def itself(self) -> Any:
        """The command itself."""
        from asyncconn.cli.options import spread  # which reads and writes files of rows

        module = importlib.import_module(f"asyncconn.cli.{self.name}")
        made = getattr(module, "app", None)
        if made is None:
            made = typer.Typer(add_completion=False)
            made.command(self.name)(spread(getattr(module, str(self.name))))
        command = with_words(typer.main.get_command(made))
        command.name = self.name
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """That of the command itself."""
        return self.itself().make_context(info_name, args, parent, **extra)


class _Group(TyperGroup):
    """Turns errors of ours into one line and a status, unless ``--debug`` asks for the traceback."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: _Later(name=name, help=what) for name, what in _COMMANDS.items()}

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
            if spoken.debug or isinstance(problem, BrokenPipeError):
                raise
            raise typer.Exit(told(problem)) from None


app = typer.Typer(
    cls=_Group,
    name="asyncconn",
    help="Talk to data platforms from the command line, or to the embedded sandbox, with no account at all.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"asyncconn {__version__}")
        raise typer.Exit


# -- words that may stand anywhere -------------------------------------------------------------------------------------


def _verbose(times: int) -> None:
    if times:
        spoken.verbose += times
        spoken.listen()


def _quiet(wanted: bool) -> None:
    spoken.quiet |= wanted


def _debug(wanted: bool) -> None:
    spoken.debug |= wanted


_ANYWHERE = {"expose_value": False, "rich_help_panel": "Anywhere on the line"}


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            callback=_verbose,
            show_default=False,
            help="Log lines; twice: all.",
            **_ANYWHERE,
        ),
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", callback=_quiet, help="Results and errors only.", **_ANYWHERE)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", callback=_debug, help="Show the traceback of an error.", **_ANYWHERE)
    ] = False,
) -> None:
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end a command that has delivered.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def with_words(command: Any) -> Any:
    """``command``, and each of a group and of its groups, with the options that may stand anywhere on the line."""
    anywhere = [option for option in typer.main.get_command(app).params if option.name in ("verbose", "quiet", "debug")]
    left = [command]
    for one in left:
        one.params += anywhere
        left += getattr(one, "commands", {}).values()
    return command
