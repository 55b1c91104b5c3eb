"""Sources that the tests of ``asyncconn source`` run, and the command in this process."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from asyncconn.cli.app import app
from cli.commands import Ended

SOURCES = Path(__file__).parent / "sources"
COUNTING, ECHO = str(SOURCES / "counting.py"), str(SOURCES / "echo.py")
PASSWORD = "made-up-pass"
ENV = {"ASYNCCONN_SOURCE_PASSWORD": PASSWORD}
WHO = ("--host-name", "h", "--user", "u")


def inside(*args: str, env: dict[str, str] | None = None) -> Ended:
    """The command in this process, without a terminal."""
    done = CliRunner().invoke(app, ["source", *args], env=env or {})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)
