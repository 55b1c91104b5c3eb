"""One client's connection: its packets one by one, and what they are answered with.

Contract: tcup sections 5.1 and 5.3.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from typing import TYPE_CHECKING

from asyncconn.sandbox.tcup.streams.connections import Connection, abort
from asyncconn.sandbox.tcup.streams.mqtt import packets
from asyncconn.sandbox.tcup.streams.mqtt.packets import Kind, Malformed, Publish
from asyncconn.sandbox.tcup.streams.mqtt.topics import is_filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncconn.sandbox.tcup.streams.connections import Streams
    from asyncconn.sandbox.tcup.streams.mqtt.packets import Connect, Will
    from asyncconn.sandbox.tcup.streams.mqtt.realm import Realm
    from asyncconn.sandbox.tcup.streams.mqtt.sessions import Delivery, Session

__all__ = ["Link"]

_CONNECT_SECONDS = 10.0
_FAREWELL_SECONDS = 0.5
_KEEPALIVES = 1.5  # as the protocol has it


class Link(Connection):
    """A client's connection, from its first packet on."""

    protocol = "mqtt"

    def __init__(
        self,
        streams: Streams,
        realms: Mapping[str, Realm],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(streams, name="", user="")
        self.will: Will | None = None
        self._realms = realms
        self._reader = reader
        self._writer = writer
        self._session: Session | None = None
        self._patience: float | None = _CONNECT_SECONDS
        self._broken = False

    async def run(self) -> None:
        """Talk to the client to its end; what is not as the protocol has it ends it."""
        realm: Realm | None = None
        try:
            connect = packets.read_connect(await self._first())
            if (realm := await self._admitted(connect)) is None:
                return
            session = self._enter(realm, connect)
            while await self._serve(realm, session):
                pass
        except (Malformed, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.closed()
            if realm is not None and self._session is not None:
                self._session.detach(self)
                realm.leave(self._session)
                if self.will is not None:
                    realm.publish(self.will)
            await self._hang_up()

    # -- what is done to it --------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Break it off; nothing is delivered over it any more."""
        self._broken = True
        abort(self._writer.transport)
        if self._session is not None:
            self._session.detach(self)
        self.flowing.set()

    def leave(self, code: int) -> None:
        """MQTT 3.1.1 has no farewell of the server: it breaks off."""
        self.kill()

    def flow(self) -> None:
        """Go on, with what has gathered, too."""
        super().flow()
        if self._session is not None:
            self._session.pump()

    def deliver(self, delivery: Delivery, number: int) -> None:
        """Write it out."""
        message = Publish(delivery.topic, delivery.payload, delivery.qos, delivery.retain, delivery.dup, number)
        self._writer.write(packets.publish(message))
        self.gave()

    async def _hang_up(self) -> None:
        self._writer.close()
        with suppress(OSError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._writer.wait_closed()
        abort(self._writer.transport)  # it does not read its last packets

    # -- connecting ----------------------------------------------------------------------------------------------------

    async def _first(self) -> bytes:
        kind, _, data = await self._next()
        if kind is not Kind.CONNECT:
            raise Malformed("the first packet is no CONNECT")
        return data

    async def _admitted(self, connect: Connect) -> Realm | None:
        """Where the client belongs; None when it was refused, or left without an answer."""
        self.name = connect.client_id
        code, realm = self._judged(connect)
        if realm is not None:
            self.user = realm.tenant.user
        fault = self.fault("refuse", "silent")
        if fault is not None and fault.kind == "silent":
            self.streams.live.append(self)  # it can be killed, as any other, and leaves nothing open
            while await self._reader.read(65_536):
                pass
            return None
        if fault is not None and fault.code is not None:
            code = fault.code
        if code == packets.ACCEPTED:
            return realm
        self.books.refused += 1
        self._writer.write(packets.connack(code))
        return None

    def _judged(self, connect: Connect) -> tuple[int, Realm | None]:
        """The code of the answer; as RabbitMQ has it, only who names no virtual host is not authorized."""
        if connect.level != 4:
            return packets.BAD_PROTOCOL, None
        vhost, colon, user = (connect.username or "").rpartition(":")
        if not colon:
            return packets.NOT_AUTHORIZED, None
        realm = self._realms.get(vhost)
        if realm is None or user != realm.tenant.user:
            return packets.BAD_CREDENTIALS, None
        if not hmac.compare_digest(connect.password or b"", realm.tenant.mqtt_password.encode()):
            return packets.BAD_CREDENTIALS, None
        if not connect.client_id and not connect.clean:
            return packets.BAD_IDENTIFIER, None
        return packets.ACCEPTED, realm

    def _enter(self, realm: Realm, connect: Connect) -> Session:
        """Take the place of whoever had this client id."""
        session, present = realm.enter(connect.client_id, clean=connect.clean)
        for other in self.streams.pick(lambda one: one.protocol == self.protocol):
            if other.user == self.user and other.name == session.client_id:
                other.kill()
        self.name = session.client_id
        self.will = connect.will
        self._session = session
        self._patience = connect.keepalive * _KEEPALIVES or None
        self._writer.write(packets.connack(packets.ACCEPTED, present=present))
        self.opened()
        if not self._broken:
            session.attach(self)
        return session

    # -- serving -------------------------------------------------------------------------------------------------------

    async def _next(self) -> tuple[Kind, int, bytes]:
        await self.flowing.wait()
        async with asyncio.timeout(self._patience):
            found = await packets.read(self._reader)
        await self.flowing.wait()  # it may have begun to stall while a packet was awaited
        if self._broken:
            raise ConnectionError  # what came before is of no account any more
        return found

    async def _serve(self, realm: Realm, session: Session) -> bool:
        """One packet; False when it was the last one."""
        kind, flags, data = await self._next()
        match kind:
            case Kind.PUBLISH:
                await self._publish(realm, packets.read_publish(flags, data))
            case Kind.PUBACK:
                self.books.acknowledged += session.acknowledge(packets.read_number(data))
            case Kind.SUBSCRIBE:
                self._subscribe(realm, session, *packets.read_subscribe(data))
            case Kind.UNSUBSCRIBE:
                number, filters = packets.read_unsubscribe(data)
                for filter_ in filters:
                    session.unsubscribe(filter_)
                self._answer(Kind.UNSUBACK, number)
            case Kind.PINGREQ:
                self._writer.write(packets.packet(Kind.PINGRESP))
            case Kind.DISCONNECT:
                self.will = None
                return False
            case _:
                raise Malformed("a second CONNECT")
        return True

    async def _publish(self, realm: Realm, message: Publish) -> None:
        if message.qos == 2 and self.streams.options.mqtt_qos2 == "refused":
            raise Malformed("QoS 2 is not spoken here")
        await self.took()
        realm.publish(message)
        if message.qos and await self.may_answer():
            self._answer(Kind.PUBACK, message.number)
        self.suffer()

    def _subscribe(self, realm: Realm, session: Session, number: int, asked: list[tuple[str, int]]) -> None:
        refused = self.streams.options.mqtt_qos2 == "refused"
        granted = [
            packets.REFUSED_FILTER if not is_filter(filter_) or (qos == 2 and refused) else min(1, qos)
            for filter_, qos in asked
        ]
        self._answer(Kind.SUBACK, number, bytes(granted))
        for (filter_, _), qos in zip(asked, granted, strict=True):
            if qos != packets.REFUSED_FILTER:
                session.subscribe(filter_, qos)
                realm.remember(session, filter_)

    def _answer(self, kind: Kind, number: int, more: bytes = b"") -> None:
        self._writer.write(packets.packet(kind, number.to_bytes(2, "big") + more))
