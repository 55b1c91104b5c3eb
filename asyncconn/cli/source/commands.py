"""``asyncconn source``: what a source module asks for, and a run of it into Panoply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.cli.options import Output, json_object, spread
from asyncconn.cli.output import BAD_INPUT, console, error, plain, spoken, table
from asyncconn.cli.running import run_to_end
from asyncconn.cli.sheets import Sheet
from asyncconn.cli.source.asking import fill
from asyncconn.cli.source.options import Given, RunCommand, about, load_here, options_of
from asyncconn.cli.source.run import Job, RunOptions, To
from asyncconn.core.notes import with_notes
from asyncconn.core.secret import Secret
from asyncconn.errors import AsyncConnError
from asyncconn.http.redact import Redactor
from asyncconn.panoply import StateFile, wire
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.settings import load

if TYPE_CHECKING:
    from asyncconn.cli.source.options import SourceOption
    from asyncconn.panoply.sources.params import Param

__all__ = ["app"]

Module = Annotated[
    str, typer.Argument(metavar="MODULE", help="A dotted name, or the path of a .py file or package folder.")
]

app = typer.Typer(
    help="Data sources: what a source module asks for, and runs of it.", no_args_is_help=True, add_completion=False
)


@app.command()
@spread
def describe(module: Module, to: Output) -> None:
    """Show the title, categories and options of a source module; in another form than a table, its parameters."""
    found = load_here(module)
    commands: Any = typer.main.get_command(app)
    options = options_of(found, commands.commands["run"])
    if not to.shown:
        rows = [_described(one) for one in options]
        to.put(Sheet("parameter", list(rows[0]) if rows else ["name"], [list(row.values()) for row in rows]))
        return
    out = console()
    out.print(Text(plain(found.config.title), "bold"))
    for key in ("categories", "keywords"):
        values = found.config.rest.get(key)
        if isinstance(values, list | tuple) and values:
            out.print(Text(f"{key}: {plain(', '.join(map(str, values)))}"))
    lines = [
        (
            one.param.name if one.param.secret else one.flag,
            plain(one.param.type),
            "yes" if one.param.required else "",
            plain(str(_default(one.param) or "")),
            about(one.param),
        )
        for one in options
    ]
    out.print(table("Options", ("option", "type", "required", "default", "help"), lines) if lines else "No options.")
    if secrets := [one.variable for one in options if one.param.secret]:
        out.print()
        out.print(f"Secrets come from the environment ({', '.join(secrets)}), or are asked for on a terminal.")


def _default(param: Param) -> Any:
    return "***" if param.secret and param.default not in (None, "") else param.default


def _described(one: SourceOption) -> dict[str, Any]:
    param = one.param
    return {
        "name": param.name,
        "option": None if param.secret else one.flag,
        "variable": one.variable,
        "type": param.type,
        "required": param.required,
        "default": _default(param),
        "values": "dynamic" if param.dynamic else param.values,
        "dependencies": list(param.dependencies),
        "title": param.title,
        "help": param.help or param.description,
        "category": param.category,
    }


@app.command(cls=RunCommand)
@spread
def run(ctx: typer.Context, module: Module, how: RunOptions) -> None:
    """Run a source module; options for its parameters follow MODULE, and 'run MODULE --help' shows them.

    Every parameter may come from the environment as ASYNCCONN_SOURCE_NAME; secrets come from there or are asked for.

    Status: 0 all delivered, 1 not all delivered, 2 bad input.
    """
    given: Given = ctx.obj
    if how.to is To.ENV and not how.dry_run:
        settings = load(PanoplySettings)  # what is missing should be said before anything is asked
        wire.parse_credentials(settings.api_key, settings.api_secret)
    entries = how.entries()
    base = {} if how.source is None else json_object(how.source)
    if how.state is not None:  # a token that was renewed need not be given again
        base |= asyncio.run(StateFile(how.state).load()).changes
    params = fill(given, base, entries)
    params.setdefault("type", given.module.name.rpartition(".")[2].removeprefix("asyncconn_source_"))
    if how.destination is not None:
        params["destination"] = how.destination
    secrets = [str(params[one.param.name]) for one in given.options if one.param.secret and params.get(one.param.name)]
    spoken.scrub = Redactor(map(Secret, secrets)).scrub  # what a source logs, or raises, may quote them
    job = Job(given.module.stream, params, entries, how)
    status, problem = run_to_end(job.preview if how.dry_run else job.run)
    job.tell(plain(given.module.config.title), interrupted=status > BAD_INPUT)
    if problem is not None:
        kind = "" if isinstance(problem, AsyncConnError) else f"{type(problem).__name__}: "
        error(spoken.scrub(plain(f"{kind}{with_notes(problem)}")))
    raise typer.Exit(status)
