"""Reading the books of hubs from wherever somebody asks: they belong to the loops of these."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from itertools import chain
from typing import TYPE_CHECKING

from asyncconn.figures import HubFigures
from asyncconn.hub import HubState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncconn.http.route_traffic import RouteTraffic
    from asyncconn.hub import Hub

__all__ = ["Books", "read", "together"]

Books = tuple[HubFigures, "Sequence[RouteTraffic]"]


def read(hubs: Iterable[Hub], timeout: float) -> Iterator[tuple[Hub, Books | Exception]]:
    """Figures and traffic of hubs, or why there are none; from any thread, before they open and after their end.

    All are asked at once. Where a loop does not answer another thread within ``timeout`` seconds, ``TimeoutError``.
    """
    asked = [(hub, _ask(hub)) for hub in hubs]
    until = time.monotonic() + timeout
    for hub, answer in asked:
        try:
            yield hub, _answered(hub, answer, until)
        except TimeoutError:
            yield hub, TimeoutError(f"the hub's loop did not answer in {timeout:g} s: is it blocked?")
        except Exception as error:  # noqa: BLE001 - it belongs to who asked
            yield hub, error


def together(books: Sequence[tuple[Hub, Books]]) -> Books:
    """The books of several hubs as those of one: rows of a route are summed, an account of one loop is there once."""
    accounts = {(hub.loop, one.platform, one.account): one for hub, (figures, _) in books for one in figures.accounts}
    figures = HubFigures(
        tuple(one for _, (some, _) in books for one in some.buffers),
        tuple(accounts.values()),
        tuple(one for _, (some, _) in books for one in some.streams),
    )
    rows: dict[tuple[str, str, str], RouteTraffic] = {}
    for row in chain.from_iterable(traffic for _, (_, traffic) in books):
        at = row.platform, row.method, row.route
        rows[at] = rows[at].joined(row) if at in rows else row
    return figures, tuple(rows.values())


def _ask(hub: Hub) -> Future[Books]:
    answer: Future[Books] = Future()
    loop = hub.loop
    if loop is None or not _runs_elsewhere(hub):
        _answer(answer, hub)
        return answer
    try:
        loop.call_soon_threadsafe(_answer, answer, hub)
    except RuntimeError:  # it has been closed meanwhile
        _answer(answer, hub)
    return answer


def _answered(hub: Hub, answer: Future[Books], until: float) -> Books:
    try:
        return answer.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        if _runs_elsewhere(hub):
            raise
    return _look(hub)  # its loop ended before it came to the question


def _runs_elsewhere(hub: Hub) -> bool:
    """Whether a loop in another thread may change the books now. Where none runs, they can be read from here."""
    loop = hub.loop
    if loop is None or hub.state is HubState.CLOSED:
        return False
    return loop.is_running() and asyncio._get_running_loop() is not loop


def _look(hub: Hub) -> Books:
    return hub.figures(), tuple(hub.traffic)


def _answer(answer: Future[Books], hub: Hub) -> None:
    try:
        answer.set_result(_look(hub))
    except Exception as error:  # noqa: BLE001 - it belongs to the thread that asked
        answer.set_exception(error)
