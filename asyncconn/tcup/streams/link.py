"""One connection to an MQTT broker, from its CONNECT to its end. Contract: tcup sections 5.1, 5.3.

The protocol itself is paho's; sockets, times and acknowledgements are the loop's and ours. What speaks another version
of the protocol would stand behind the same few methods.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from asyncconn.errors import (
    Answer,
    AsyncConnError,
    ConnectionLost,
    ProtocolError,
    SubscriptionRefused,
    api_error_class,
)  # fmt: skip
from asyncconn.tcup.streams.ahead import ReadAhead
from asyncconn.tcup.streams.messages import Message
from asyncconn.tcup.streams.sockets import opened

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from paho.mqtt.client import SocketLike
    from paho.mqtt.reasoncodes import ReasonCode

    from asyncconn.tcup.streams.inbox import Inbox
    from asyncconn.tcup.streams.options import MqttOptions, Will

__all__ = ["MqttLink", "Standing", "subscribed"]

_GOODBYE = 1.0  # seconds for what is written last to leave, and for the broker to hang up
_NUMBER = 2  # bytes of a packet's number
_DISCARDED = 65_536  # bytes at once that nobody waits for
_REFUSED = 0x80
#: By paho's reason codes for CONNACK 1 to 5: the status that says the same, and what to look at.
_REFUSALS = {
    132: (1, 400, "it does not speak MQTT 3.1.1"),
    133: (2, 400, "the client id is not allowed"),
    136: (3, 503, "it is not available, or the user may not read what is kept for this client id"),
    134: (4, 401, "the virtual host, the user or the password is wrong"),
    135: (5, 403, "the user may not connect, or the virtual host or the password is missing or wrong"),
}


class _Paho(Client):
    """paho's client on a socket that is connected already, and pinging when it is told to."""

    ready: ReadAhead
    acknowledged: Callable[[int], object]

    def _create_socket(self) -> SocketLike:
        return self.ready

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """paho makes objects of MQTT 5 for each acknowledgement: half of what a message costs."""
        if len(self._in_packet["packet"]) != _NUMBER:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        number = int.from_bytes(self._in_packet["packet"])
        if self._out_messages.pop(number, None) is not None:
            self.acknowledged(number)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def ping(self) -> None:
        self._send_pingreq()

    def drop(self) -> None:
        self._sock_close()


class MqttLink:
    """A connection that is up; over when ``ended()`` ends.

    ``session_present``: the broker has kept what it knew of this client id. ``missed`` is for the subscription.
    ``heard`` of by ``on_message``, and ``on_published`` with a number that :meth:`publish` gave.
    """

    def __init__(
        self,
        options: MqttOptions,
        client_id: str,
        tls: ssl.SSLContext | None,
        *,
        clean: bool,
        will: Will | None,
    ) -> None:
        self.missed = ""
        self.session_present = False
        self.over: AsyncConnError | None = None
        self.on_message: Callable[[MQTTMessage], object] = lambda _: None
        self.on_published: Callable[[int], object] = lambda _: None
        self.on_over: Callable[[], object] = lambda: None
        self._options = options
        self._id = client_id
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._granted: dict[int, asyncio.Future[None]] = {}
        self._reading = True
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._paho = paho = _Paho(
            CallbackAPIVersion.VERSION2, client_id, clean, protocol=MQTTv311, reconnect_on_failure=False
        )
        paho.manual_ack_set(True)
        paho.max_inflight_messages_set(0)  # so many as it is given: with a bound it looks through all, each time
        if will is not None:
            paho.will_set(*will)
        if options.username is not None:
            password = None if options.password is None else options.password.get_secret_value()
            paho.username_pw_set(options.username, password)
        paho.on_connect = self._on_connect
        paho.on_disconnect = self._on_disconnect
        paho.on_message = self._on_message
        paho.on_publish = self._on_publish
        paho.acknowledged = lambda number: self.on_published(number)
        paho.on_subscribe = self._on_subscribe
        paho.on_socket_open = self._on_socket_open
        paho.on_socket_close = self._on_socket_close
        paho.on_socket_register_write = self._on_socket_register_write
        paho.on_socket_unregister_write = self._on_socket_unregister_write

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Self]:
        """Connect, say who we are, and say goodbye at the end of the block.

        Raises ``ConnectFailed``, ``ConnectionLost``, and what a refusal means.
        """
        options = self._options
        self._paho.ready = ReadAhead(await opened(options.host, options.port, self._tls))
        try:
            self._paho.connect(options.host, options.port, options.keepalive)
            self._tick()
            await self._or_over(self._greeted)
            yield self
            if self.over is None:
                await self._goodbye()
        finally:
            self._lost(ConnectionLost("the connection is closed"))
            self._paho.drop()
            self._paho.ready.close()  # where paho has not even begun with it

    async def ended(self) -> None:
        """Wait for the end; raises what broke it."""
        await asyncio.shield(self._end)

    async def _goodbye(self) -> None:
        """Say it behind everything else, and wait for the broker to hang up.

        paho closes at once; with bytes that nobody has read the system makes that a reset, for which the broker may
        forget the last acknowledgements.
        """
        with socket.socket(fileno=os.dup(self._paho.ready.fileno())) as line, suppress(OSError, TimeoutError):
            line.setblocking(False)
            async with asyncio.timeout(_GOODBYE):
                if self._paho.disconnect() == MQTT_ERR_SUCCESS:
                    await asyncio.wait({self._end})
                    line.shutdown(socket.SHUT_WR)
                    while await self._loop.sock_recv(line, _DISCARDED):
                        pass

    # -- what to say ---------------------------------------------------------------------------------------------------

    async def subscribe(self, topic: str, qos: int, *, answered: bool = True) -> None:
        """Ask for what fits ``topic``, and wait until it is ``answered``.

        Raises ``SubscriptionRefused``, here or as the end of the connection.
        """
        self._check()
        _, number = self._paho.subscribe(topic, qos)
        if number is None:
            raise ConnectionLost("the connection broke while subscribing")
        if answered:
            self._granted[number] = granted = self._loop.create_future()
            await self._or_over(granted)

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> int:
        """Send it; its number is what ``on_published`` is called with. Raises ``ConnectionLost``."""
        self._check()
        info = self._paho.publish(topic, payload, qos, retain)
        if info.rc != MQTT_ERR_SUCCESS:
            raise ConnectionLost("the connection broke while publishing")
        return info.mid

    def acknowledge(self, number: int) -> None:
        """Acknowledge a message of this connection: on a later one its number may be another message's."""
        if self.over is None:
            self._paho.ack(number, 1)

    def flow(self, on: bool) -> None:
        """Go on reading, or leave what comes where it is: then the broker stops sending."""
        sock = self._paho.socket()
        if on == self._reading or sock is None or self.over is not None:
            return
        self._reading = on
        if on:
            self._heard = self._loop.time()
            self._loop.add_reader(sock.fileno(), self._read)
            self._loop.call_soon(self._read_rest)
        else:
            self._loop.remove_reader(sock.fileno())

    # -- the socket ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        self._heard = self._loop.time()
        self._do(self._paho.loop_read)
        self._read_rest()

    def _read_rest(self) -> None:
        """What is here already, of which no socket tells."""
        while self._reading and self.over is None and self._paho.ready.pending():
            self._do(self._paho.loop_read)

    def _write(self) -> None:
        self._do(self._paho.loop_write)
        if self.over is None and self._paho.want_write():  # the socket takes no more for now
            self._loop.add_writer(self._paho.ready.fileno(), self._write)

    def _do(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever paho makes of what came, this connection is over
            problem = ProtocolError(f"the broker sent what is no MQTT: {type(error).__name__}")
            problem.__cause__ = error
            self._lost(problem)

    def _tick(self) -> None:
        """Keep the connection alive, and see whether it is.

        Our pings keep it so for the broker, also while nothing is read: then the answers lie behind what waits, and
        say nothing about the broker. While we read, one and a half keepalives of silence are its end.
        """
        keepalive = self._options.keepalive
        if self.over is not None:
            return
        if self._reading and self._loop.time() - self._heard >= 1.5 * keepalive:
            self._lost(ConnectionLost(f"the broker was silent for {1.5 * keepalive:g} s"))
            return
        if self._greeted.done():
            self._do(self._paho.ping)
        self._timer = self._loop.call_later(keepalive / 2, self._tick)

    # -- what paho tells -----------------------------------------------------------------------------------------------

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self.session_present = bool(flags.session_present)
        if self._greeted.done():
            return
        if reason.value == 0:
            self._greeted.set_result(None)
        else:
            self._lost(_refusal(reason.value, self._options))

    def _on_subscribe(self, client: Client, data: Any, number: int, reasons: list[ReasonCode], properties: Any) -> None:
        if reasons[0].value >= _REFUSED:
            self._lost(SubscriptionRefused("the broker refuses the subscription"))
        elif (granted := self._granted.pop(number, None)) is not None and not granted.done():
            granted.set_result(None)

    def _on_disconnect(self, client: Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if self._granted:  # as RabbitMQ does for who may not read, and any broker that ends at this moment
            refused = SubscriptionRefused("the broker closed the connection instead of granting the subscription")
            refused.permanent = False
            self._lost(refused)
            return
        what = "the broker closed the connection" if self._greeted.done() else "the broker closed instead of answering"
        self._lost(ConnectionLost(f"{what}; a second client with the id {self._id!r} is one reason for it"))

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self.on_message(message)

    def _on_publish(self, client: Client, data: Any, number: int, reason: ReasonCode, properties: Any) -> None:
        self.on_published(number)

    def _on_socket_open(self, client: Client, data: Any, sock: SocketLike) -> None:
        self._loop.add_reader(sock.fileno(), self._read)

    def _on_socket_close(self, client: Client, data: Any, sock: SocketLike) -> None:
        self._loop.remove_reader(sock.fileno())

    def _on_socket_register_write(self, client: Client, data: Any, sock: SocketLike) -> None:
        self._loop.call_soon(self._write)

    def _on_socket_unregister_write(self, client: Client, data: Any, sock: SocketLike) -> None:
        self._loop.remove_writer(sock.fileno())

    # ------------------------------------------------------------------------------------------------------------------

    async def _or_over(self, waited: asyncio.Future[None]) -> None:
        await asyncio.wait({waited, self._end}, return_when=asyncio.FIRST_COMPLETED)
        self._check()

    def _lost(self, error: AsyncConnError) -> None:
        """Once: from here on nothing is acknowledged, and whoever waits is told."""
        if self.over is not None:
            return
        self.over = error
        if self._timer is not None:
            self._timer.cancel()
        self._end.set_exception(error)
        self._end.exception()  # nobody need wait for it
        self._loop.call_soon(self._paho.drop)  # not here: paho may be calling us, and holds its lock
        self.on_over()

    def _check(self) -> None:
        if self.over is not None:
            raise self.over


def _refusal(reason: int, options: MqttOptions) -> AsyncConnError:
    code, status, why = _REFUSALS.get(reason, (reason, 403, "it gives no reason that we know"))
    answer = Answer("tcup", status, code=str(code))
    who = "" if options.username is None else f" as {options.username!r}"
    kind = api_error_class(status)
    return kind(f"the broker at {options.host}:{options.port} lets nobody in{who}: {why}", answer)


@dataclass
class Standing:
    """What is known of a subscription over its connections: ``new`` as long as its session may be without it.

    Where the broker kept a session it is subscribed already, and its answer may lie behind more messages than anybody
    takes before. A session that we began and that broke before the answer is kept too, and knows of no subscription.
    """

    new: bool = False


@asynccontextmanager
async def subscribed(
    link: MqttLink, inbox: Inbox[Message], topic: str, qos: int, standing: Standing, *, kept: bool, at_once: bool
) -> AsyncIterator[MqttLink]:
    """Put what comes for ``topic`` into ``inbox``, for the length of a block.

    ``kept``: the broker keeps the session, and what is not acknowledged comes again. ``at_once`` acknowledges it on
    arrival.
    """

    def arrived(message: MQTTMessage) -> None:
        acknowledge = partial(link.acknowledge, message.mid) if message.qos else None
        if at_once and acknowledge is not None:
            acknowledge()
            acknowledge = None
        payload = bytes(message.payload)
        inbox.add(Message(message.topic, payload, again=message.dup, acknowledge=acknowledge, kept=kept))

    def lost() -> None:
        inbox.flow = None
        inbox.discard(lambda message: message.comes_again)

    link.on_message, link.on_over, inbox.flow = arrived, lost, link.flow
    async with link.up():
        standing.new = standing.new or not link.session_present
        await link.subscribe(topic, qos, answered=standing.new)
        standing.new = False
        if not kept:
            link.missed = "a session that the broker does not keep is without what came in between"
        elif not link.session_present:
            link.missed = "the broker has not kept the session"
        yield link
