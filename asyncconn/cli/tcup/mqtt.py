"""``asyncconn tcup mqtt pub | sub``: messages over MQTT, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from asyncconn.cli.options import group
from asyncconn.cli.tcup.common import Where
from asyncconn.cli.tcup.lines import Lines, Sending, Taking, poured, published, taken
from asyncconn.errors import ConfigError
from asyncconn.tcup.streams.topics import topic_checked

if TYPE_CHECKING:
    from asyncconn import FlushReport, Tcup
    from asyncconn.tcup.streams.messages import Message, Messages

__all__ = ["mqtt"]

Qos = Annotated[int, typer.Option("--qos", metavar="0|1", help="0: at most once. 1: at least once.")]


def pub(
    where: Where,
    sending: Sending,
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="Where to; else the configured one, amq.topic.")
    ] = None,
    messages: Annotated[
        list[str] | None, typer.Argument(metavar="[MESSAGE]...", help="What; else each line of standard input.")
    ] = None,
    qos: Qos = 1,
    retain: Annotated[bool, typer.Option("--retain", help="Keep the last one for who subscribes later.")] = False,
) -> None:
    """Publish messages: those of the line, or each line of standard input as it comes.

    What is not acknowledged when the connection breaks is sent again. A message that is empty ('') takes away the one
    that was retained.

    Status: 0 all acknowledged, or kept in the spool, 1 not all, 2 bad input.
    """
    if topic is not None:
        topic_checked(topic)

    if sending.spool is not None and not qos:
        raise ConfigError("--spool is for --qos 1: of the other no acknowledgement comes")

    async def send(tcup: Tcup, lines: Lines) -> FlushReport:
        if qos == 1:
            publisher = tcup.mqtt.publisher(topic, max_unacked=sending.window, spool=sending.spool)
            return await poured(lines, publisher, sending.timeout, retain=retain)
        return await tcup.mqtt.publish_many(
            topic, lines, qos=qos, retain=retain, window=sending.window, timeout=sending.timeout
        )

    published(where, Lines(messages), send, "acknowledged" if qos else "sent")


def sub(
    where: Where,
    taking: Taking,
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="Of what: + is any level, # all further ones.")
    ] = None,
    qos: Qos = 1,
    client_id: Annotated[
        str | None, typer.Option("--client-id", "-i", metavar="NAME", help="The name by which the broker knows you.")
    ] = None,
    persistent: Annotated[
        bool, typer.Option("--persistent", help="The broker keeps what comes until you are here again, by --client-id.")
    ] = False,
) -> None:
    """Write what is published, a line each, until Ctrl-C: as it comes, or with --format jsonl as an object.

    A message is acknowledged when it is written. What has broken the connection is told on standard error, and so is
    each gap.

    Status: 0 all is well, 1 it failed, or fewer than --count came, 2 bad input.
    """

    def subscribe(tcup: Tcup) -> Messages[Message]:
        return tcup.mqtt.subscribe(
            topic, qos=qos, client_id=client_id, session="persistent" if persistent else "clean", ack="manual"
        )

    taken(where, taking, subscribe)


mqtt = group("MQTT: publish and subscribe, lines in and lines out.", pub, sub)
