"""What the connectors of a hub hold, wait for and listen to: figures, to be read at any moment and at no cost else."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from asyncconn.core.buffer.figures import BufferFigures, Past
from asyncconn.core.notes import with_notes
from asyncconn.core.rates.registry import AccountFigures, RateFigures, figures_of
from asyncconn.core.supervise import StreamFigures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.core.buffer.attached import Attached

__all__ = ["AccountFigures", "BufferFigures", "HubFigures", "Left", "RateFigures", "StreamFigures", "of_member", "read"]

logger = logging.getLogger("asyncconn.hub")


@dataclass(frozen=True, slots=True)
class HubFigures:
    """``buffers``, ``accounts`` with their rates, and ``streams`` of a hub's connectors, at one moment.

        >>> async with Hub() as hub:
        ...     panoply = Panoply.from_env(hub=hub)
        ...     print(sum(one.stats.pending for one in hub.figures().buffers))

    Counts are since the start, those of what is closed or gone included, and never go back.
    """

    buffers: tuple[BufferFigures, ...] = ()
    accounts: tuple[AccountFigures, ...] = ()
    streams: tuple[StreamFigures, ...] = ()


class Left:
    """The figures of connectors that have closed by themselves."""

    def __init__(self) -> None:
        self.buffers = Past()
        self.streams: dict[str, StreamFigures] = {}

    def add(self, member: Any, attached: Attached | None) -> None:
        """One that leaves, and the buffers that were drained with it."""
        for one in of_member(member, attached):
            if isinstance(one, BufferFigures):
                self.buffers.add(one)
            else:
                known = self.streams.get(one.name)
                self.streams[one.name] = one.over() if known is None else known.joined(one.over())

    def figures(self) -> Iterable[BufferFigures | StreamFigures]:
        """One of each name."""
        return chain(self.buffers.figures(), self.streams.values())


def read(hub: object, members: Iterable[tuple[Any, Attached | None]], left: Left) -> HubFigures:
    """Those of the connectors that ``hub`` has, and of those that it had."""
    found = [one for member, attached in members for one in of_member(member, attached)]
    found += left.figures()
    return HubFigures(
        tuple(one for one in found if isinstance(one, BufferFigures)),
        tuple(figures_of(hub)),
        tuple(one for one in found if isinstance(one, StreamFigures)),
    )


def of_member(member: Any, attached: Attached | None) -> Iterable[BufferFigures | StreamFigures]:
    """Those of one connector, and of the buffers that are drained with it."""
    figures = getattr(member, "figures", None)  # who stands for a noun without a connector has none
    try:
        own = [] if figures is None else list(figures())
    except Exception as error:  # noqa: BLE001 - a stranger's code must not hide the others' figures, or stop a close
        logger.warning("the figures of %r cannot be read: %s: %s", member, type(error).__name__, with_notes(error))
        own = []
    return chain(own, () if attached is None else attached.figures())
