"""Real brokers on the loopback, each in a folder of its own: mosquitto and RabbitMQ."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from .mqtt_scene import at_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: For tests with a broker of these names. RabbitMQ comes up once, for one worker: the first test has the time for that.
SERVED = {
    "mosquitto": [pytest.mark.service("mosquitto")],
    "rabbitmq": [pytest.mark.service("rabbitmq"), pytest.mark.slow(150), pytest.mark.xdist_group("rabbitmq")],
}

_T = TypeVar("_T", bound=Callable[..., object])

_PATH = f"/usr/lib/rabbitmq/bin:{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_UP_SECONDS = 120.0  # RabbitMQ takes 12 on a machine that has nothing else to do


def served(kind: str) -> Callable[[_T], _T]:
    """For a test with this broker only."""

    def marked(test: _T) -> _T:
        for mark in SERVED[kind]:
            test = mark(test)
        return test

    return marked


class Broker(ABC):
    """A broker that can be stopped, killed and started again, on the same port and with what it has kept.

    ``tls`` is a file with a certificate and its key, for a second port. What blocks here belongs into a thread.
    """

    #: Messages that it hands out before the first of them is acknowledged.
    window: int

    def __init__(self, folder: Path, tls: Path | None = None) -> None:
        self.folder = folder
        self.port, self.tls_port = free_ports(2)
        self.tls = tls
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that serves."""
        return self._processes[-1]

    def at(self, **options: Any) -> dict[str, Any]:
        """How to get there."""
        return {**at_port(self.port), **options}

    def start(self) -> None:
        """Returns when it lets clients in."""
        self._launch()
        deadline = time.monotonic() + _UP_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise RuntimeError(f"{type(self).__name__} does not start: {(self.folder / 'out').read_text()[-2000:]}")

    def stop(self) -> None:
        """In order: it writes down what it has to keep."""
        self.process.terminate()
        self.process.wait(_UP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """At once, if it runs."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    @abstractmethod
    def tenant(self, name: str, *, reads: bool = True) -> dict[str, Any]:
        """A user of this name, in a virtual host of its own where there are any, and how it gets there.

        Without ``reads`` it may subscribe to nothing.
        """

    @abstractmethod
    def _launch(self) -> None:
        """Run what it needs, itself last."""

    def _run(self, *command: str, **environment: str) -> None:
        with (self.folder / "out").open("ab") as out:
            self._processes.append(
                subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=_with(environment))
            )


class Mosquitto(Broker):
    """It has one virtual host, and its users are known at its start."""

    window = 20

    def __init__(self, folder: Path, tls: Path | None = None) -> None:
        super().__init__(folder, tls)
        self._users = folder / "users"
        self._rights = folder / "rights"
        self._users.touch(mode=0o600)
        self._rights.touch(mode=0o600)

    def tenant(self, name: str, *, reads: bool = True) -> dict[str, Any]:
        subprocess.run([_program("mosquitto_passwd"), "-b", self._users, name, "secret"], check=True, timeout=15)
        with self._rights.open("a") as file:
            file.write(f"user {name}\ntopic {'readwrite' if reads else 'write'} #\n")
        if self._processes:
            self.process.send_signal(signal.SIGHUP)  # it reads its files again
        return self.at(username=name, password="secret")

    def _launch(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"user {getpass.getuser()}\nlistener {self.port} 127.0.0.1\n"
            + (f"listener {self.tls_port} 127.0.0.1\ncertfile {self.tls}\nkeyfile {self.tls}\n" if self.tls else "")
            + f"password_file {self._users}\nacl_file {self._rights}\nallow_anonymous false\n"
            + f"persistence true\npersistence_location {self.folder}/\nmax_queued_messages 0\n"
        )
        self._run(_program("mosquitto"), "-c", str(config))


class RabbitMQ(Broker):
    """It runs as the process that was started, without Debian's wrapper, and knows its nodes by a server of its own."""

    window = 10

    def __init__(self, folder: Path, tls: Path | None = None) -> None:
        super().__init__(folder, tls)
        self._names, self._nodes, self._amqp = free_ports(3)
        (folder / "plugins").write_text("[rabbitmq_mqtt].")

    def tenant(self, name: str, *, reads: bool = True) -> dict[str, Any]:
        vhost = f"{name}@tcup"
        rights = {"user": name, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*" if reads else "^$"}
        definitions = self.folder / "definitions.json"
        definitions.write_text(
            json.dumps(
                {
                    "vhosts": [{"name": vhost}],
                    "users": [{"name": name, "password": "secret", "tags": ""}],
                    "permissions": [rights],
                }
            )
        )
        self._control("await_startup")  # the port opens before
        self._control("import_definitions", str(definitions))
        return self.at(username=f"{vhost}:{name}", password="secret")

    def _launch(self) -> None:
        config = self.folder / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.default = 127.0.0.1:{self._amqp}\nmqtt.listeners.tcp.default = 127.0.0.1:{self.port}\n"
            + (
                f"mqtt.listeners.ssl.default = 127.0.0.1:{self.tls_port}\nssl_options.certfile = {self.tls}\n"
                f"ssl_options.keyfile = {self.tls}\n"
                if self.tls
                else ""
            )
        )
        self._run(_program("epmd"), "-port", str(self._names), "-address", "127.0.0.1")
        self._run(_program("rabbitmq-server"), "-noinput", **self._environment())

    def _control(self, *command: str) -> None:
        full = [_program("rabbitmqctl"), "--quiet", *command]
        subprocess.run(full, check=True, timeout=_UP_SECONDS, env=_with(self._environment()), capture_output=True)

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "HOME": str(folder),  # its cookie is there
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ALLOW_INPUT": "1",  # else a shell stays between us and it
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(self._nodes),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "kept"),
            "RABBITMQ_NODENAME": "tests@localhost",
        }


KINDS: dict[str, type[Broker]] = {"mosquitto": Mosquitto, "rabbitmq": RabbitMQ}


@contextmanager
def running(kind: str, folder: Path, tls: Path | None = None) -> Iterator[Broker]:
    """A broker in a new ``folder``, to the end of the block."""
    folder.mkdir()
    broker = KINDS[kind](folder, tls)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at this moment."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    assert found is not None
    return found


def _with(environment: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **environment}
