"""The command line: ``asyncconn`` and ``python -m asyncconn``. Needs the extra ``cli`` (typer and rich)."""

from __future__ import annotations

import logging
import sys

__all__ = ["main"]


def main() -> None:
    """The entry point. Without typer and rich: one line that says what to install, and exit status 1."""
    try:
        from asyncconn.cli.app import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich"):
            raise
        print(f"error: the command line needs {missing}: pip install 'asyncconn[cli]'", file=sys.stderr)
        raise SystemExit(1) from None
    # A command says everything itself, in its own words, and without the secrets that a source's errors may quote.
    logging.getLogger("asyncconn").addHandler(logging.NullHandler())
    app(prog_name="asyncconn")
