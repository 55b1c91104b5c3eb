"""Reading a hub's books from wherever somebody asks: they belong to its loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncconn.figures import HubFigures
    from asyncconn.http.route_traffic import RouteTraffic
    from asyncconn.hub import Hub

__all__ = ["Books", "books_of"]

Books = tuple["HubFigures", "Sequence[RouteTraffic]"]


def books_of(hub: Hub, timeout: float) -> Books:
    """Figures and traffic of a hub, from any thread, before it opens and after it has closed.

    Raises ``TimeoutError`` where its loop does not answer another thread within ``timeout`` seconds.
    """

    def look() -> Books:
        return hub.figures(), tuple(hub.traffic)

    loop = hub.loop
    if loop is None or not loop.is_running() or asyncio._get_running_loop() is loop:
        return look()
    answer: Future[Books] = Future()
    loop.call_soon_threadsafe(_answer, answer, look)
    try:
        return answer.result(timeout)
    except TimeoutError as error:
        raise TimeoutError(f"the hub's loop did not answer in {timeout:g} s: is it blocked?") from error


def _answer(answer: Future[Any], look: Callable[[], object]) -> None:
    try:
        answer.set_result(look())
    except Exception as error:  # noqa: BLE001 - it belongs to the thread that asked
        answer.set_exception(error)
