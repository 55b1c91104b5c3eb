"""``asyncconn source``: what a source module asks for, and a run of it into Panoply."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import ExitStack, redirect_stdout, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

import asyncconn
from asyncconn.cli.output import bad_input, console, error, plain, spoken, stderr, table
from asyncconn.cli.source.options import Given, RunCommand, load_here, options_of
from asyncconn.cli.source.run import Job, Outcome
from asyncconn.cli.source.values import fill, is_terminal
from asyncconn.core.notes import with_notes
from asyncconn.core.secret import Secret
from asyncconn.errors import AsyncConnError, ConfigError
from asyncconn.http.redact import Redactor
from asyncconn.panoply import wire
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.panoply.sources.destination import Destination
from asyncconn.panoply.sources.params import label
from asyncconn.panoply.sources.states import StateFile
from asyncconn.settings import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.cli.source.options import SourceOption
    from asyncconn.panoply.sources.module import SourceModule
    from asyncconn.panoply.sources.params import Param

__all__ = ["app"]

Module = Annotated[
    str, typer.Argument(metavar="MODULE", help="A dotted name, or the path of a .py file or package folder.")
]

app = typer.Typer(
    help="Data sources: what a source module asks for, and runs of it.", no_args_is_help=True, add_completion=False
)


class To(StrEnum):
    """Where rows go."""

    ENV = "env"
    SANDBOX = "sandbox"


# -- describe ----------------------------------------------------------------------------------------------------------


@app.command()
def describe(
    ctx: typer.Context,
    module: Module,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """Show the title, categories and options of a source module."""
    with bad_input(ctx):
        found = load_here(module)
        options = options_of(found, _own_flags())
    if as_json:
        print(json.dumps(_described(found, options), indent=2, default=str))
        return
    out = console()
    out.print(Text(plain(found.config.title), "bold"))
    for key in ("categories", "keywords"):
        values = found.config.rest.get(key)
        if isinstance(values, list | tuple) and values:
            out.print(Text(f"{key}: {plain(', '.join(map(str, values)))}"))
    rows = [
        (
            one.param.name if one.param.secret else one.flag,
            plain(one.param.type),
            "yes" if one.param.required else "",
            _default(one.param),
            _about(one.param),
        )
        for one in options
    ]
    out.print(table("Options", ("option", "type", "required", "default", "help"), rows) if rows else "No options.")
    if secrets := [one.variable for one in options if one.param.secret]:
        out.print()
        out.print(f"Secrets come from the environment ({', '.join(secrets)}), or are asked for on a terminal.")


def _own_flags() -> set[str]:
    command = typer.main.get_command(app)
    run_command = getattr(command, "commands", {})["run"]
    return {"--help", *(opt for one in run_command.params if one.param_type_name == "option" for opt in one.opts)}


def _default(param: Param) -> str:
    if param.default in (None, ""):
        return ""
    return "***" if param.secret else plain(str(param.default))


def _about(param: Param) -> str:
    words = [text.rstrip(". ") for text in (param.title, param.help or param.description) if text]
    if isinstance(param.values, tuple):
        words.append(f"one of {', '.join(map(label, param.values))}")
    if param.dynamic:
        words.append(f"choices depend on {', '.join(param.dependencies)}" if param.dependencies else "choices")
    return plain(". ".join(words))


def _described(module: SourceModule, options: Sequence[SourceOption]) -> dict[str, Any]:
    return {
        "module": module.name,
        "stream": module.stream.__name__,
        "title": module.config.title,
        **{key: value for key, value in module.config.rest.items() if not callable(value)},
        "params": [
            {
                "name": one.param.name,
                "option": None if one.param.secret else one.flag,
                "variable": one.variable,
                "type": one.param.type,
                "required": one.param.required,
                "default": _default(one.param) if one.param.secret else one.param.default,
                "values": "dynamic" if one.param.dynamic else one.param.values,
                "dependencies": one.param.dependencies,
                "title": one.param.title,
                "help": one.param.help or one.param.description,
                "category": one.param.category,
            }
            for one in options
        ],
    }


# -- run ---------------------------------------------------------------------------------------------------------------


@app.command(cls=RunCommand)
def run(
    ctx: typer.Context,
    module: Module,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="FILE", help="Go on where a run that failed ended; keep how far.")
    ] = None,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Go on after a run that brought everything, too: do not begin anew.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print rows as JSON lines; send nothing, keep no state.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Of a dry run: end after N rows.")
    ] = None,
    to: Annotated[
        To, typer.Option("--to", help="The Panoply of the environment, or a sandbox in this process.")
    ] = To.ENV,
    destination: Annotated[
        str | None, typer.Option("--destination", metavar="PATTERN", help="The table; {field} is filled from each row.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="The number of rows that read is asked for.")
    ] = 1000,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=JSON", help="An entry of options. Repeatable.")
    ] = None,
    spool: Annotated[
        Path | None, typer.Option("--spool", metavar="PATH", help="Keep rows there until they have arrived.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--source", metavar="FILE", help="A JSON object with more keys of source.")
    ] = None,
) -> None:
    """Run a source module; options for its parameters follow MODULE, and 'run MODULE --help' shows them.

    Every parameter may come from the environment as ASYNCCONN_SOURCE_NAME; secrets come from there or are asked for.

    Status: 0 all delivered, 1 not all delivered, 2 bad input.
    """
    given: Given = ctx.obj
    with bad_input(ctx):
        if limit is not None and not dry_run:
            raise ConfigError("--limit is for --dry-run: a run that keeps state must not end in the middle")
        if keep_state and state is None:
            raise ConfigError("--keep-state is for a run with --state")
        if dry_run and (to is not To.ENV or spool is not None):
            raise ConfigError("--dry-run sends nothing: it goes with neither --to nor --spool")
        if destination is not None:
            Destination(destination)
        if to is To.ENV and not dry_run:
            settings = load(PanoplySettings)  # what is missing should be said before anything is asked
            wire.parse_credentials(settings.api_key, settings.api_secret)
        entries = _entries(option or [])
        base = _more(source)
        if state is not None:  # a token that was renewed need not be given again
            base |= asyncio.run(StateFile(state).load()).changes
        params = fill(given, base, entries, ask=is_terminal())
        params.setdefault("type", given.module.name.rpartition(".")[2].removeprefix("asyncconn_source_"))
    if destination is not None:
        params["destination"] = destination
    job = Job(given.module.stream, params, entries, batch_size, state, spool, to is To.SANDBOX, keep_state)
    redactor = Redactor(
        Secret(str(params[one.param.name])) for one in given.options if one.param.secret and params.get(one.param.name)
    )
    raise typer.Exit(_finish(ctx, job, given, redactor, dry_run=dry_run, limit=limit))


def _finish(ctx: typer.Context, job: Job, given: Given, redactor: Redactor, *, dry_run: bool, limit: int | None) -> int:
    """Run it and say how it went; the exit status."""
    outcome = Outcome()
    with ExitStack() as stack:
        if dry_run:
            # Rows have standard output for themselves: old sources print.
            out = sys.stdout
            stack.enter_context(redirect_stdout(sys.stderr))
            outcome.printed = out
        status, problem = 0, None
        try:
            asyncconn.run(lambda hub: job.run(hub, outcome, limit))
        except KeyboardInterrupt:
            status = 130
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except Exception as raised:  # a source's constructor may raise anything
            if isinstance(raised, BrokenPipeError) or spoken.debug:
                raise
            status, problem = (2 if isinstance(raised, ConfigError) else 1), raised
    for line in outcome.lines(job, plain(given.module.config.title), interrupted=status > 2):
        (stderr() if dry_run else console()).print(line)
    if problem is not None:
        kind = "" if isinstance(problem, AsyncConnError) else f"{type(problem).__name__}: "
        error(redactor.scrub(plain(f"{kind}{with_notes(problem)}")))
    return status


def _entries(given: Sequence[str]) -> dict[str, Any]:
    entries = {}
    for one in given:
        name, mark, text = one.partition("=")
        if not (name and mark):
            raise ConfigError("--option takes NAME=JSON")
        try:
            entries[name] = json.loads(text)
        except (ValueError, RecursionError):
            # It may hold a client's secret: not repeated.
            raise ConfigError(f"--option {name}: not JSON after the '='; a text stands in double quotes") from None
    return entries


def _more(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    found: Any = None
    try:
        with suppress(ValueError, RecursionError):
            found = json.loads(path.read_bytes())
    except OSError as problem:
        raise ConfigError(f"--source: {path}: {problem.strerror or problem}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"--source: {path} does not hold a JSON object")
    return found
