"""What was added to an error later is told with it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from asyncconn.core.events import Events
from asyncconn.core.notes import with_notes
from asyncconn.errors import ConfigError


def test_an_error_without_notes_is_its_text() -> None:
    assert with_notes(ConfigError("no")) == str(ConfigError("no"))


def pickled(error: Any) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - made here


@pytest.mark.parametrize("travel", [lambda error: error, copy.copy, pickled])
def test_notes_follow_in_the_order_they_were_added(travel: Any) -> None:
    error = ConfigError("no")
    error.add_note("token 2 of 3")
    error.add_note("path table: a = GET /a")

    assert with_notes(travel(error)) == f"{error} [token 2 of 3] [path table: a = GET /a]"


def test_a_line_of_the_log_shows_them(caplog: pytest.LogCaptureFixture) -> None:
    def broken(data: object) -> None:
        error = LookupError("gone")
        error.add_note("token 2 of 3")
        raise error

    events = Events("send")
    events.on("send", broken)
    events.emit("send")

    assert caplog.text.rstrip().endswith("raised LookupError: gone [token 2 of 3]")
