"""Waiting for what takes time at a platform, by asking one address until its answer says that it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.errors import AsyncConnError, OperationFailed, PollTimeout, ProtocolError
from asyncconn.http.shapes import readied, shaped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from asyncconn.http.requesting import PollOptions, Requests
    from asyncconn.http.response import Response

__all__ = ["Verdict", "poller"]

#: Of a state: a function of it, or dotted members and the value that each of them has, or several: any one of these.
Verdict = Mapping[str, Any] | Callable[[Any], object]

_SEVERAL = (list, tuple, set, frozenset)
_NO_OBJECTS = (list, str, int, float, bool)  # what JSON has beside them; of a model's kinds none is meant
_NOTHING = object()  # where no member is


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

    members = [*(until if isinstance(until, Mapping) else ()), *(failed if isinstance(failed, Mapping) else ())]
    awaited = dict.fromkeys(until if isinstance(until, Mapping) else (), False)  # whether an answer had the member

    def done(state: Any) -> bool:
        if members and type(state) in _NO_OBJECTS:
            raise _no_object(name, state, members)
        for member, seen in awaited.items():
            awaited[member] = seen or _at(state, member, _NOTHING) is not _NOTHING
        if failed is not None and _is(state, failed):
            raise OperationFailed(scrub(f"{name} failed{_told(state, failed)}"), state=state)
        return _is(state, until)

    def scrub(text: str) -> str:
        return road.redactor.scrub(text)  # which knows other secrets when a token has been renewed

    name = scrub(f"{road.service}: {path.partition('?')[0]}")
    base = f"{road.base_url}/"
    return _Poll(
        awaited,
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


class _Poll(Poller[Any, Any]):
    """One that says at its deadline which of the members it waited for were never there: they may be misspelled."""

    def __init__(self, awaited: Mapping[str, bool], fetch: Callable[[], Awaitable[Any]], **options: Any) -> None:
        super().__init__(fetch, **options)
        self._awaited = awaited

    def _timed_out(self, failure: AsyncConnError | None) -> PollTimeout:
        error = super()._timed_out(failure)
        missing = [repr(member) for member, seen in self._awaited.items() if not seen]
        if self.last is None or not missing:  # without an answer nobody knows
            return error
        told = f"{error.message}; no answer had a member {', '.join(missing)}"
        return PollTimeout(told, token=error.token, last=error.last, polls=error.polls)


def _no_object(name: str, state: Any, members: Iterable[str]) -> ProtocolError:
    wanted = ", ".join(map(repr, dict.fromkeys(members)))
    error = ProtocolError(
        f"{name} answered a {type(state).__name__}, which has no member {wanted}: say by a function what it must be"
    )
    error.maybe_sent = False  # it was a look
    return error


def _is(state: Any, verdict: Verdict) -> bool:
    if not isinstance(verdict, Mapping):
        return bool(verdict(state))
    for name, wanted in verdict.items():
        found = _at(state, name)
        # By equality, as what stands there may be a list, which no set can be asked for.
        if not (any(found == one for one in wanted) if isinstance(wanted, _SEVERAL) else found == wanted):
            return False
    return True


def _at(state: Any, path: str, otherwise: Any = None) -> Any:
    """What stands at a dotted path of objects, or of a model's attributes."""
    for name in path.split("."):
        state = state.get(name, otherwise) if isinstance(state, Mapping) else getattr(state, name, otherwise)
    return state


def _told(state: Any, verdict: Verdict) -> str:
    if not isinstance(verdict, Mapping):
        return ""
    return ": " + ", ".join(f"{name} is {_at(state, name)!r}" for name in verdict)
