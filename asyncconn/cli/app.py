"""The commands and what is common to them: the version, and errors of ours as one line."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from asyncconn import __version__
from asyncconn.cli import demo, doctor, panoply, sandbox
from asyncconn.cli.output import error
from asyncconn.errors import AsyncConnError

__all__ = ["app"]


class _Group(TyperGroup):
    """Turns errors of ours into one line and a status, unless ``--debug`` asks for the traceback."""

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
            error(str(problem))
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
app.command("demo")(demo.demo)
app.command("sandbox")(sandbox.sandbox)
app.command("doctor")(doctor.doctor)
app.add_typer(panoply.app, name="panoply")


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
