"""Many calls at once, a bounded number of them, and none left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.tasks import reap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

__all__ = ["AT_ONCE", "each", "together"]

T = TypeVar("T")

#: Calls of one bulk call that are under way together. Contract: datorama section 11.7.
AT_ONCE = 10


async def each(
    inputs: Iterable[T], work: Callable[[T], Awaitable[object]], *, name: str, at_once: int = AT_ONCE
) -> None:
    """Run ``work`` for every input, so many at a time, beginning in their order.

    The first error (or a cancellation) cancels the others, waits for their end, and is raised.
    """
    everything = list(inputs)
    waiting = iter(everything)

    async def worker() -> None:
        for one in waiting:
            await work(one)

    await together((worker() for _ in range(min(at_once, len(everything)))), name=name)


async def together(works: Iterable[Coroutine[Any, Any, object]], *, name: str) -> None:
    """Run all of them at once; ends as :func:`each` does."""
    tasks = [asyncio.create_task(work, name=f"datorama:{name}") for work in works]
    if not tasks:
        return
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await reap(tasks)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if errors:
        raise errors[0]
