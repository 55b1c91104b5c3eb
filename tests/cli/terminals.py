"""Runs the command line at a terminal of its own, as a user sits at it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import pytest

from cli.commands import command, environment

if TYPE_CHECKING:
    from pathlib import Path

pty = pytest.importorskip("pty", reason="the system has no terminals")

_PATIENCE = 30.0  # seconds, on a busy machine


class Terminal:
    """A command at a terminal of its own; ``seen`` is all that it has shown so far."""

    def __init__(self, folder: Path, *args: str, env: dict[str, str]) -> None:
        self.leader, follower = pty.openpty()
        self.seen = ""
        env = environment({"TERM": "xterm", "COLUMNS": "100", **env})
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AT_TERMINAL, *command(*args)],
            cwd=folder, env=env, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        )  # fmt: skip
        os.close(follower)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.leader)

    def until(self, text: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.seen!r}"
            self._read(0.1)

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def end(self, pressing: str = "") -> int:
        deadline = time.monotonic() + _PATIENCE
        press = 0.0
        while self.process.poll() is None or self._read(0.1):
            assert time.monotonic() < deadline, f"it never ended: {self.seen!r}"
            if pressing and time.monotonic() > press:
                self.type(pressing)
                press = time.monotonic() + 4
            self._read(0.1)
        return self.process.wait()

    def _read(self, wait: float) -> bool:
        if not select.select([self.leader], [], [], wait)[0]:
            return False
        try:
            more = os.read(self.leader, 65536)
        except OSError:  # as Linux tells of the end
            return False
        self.seen += more.decode(errors="replace")
        return bool(more)


# The terminal becomes the one that the command is at: getpass asks there.
_AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
