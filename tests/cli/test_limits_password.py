"""A password is asked for on a terminal, is not shown, and is never an option."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from asyncconn.sandbox import LimitsWorld, Sandbox
from cli.commands import command, environment, run

if TYPE_CHECKING:
    from pathlib import Path

ASKED = b"Password of admin: "  # the space comes when what is typed is no longer shown


def on_a_terminal(folder: Path, env: dict[str, str], typed: bytes) -> tuple[int, bytes]:
    """Types ``typed`` when it is asked; the status, and everything that the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("limits", "structures", "--user", "admin"),
        cwd=folder,
        env=environment(env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # there is no other terminal that it could ask on
    )
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux' word for the end
                part = b""
            if not part:
                break
            before, shown = shown, shown + part
            if ASKED in shown and ASKED not in before:
                os.write(ours, typed + b"\n")
        return process.wait(15), shown
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


@pytest.mark.parametrize(("typed", "status", "words"), [(b"admin", 0, b"no structures"), (b"secret-9", 1, b"401")])
async def test_the_password_is_asked_for_and_not_shown(tmp_path: Path, typed: bytes, status: int, words: bytes) -> None:
    async with Sandbox(LimitsWorld()) as sandbox:
        addresses = {name: value for name, value in sandbox.env.items() if name.startswith("ATOTI_")}
        ended, shown = await asyncio.to_thread(on_a_terminal, tmp_path, addresses, typed)

    assert ended == status, shown
    assert words in shown
    assert typed not in shown.replace(ASKED, b"")


def test_there_is_no_option_for_a_password(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "status", "--password", "made-up")

    assert ended.status == 2
    assert "No such option: --password" in ended.err


def test_a_password_without_a_user_is_bad_input(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "status", env={"ASYNCCONN_ATOTI_LIMITS_PASSWORD": "made-up"})

    assert ended.status == 2
    assert ended.err.startswith("error: there is a password without a user")
    assert "made-up" not in ended.text
