"""``asyncconn limits extract-ui`` and ``compat``: what needs no server."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from asyncconn.atoti_limits import check_compatibility, extract_ui_extension
from asyncconn.atoti_limits.offline.compatibility import KNOWN
from asyncconn.cli.limits.common import Generation
from asyncconn.cli.options import DryRun, Output
from asyncconn.cli.output import count, plain, remark
from asyncconn.cli.sheets import Sheet

__all__ = ["compat", "extract_ui"]

Version = str | None


def extract_ui(
    jar: Annotated[Path, typer.Argument(metavar="JAR", help="The extension's archive.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty, or not there yet.")],
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="PATH", help="Where in the archive it is; else it is looked for.")
    ] = None,
    limits_url: Annotated[
        str | None, typer.Option("--limits-url", metavar="URL", help="Fill in the Limits server's address.")
    ] = None,
    generation: Annotated[int | None, Generation] = None,
    dry_run: DryRun = False,
) -> None:
    """Extract the UI extension of a JAR, complete or not at all, and show how a session uses it.

    Archives that are damaged, or that could write elsewhere, are refused with status 2.
    """
    with tempfile.TemporaryDirectory(prefix="asyncconn-") as folder:
        place = Path(folder) / "ui" if dry_run else target
        work = extract_ui_extension(jar, place, prefix=prefix, limits_url=limits_url, generation=generation)
        found = asyncio.run(work)
    words = plain(f"{found.name} ({found.layout})")
    if dry_run:
        remark(f"{words} would be extracted to {target}; nothing was written there", result=True)
        return
    remark(f"{words} extracted to {found.directory}", result=True)
    if limits_url is not None:
        remark(f"{limits_url} filled in in {count(found.replaced, 'script')}", result=True)
    remark(f"app_extensions={{{found.name!r}: {str(found.directory)!r}}}", result=True)


def compat(
    to: Output,
    limits: Annotated[Version, typer.Option("--limits", metavar="VERSION", help="The Limits server's.")] = None,
    plugin: Annotated[Version, typer.Option("--plugin", metavar="VERSION", help="The Limits plugin's.")] = None,
    atoti_python: Annotated[
        Version, typer.Option("--atoti-python", metavar="VERSION", help="The Python package atoti's.")
    ] = None,
    atoti_server: Annotated[
        Version, typer.Option("--atoti-server", metavar="VERSION", help="The Atoti server's.")
    ] = None,
    java: Annotated[Version, typer.Option("--java", metavar="VERSION")] = None,
    python: Annotated[Version, typer.Option("--python", metavar="VERSION")] = None,
    generation: Annotated[int | None, Generation] = None,
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
