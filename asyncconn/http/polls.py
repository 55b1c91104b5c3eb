"""Waiting for what takes time at a platform, by asking one address until its answer says that it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.errors import OperationFailed
from asyncconn.http.shapes import readied, shaped

if TYPE_CHECKING:
    from asyncconn.http.requesting import PollOptions, Requests
    from asyncconn.http.response import Response

__all__ = ["Verdict", "poller"]

#: Of a state: a function of it, or dotted members and the value, or set of values, that each of them has.
Verdict = Mapping[str, Any] | Callable[[Any], object]


def poller(
    road: Requests,
    path: str,
    *,
    until: Verdict,
    failed: Verdict | None,
    policy: PollPolicy | None,
    model: Any,
    options: PollOptions,
) -> Poller[Any, Any]:
    """See ``Transport.poll``."""

    def decode(response: Response) -> Any:
        answer = response.json() if response.body else None
        return shaped(answer, model, f"{response.service}: {response.method} {response.path}")

    async def fetch() -> Any:
        await readied(model)
        return (await road.request("GET", path, decode=decode)).value

    def done(state: Any) -> bool:
        if failed is not None and _is(state, failed):
            raise OperationFailed(scrub(f"{name} failed{_told(state, failed)}"), state=state)
        return _is(state, until)

    def scrub(text: str) -> str:
        return road.redactor.scrub(text)  # which knows other secrets when a token has been renewed

    name = scrub(f"{road.service}: {path.partition('?')[0]}")
    base = f"{road.base_url}/"
    return Poller(
        fetch,
        done=done,
        result=lambda state: state,
        policy=replace(policy or PollPolicy(), **options),
        # As a path it means the same to a client that reaches the platform by another address.
        token=path[len(base) - 1 :] if path.startswith(base) else path,
        clock=road._clock,
        name=name,
        watching=road.watching,
        scrub=scrub,
    )


def _is(state: Any, verdict: Verdict) -> bool:
    if not isinstance(verdict, Mapping):
        return bool(verdict(state))
    for name, wanted in verdict.items():
        found = _at(state, name)
        # By equality, as what stands there may be a list, which no set can be asked for.
        if not (any(found == one for one in wanted) if isinstance(wanted, set | frozenset) else found == wanted):
            return False
    return True


def _at(state: Any, path: str) -> Any:
    """What stands at a dotted path of objects, or of a model's attributes; None where there is nothing."""
    for name in path.split("."):
        state = state.get(name) if isinstance(state, Mapping) else getattr(state, name, None)
    return state


def _told(state: Any, verdict: Verdict) -> str:
    if not isinstance(verdict, Mapping):
        return ""
    return ": " + ", ".join(f"{name} is {_at(state, name)!r}" for name in verdict)
