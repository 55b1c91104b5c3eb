"""What the Atoti Limits commands share: where the two servers are, and who asks."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

import asyncconn
from asyncconn import AtotiLimits, Hub
from asyncconn.atoti_limits import Paths
from asyncconn.atoti_limits.offline.compatibility import rest_version
from asyncconn.atoti_limits.settings import AtotiLimitsSettings
from asyncconn.atoti_limits.versions import LATEST
from asyncconn.cli.output import plain, stderr
from asyncconn.errors import ConfigError
from asyncconn.settings import load

if TYPE_CHECKING:
    from asyncconn.atoti_limits.credentials import Credential

__all__ = ["DryRun", "LimitsVersion", "Place", "listed", "placed", "run"]

T = TypeVar("T")

_PASSWORD = "ASYNCCONN_ATOTI_LIMITS_PASSWORD"  # noqa: S105 - the name of the variable, not a password
_SHOWN = 20  # lines of a list on standard error; the rest is counted

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]
LimitsVersion = Annotated[
    str,
    typer.Option("--limits-version", metavar="VERSION", help="The Limits server's, which decides on its CSV columns."),
]


@dataclass(frozen=True, slots=True)
class Place:
    """The two servers and the user, as far as the command line says."""

    session_url: str | None = None
    limits_url: str | None = None
    user: str | None = None
    generation: int = 3
    server_name: str = "atoti"

    def credential(self) -> Credential | None:
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


def _place(
    *,
    session_url: Annotated[
        str | None,
        typer.Option("--session-url", metavar="URL", help="The session's, with its base path; else ATOTI_BASE_URL."),
    ] = None,
    limits_url: Annotated[
        str | None, typer.Option("--limits-url", metavar="URL", help="The Limits server's; else ATOTI_LIMITS_URL.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="NAME", help=f"Else the environment's; the password is {_PASSWORD}, or asked."),
    ] = None,
    generation: Annotated[
        int, typer.Option("--generation", min=1, max=3, help="1: plugin, 2: extension JAR, 3: SDK plugin.")
    ] = 3,
    server_name: Annotated[
        str, typer.Option("--server-name", metavar="NAME", help="What Limits knows the session by.")
    ] = "atoti",
) -> Place:
    return Place(session_url, limits_url, user, generation, server_name)


def placed(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with the options of a :class:`Place`, which it finds as ``ctx.obj``."""
    own, more = (list(inspect.signature(one, eval_str=True).parameters.values()) for one in (command, _place))

    @wraps(command)
    def made(**values: Any) -> None:
        values["ctx"].obj = _place(**{one.name: values.pop(one.name) for one in more})
        command(**values)

    # Typer makes its options from what a function says about itself.
    del made.__wrapped__
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *more)]
    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # any function may have one
    made.__annotations__ = {one.name: one.annotation for one in parameters}
    return made


def run(place: Place, work: Callable[[AtotiLimits], Coroutine[Any, Any, T]], version: str = LATEST) -> T:
    """Do ``work`` with a client for a Limits server of ``version``. Ctrl-C and SIGTERM cancel it."""
    auth, paths = place.credential(), Paths(rest_version(version))

    async def main(hub: Hub) -> T:
        client = AtotiLimits(
            place.session_url,
            limits_url=place.limits_url,
            auth=auth,
            generation=place.generation,
            server_name=place.server_name,
            paths=paths,
            hub=hub,
        )
        return await work(client)

    return asyncconn.run(main)


def listed(title: str, lines: list[str]) -> None:
    """A list below an error, on standard error."""
    out = stderr()
    out.print(title, markup=False)
    for line in lines[:_SHOWN]:
        out.print(f"  - {plain(line)}", markup=False)
    if len(lines) > _SHOWN:
        out.print(f"  and {len(lines) - _SHOWN} more", markup=False)
