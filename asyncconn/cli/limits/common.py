"""What the Atoti Limits commands share: where the two servers are, and who asks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

import asyncconn
from asyncconn import AtotiLimits
from asyncconn.atoti_limits import Paths
from asyncconn.atoti_limits.offline.compatibility import rest_version
from asyncconn.atoti_limits.settings import AtotiLimitsSettings
from asyncconn.atoti_limits.versions import LATEST
from asyncconn.cli.output import complain, plain
from asyncconn.errors import ConfigError
from asyncconn.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from asyncconn.atoti_limits.credentials import Credential

__all__ = ["Generation", "Where", "listed"]

T = TypeVar("T")

_SHOWN = 20  # lines of a list on standard error; the rest is counted

Generation = typer.Option("--generation", min=1, max=3, help="1: plugin, 2: extension JAR, 3: SDK plugin.")


@dataclass(frozen=True)
class Where:
    """The two servers and the user, as far as the command line says."""

    session_url: Annotated[
        str | None,
        typer.Option("--session-url", metavar="URL", help="The session's, with its base path; else ATOTI_BASE_URL."),
    ] = None
    limits_url: Annotated[
        str | None, typer.Option("--limits-url", metavar="URL", help="The Limits server's; else ATOTI_LIMITS_URL.")
    ] = None
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            metavar="NAME",
            help="Else the environment's; the password is ASYNCCONN_ATOTI_LIMITS_PASSWORD, or asked.",
        ),
    ] = None
    generation: Annotated[int, Generation] = 3
    server_name: Annotated[
        str, typer.Option("--server-name", metavar="NAME", help="What Limits knows the session by.")
    ] = "atoti"

    def run(
        self, work: Callable[[AtotiLimits], Coroutine[Any, Any, T]], *, version: str = LATEST, offline: bool = False
    ) -> T:
        """Do ``work`` with a client for a Limits server of ``version``, which needs no user if it is ``offline``.

        Ctrl-C and SIGTERM cancel it.
        """
        given: dict[str, Any] = {"auth": None if offline else self._credential(), "paths": Paths(rest_version(version))}
        given |= {"limits_url": self.limits_url, "generation": self.generation, "server_name": self.server_name}
        return asyncconn.run(lambda hub: work(AtotiLimits(self.session_url, hub=hub, **given)))

    def _credential(self) -> Credential | None:
        """From the environment; a password that is not there is asked for, on a terminal only.

        Raises ``ConfigError`` where nobody can be asked.
        """
        settings = load(AtotiLimitsSettings)
        if settings.token is not None and self.user is None:
            return settings.token
        user = self.user or settings.user
        if user is None:
            if settings.password is not None:
                raise ConfigError("there is a password without a user: give --user, or ASYNCCONN_ATOTI_LIMITS_USER")
            return None
        # The password in the environment is that of the user there.
        if settings.password is not None and settings.user in (None, user):
            return user, settings.password
        if not sys.stdin.isatty():
            raise ConfigError(f"the password of {plain(user)} is not known: set it with its user in the environment")
        asked: str = typer.prompt(f"Password of {plain(user)}", hide_input=True, err=True)
        return user, asked


def listed(title: str, lines: list[str]) -> None:
    """A list below an error."""
    complain(title)
    for line in lines[:_SHOWN]:
        complain(f"  - {plain(line)}")
    if len(lines) > _SHOWN:
        complain(f"  and {len(lines) - _SHOWN} more")
