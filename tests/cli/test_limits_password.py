"""A password is asked for on a terminal, is not shown, and is never an option."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncconn.sandbox import LimitsWorld, Sandbox
from cli.commands import run
from cli.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

ASKED = "Password of admin: "  # the space comes when what is typed is no longer shown


def on_a_terminal(folder: Path, env: dict[str, str], typed: str) -> tuple[int, str]:
    """Types ``typed`` when it is asked; the status, and everything that the terminal showed."""
    with Terminal(folder, "limits", "structures", "--user", "admin", env=env) as terminal:
        terminal.until(ASKED)
        terminal.type(f"{typed}\n")
        return terminal.end(), terminal.seen


@pytest.mark.parametrize(("typed", "status", "words"), [("admin", 0, "no structures"), ("secret-9", 1, "401")])
async def test_the_password_is_asked_for_and_not_shown(tmp_path: Path, typed: str, status: int, words: str) -> None:
    async with Sandbox(LimitsWorld()) as sandbox:
        addresses = {name: value for name, value in sandbox.env.items() if name.startswith("ATOTI_")}
        ended, shown = await asyncio.to_thread(on_a_terminal, tmp_path, addresses, typed)

    assert ended == status, shown
    assert words in shown
    assert typed not in shown.replace(ASKED, "")


def test_there_is_no_option_for_a_password(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "status", "--password", "made-up")

    assert ended.status == 2
    assert "No such option: --password" in ended.err


def test_a_password_without_a_user_is_bad_input(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "status", env={"ASYNCCONN_ATOTI_LIMITS_PASSWORD": "made-up"})

    assert ended.status == 2
    assert ended.err.startswith("error: there is a password without a user")
    assert "made-up" not in ended.text
