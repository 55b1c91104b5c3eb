"""``asyncconn tcup ws pub | sub`` and ``asyncconn tcup sse``: live data of exchanges and queues, a line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.options import group
from asyncconn.cli.tcup.common import Where
from asyncconn.cli.tcup.lines import Lines, Sending, Taking, poured, published, taken
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import FlushReport, Tcup
    from asyncconn.tcup.streams.events import StreamEvent
    from asyncconn.tcup.streams.messages import Message, Messages

__all__ = ["sse", "ws"]

Text = str | None


@dataclass(frozen=True)
class Place:
    """Which exchange, topic, or queue."""

    exchange: Annotated[Text, typer.Option("--exchange", "-e", metavar="NAME", help="An exchange.")] = None
    topic: Annotated[Text, typer.Option("--topic", "-t", metavar="NAME", help="A topic of it.")] = None
    queue: Annotated[Text, typer.Option("--queue", metavar="NAME", help="A queue, instead.")] = None

    @property
    def given(self) -> dict[str, Any]:
        """As the client takes them."""
        return {"exchange": self.exchange, "topic": self.topic, "queue": self.queue}


# -- WebSockets --------------------------------------------------------------------------------------------------------


def pub(
    where: Where,
    place: Place,
    sending: Sending,
    messages: Annotated[
        list[str] | None, typer.Argument(metavar="[JSON]...", help="What; else each line of standard input.")
    ] = None,
    routing_key: Annotated[
        Text, typer.Option("--routing-key", metavar="KEY", help="Of a direct exchange; else the tenant's own.")
    ] = None,
) -> None:
    """Publish JSON: that of the line, or each line of standard input as it comes.

    To --topic of --exchange, to --queue, or else to a direct exchange, by default the configured one. A line that is
    refused is told, and the rest goes on. What is not acknowledged when the connection breaks is sent again.

    Status: 0 all acknowledged, or kept in the spool, 1 not all, 2 bad input.
    """

    async def send(tcup: Tcup, lines: Lines) -> FlushReport:
        publisher = tcup.stream.publisher(
            **place.given, routing_key=routing_key, max_unacked=sending.window, spool=sending.spool
        )
        return await poured(lines, publisher, sending.timeout)

    published(where, Lines(messages), send, "acknowledged")


def sub(where: Where, taking: Taking, place: Place) -> None:
    """Write what is published to a topic, an exchange or a queue, a line each, until Ctrl-C.

    What has broken the connection is told on standard error, and so is each gap: a topic repeats nothing.

    Status: 0 all is well, 1 it failed, or fewer than --count came, 2 bad input.
    """

    def subscribe(tcup: Tcup) -> Messages[Message]:
        return tcup.stream.subscribe(**place.given)

    taken(where, taking, subscribe)


ws = group("WebSockets: publish and subscribe, lines in and lines out.", pub, sub)


# -- server-sent events ------------------------------------------------------------------------------------------------


def sse(
    where: Where,
    taking: Taking,
    place: Place,
    feed: Annotated[bool, typer.Option("--feed", help="What the observations of sensors tell of themselves.")] = False,
    last_id: Annotated[
        str, typer.Option("--last-id", metavar="ID", help="Go on after this event, as --format jsonl names them.")
    ] = "",
) -> None:
    """View a topic, an exchange, a queue, or the feed, by server-sent events: a line each, until Ctrl-C.

    Status: 0 all is well, 1 it failed, or fewer than --count came, 2 bad input.
    """
    if feed and any(place.given.values()):
        raise ConfigError("--feed goes without --exchange, --topic and --queue")

    def view(tcup: Tcup) -> Messages[StreamEvent]:
        stream = tcup.stream
        return stream.feed(last_id=last_id) if feed else stream.events(**place.given, last_id=last_id)

    taken(where, taking, view)
