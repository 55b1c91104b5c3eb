"""The broker's port: its own, with TLS or without. Contract: tcup section 5.1."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox.tcup.streams.mqtt.link import Link

if TYPE_CHECKING:
    from asyncconn.sandbox.tcup.options import Options
    from asyncconn.sandbox.tcup.streams.connections import Streams
    from asyncconn.sandbox.tcup.streams.mqtt.realm import Realm

__all__ = ["MqttServer"]


class MqttServer:
    """Listens for the clients of all tenants; their user names say which one they belong to.

        await world.mqtt.stop()
        ...
        await world.mqtt.start()  # on the same port, and nothing that was kept is lost

    ``realms`` are the tenants' by virtual host.
    """

    def __init__(self, streams: Streams, options: Options, host: str) -> None:
        self.realms: dict[str, Realm] = {}
        self.host = host
        self._streams = streams
        self._options = options
        self._port = options.mqtt_port
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], Link] = {}

    def __repr__(self) -> str:
        return f"<MqttServer {self.host}:{self._port} {'open' if self.is_open else 'not open'}>"

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    @property
    def port(self) -> int:
        """Raises :class:`~asyncconn.errors.LifecycleError` where none was opened."""
        if not self._port:
            raise LifecycleError("the sandbox's MQTT port is not open")
        return self._port

    async def start(self) -> None:
        """Listen, after a stop on the port that it had.

        Raises :class:`~asyncconn.errors.ConfigError` when the port or the certificate cannot be had.
        """
        try:
            server = await asyncio.start_server(self._accept, self.host, self._port or 0, ssl=self._tls())
        except (OSError, OverflowError) as error:
            raise ConfigError(f"world: mqtt_port={self._port!r}: {error}") from error
        self._server = server
        self._port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break off all connections, and listen no more; what is kept for clients stays kept."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for link in self._links.values():
            link.will = None  # it is the broker that goes, not the client
            link.kill()
        if self._links:
            for task in self._links:
                task.cancel()
            await asyncio.wait(set(self._links))
        await server.wait_closed()
        await asyncio.sleep(0)  # aborted transports let go of their sockets one turn later

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self._streams, self.realms, reader, writer)
        task = asyncio.get_running_loop().create_task(link.run(), name="asyncconn-sandbox-mqtt")
        self._links[task] = link
        task.add_done_callback(self._links.pop)

    def _tls(self) -> ssl.SSLContext | None:
        if self._options.mqtt_tls is None:
            return None
        certificate, key = self._options.mqtt_tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        return context
