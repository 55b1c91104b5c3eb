"""``asyncconn limits extract-ui`` and ``compat``: what needs no server."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from asyncconn.atoti_limits import check_compatibility, extract_ui_extension
from asyncconn.atoti_limits.offline.compatibility import KNOWN
from asyncconn.cli.limits.common import DryRun
from asyncconn.cli.options import Output
from asyncconn.cli.output import console, count, plain
from asyncconn.cli.sheets import Sheet

__all__ = ["compat", "extract_ui"]

Generation = Annotated[
    int | None, typer.Option("--generation", min=1, max=3, help="1: plugin, 2: extension JAR, 3: SDK plugin.")
]


def extract_ui(
    jar: Annotated[Path, typer.Argument(metavar="JAR", help="The extension's archive.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty, or not there yet.")],
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="PATH", help="Where in the archive it is; else it is looked for.")
    ] = None,
    limits_url: Annotated[
        str | None, typer.Option("--limits-url", metavar="URL", help="Fill in the Limits server's address.")
    ] = None,
    generation: Generation = None,
    dry_run: DryRun = False,
) -> None:
    """Extract the UI extension of a JAR, complete or not at all, and show how a session uses it.

    Archives that are damaged, or that could write elsewhere, are refused with status 2.
    """
    with tempfile.TemporaryDirectory(prefix="asyncconn-") as folder:
        found = asyncio.run(
            extract_ui_extension(
                jar,
                Path(folder) / "ui" if dry_run else target,
                prefix=prefix,
                limits_url=limits_url,
                generation=generation,
            )
        )
    out = console()
    if dry_run:
        words = f"{found.name} ({found.layout}) would be extracted to {target}; nothing was written there"
        out.print(Text(plain(words)))
        return
    out.print(Text(plain(f"{found.name} ({found.layout}) extracted to {found.directory}")))
    if limits_url is not None:
        out.print(f"{limits_url} filled in in {count(found.replaced, 'script')}", markup=False)
    out.print(Text(f"app_extensions={{{found.name!r}: {str(found.directory)!r}}}"))


def compat(
    to: Output,
    limits: Annotated[str | None, typer.Option("--limits", metavar="VERSION", help="The Limits server's.")] = None,
    plugin: Annotated[str | None, typer.Option("--plugin", metavar="VERSION", help="The Limits plugin's.")] = None,
    atoti_python: Annotated[
        str | None, typer.Option("--atoti-python", metavar="VERSION", help="The Python package atoti's.")
    ] = None,
    atoti_server: Annotated[
        str | None, typer.Option("--atoti-server", metavar="VERSION", help="The Atoti server's.")
    ] = None,
    java: Annotated[str | None, typer.Option("--java", metavar="VERSION")] = None,
    python: Annotated[str | None, typer.Option("--python", metavar="VERSION")] = None,
    generation: Generation = None,
    strict: Annotated[bool, typer.Option("--strict", help="What nobody has documented counts as wrong.")] = False,
) -> None:
    """Judge versions against what is documented; without versions, list the documented combinations.

    Asks no server. Ends with 1 if the versions cannot work together.
    """
    if all(one is None for one in (limits, plugin, atoti_python, atoti_server, java, python)):
        columns = ("generation", "limits", "plugin", "atoti_python", "atoti_server", "java", "python", "rest")
        rows = [[getattr(one, name) for name in columns] for one in KNOWN if generation in (None, one.generation)]
        titles = ("generation", "limits", "plugin", "package atoti", "atoti server", "java", "python", "REST")
        to.put(Sheet("combination", columns, rows, dict(zip(titles, columns, strict=True))))
        return
    report = check_compatibility(
        limits, plugin, atoti_python, atoti_server, java, python, generation=generation, strict=strict
    )
    findings: list[tuple[str, str]] = [("verdict", report.verdict)]
    findings += [("generation", str(report.generation or "not known")), ("REST", report.rest_version or "not known")]
    findings += [("error", text) for text in report.errors] + [("warning", text) for text in report.warnings]
    to.put(Sheet("finding", ("what", "found"), findings))
    raise typer.Exit(1 if report.verdict == "incompatible" else 0)
