"""A real sshd on the loopback, with throw-away keys, as the user who runs the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
LogLevel VERBOSE
{more}
"""


@dataclass
class SshServer:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    user: str = field(default_factory=getpass.getuser)

    def key(self, name: str, *options: str, passphrase: str = "", allowed: bool = True) -> str:
        """A new private key's text; the server lets its owner in, if ``allowed``."""
        text = make_key(self.folder / name, *options, passphrase=passphrase)
        if allowed:
            with (self.folder / "authorized_keys").open("a") as file:
                file.write((self.folder / f"{name}.pub").read_text())
        return text

    def parameters(self, key: str, **more: Any) -> dict[str, Any]:
        """What users give as ``ssh_tunnel``."""
        return {
            "active": True,
            "host": "127.0.0.1",
            "port": self.port,
            "username": self.user,
            "privateKey": key,
            **more,
        }

    def known_hosts(self, public: str = "host_key.pub") -> Path:
        """A file that names this server with its own key, or with another."""
        kind, key, *_ = (self.folder / public).read_text().split()
        path = self.folder / f"known-{public}"
        path.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        return path

    def kill(self) -> None:
        """The listener and those who serve its connections."""
        serving = [int(pid) for pid in _children_of(self.process.pid)]
        self.process.kill()
        self.process.wait(10)
        for pid in serving:
            os.kill(pid, 9)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def make_key(path: Path, *options: str, passphrase: str = "") -> str:
    command = ["ssh-keygen", "-q", "-f", str(path), "-N", passphrase, "-C", "a test's", *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=15)
    return path.read_text()


@contextmanager
def running(folder: Path, more: str = "") -> Iterator[SshServer]:
    """A server in ``folder``; ``more`` lines of configuration."""
    folder.mkdir()
    make_key(folder / "host_key", "-t", "ed25519")
    (folder / "authorized_keys").touch()
    config = folder / "config"
    config.write_text(CONFIG.format(folder=folder, more=more))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for _ in range(5):  # the port may be taken between our looking and its binding
        if server := _started(folder, config):
            break
    else:
        raise RuntimeError(f"sshd does not start: {(folder / 'log').read_text()}")
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def _started(folder: Path, config: Path) -> SshServer | None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert sshd is not None
    process = subprocess.Popen([sshd, "-D", "-f", str(config), "-p", str(port), "-E", str(folder / "log")])
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return SshServer(folder, port, process)
    process.kill()
    process.wait(10)
    return None


def _children_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
