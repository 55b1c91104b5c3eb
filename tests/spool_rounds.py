"""Writers with a spool, killed at random moments: what a test and ``python -m benchmarks.kills`` run.

A round forks a writer from a process that has imported everything, and kills it: some time after it was at work, or, in
every fifth round, after its birth, when it may still be opening the spool. Each writer opens the spool that the one
before it left, and tells the id of every record whose ``write`` has returned. The server takes what arrives, says no
before it takes it, or says yes late.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from loopback import Loopback, Reply, Seen

import asyncconn
from asyncconn import BatchPolicy, Panoply, RetryPolicy, Timeouts
from asyncconn.core.buffer.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "killed/k0k0k0"
SECRET = base64.b64encode(b"r0r0/00000000-0000-4000-8000-000000000000/123456789012/us-east-1").decode()
POLICY = BatchPolicy(max_items=20, max_age=0.02, max_in_flight=4, max_pending_items=300)
WINDOW = POLICY.max_items * POLICY.max_in_flight  # records that can be under way at a kill

_SENT = Reply(
    body=b"<SendMessageResponse><SendMessageResult><MessageId>1</MessageId></SendMessageResult></SendMessageResponse>",
    headers={"Content-Type": "text/xml"},
)
_BUSY = Reply(status=503, body=b"busy")


@dataclass
class Tally:
    """What some rounds came to: ``written`` are ids whose write returned, ``arrived`` counts what the server took."""

    rounds: int = 0
    written: set[str] = field(default_factory=set)
    arrived: Counter[str] = field(default_factory=Counter)
    too_many: list[str] = field(default_factory=list)

    @property
    def lost(self) -> set[str]:
        return self.written - set(self.arrived)

    @property
    def duplicates(self) -> int:
        return self.arrived.total() - len(self.arrived)

    @property
    def figures(self) -> dict[str, int]:
        return {
            "rounds": self.rounds,
            "records": len(self.written),
            "lost": len(self.lost),
            "duplicates": self.duplicates,
        }


# -- the writer, in a process of its own -------------------------------------------------------------------------------


async def _write(path: str, url: str, fsync: bool, mode: str, name: str) -> None:
    def tell(ids: list[str]) -> None:
        os.write(1, "".join(f"+{one}\n" for one in ids).encode())

    async def singly(panoply: Panoply, task: int) -> None:
        for number in range(1_000_000):
            one = f"{name}.{task}.{number}"
            await panoply.write("t", {"id": one})
            tell([one])

    async def many(panoply: Panoply) -> None:
        for number in range(1_000_000):
            ids = [f"{name}.many.{number}.{n}" for n in range(30)]
            await panoply.write_many("t", [{"id": one} for one in ids])
            tell(ids)

    panoply = Panoply(
        KEY,
        SECRET,
        endpoint_url=url,
        policy=POLICY,
        retry=RetryPolicy(attempts=3, initial=0.005, maximum=0.02, maybe_sent="always"),
        timeouts=Timeouts(connect=1.0, total=10.0),
        spool=Spool(path, fsync=fsync),
    )
    async with panoply:
        if mode == "replay" or (mode == "away" and panoply.stats.pending):  # it may never come to a write of its own
            os.write(1, b"ready\n")
        if mode == "drain":
            await panoply.flush(15.0)
        elif mode == "replay":
            await asyncio.sleep(60)
        else:
            await asyncio.gather(*[singly(panoply, task) for task in range(3)], many(panoply))


def zygote() -> None:
    """Fork a writer for each line of JSON, wait for its end, tell how it came. No loop and no thread in here."""
    importlib.import_module("tenacity")  # or every writer would at its first retry
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                asyncio.run(_write(**order))
                status = 0
            finally:
                os._exit(status)
        os.write(1, b"pid %d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(1, b"dead %d\n" % os.waitstatus_to_exitcode(status))


# -- the server and the killer -----------------------------------------------------------------------------------------


class _Server:
    """Keeps the ids that arrive. It may refuse before it takes them, or take them and answer late."""

    def __init__(self, tally: Tally, chance: random.Random) -> None:
        self._tally = tally
        self._chance = chance
        self.away = False
        self.kind = False

    def answer(self, seen: Seen) -> Reply:
        fate = self._chance.random()
        if self.away or (fate < 0.15 and not self.kind):
            return _BUSY
        [body] = parse_qs(seen.body.decode())["MessageBody"]
        self._tally.arrived.update(json.loads(record)["id"] for record in body.split("\n\n") if record)
        return _SENT if fate < 0.6 or self.kind else Reply(body=_SENT.body, headers=_SENT.headers, after=0.03 * fate)


class _Killer:
    def __init__(self, process: asyncio.subprocess.Process, tally: Tally) -> None:
        self._process = process
        self._tally = tally

    async def round(self, order: dict[str, Any], seconds: float | None, *, newborn: bool = False) -> int:
        """One writer from its start to its end: killed ``seconds`` after it was at work or ``newborn``, or not at all.
        Its exit code.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        killing: asyncio.TimerHandle | None = None
        pid = 0
        while line := (await self._process.stdout.readline()).decode().strip():
            word, _, number = line.partition(" ")
            if word.startswith("+"):
                self._tally.written.add(word[1:])
            elif word == "pid":
                pid = int(number)
            elif word == "dead":
                if killing is not None:
                    killing.cancel()
                return int(number)
            # On a busy machine a writer may need longer to begin than another has to live.
            if killing is None and seconds is not None and pid and (newborn or word != "pid"):
                killing = asyncio.get_running_loop().call_later(seconds, os.kill, pid, signal.SIGKILL)
        raise RuntimeError("the process that forks has ended")


async def rounds(
    folder: Path,
    count: int,
    *,
    seed: int,
    fsync: bool,
    modes: tuple[str, ...] = ("write",),
    tell: Callable[[str], object] | None = None,
) -> Tally:
    """``count`` rounds in the given modes by turns (``write``, ``away``, ``replay``), then a writer that may end."""
    tally, chance = Tally(), random.Random(seed)
    server = _Server(tally, chance)
    home = [str(Path(asyncconn.__file__).parents[1]), str(Path(__file__).parent)]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, __file__],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(home)},
    )
    try:
        async with Loopback(otherwise=server.answer) as loopback:
            killer = _Killer(process, tally)
            order: dict[str, Any] = {"path": str(folder / "killed.spool"), "url": loopback.url, "fsync": fsync}
            for number in range(count):
                mode = modes[number % len(modes)]
                server.away = mode == "away"
                seconds = chance.uniform(0.0, 0.06 if mode == "replay" else 0.2)
                code = await killer.round(
                    {**order, "mode": mode, "name": f"{seed}.{number}"}, seconds, newborn=number % 5 == 4
                )
                tally.rounds += 1
                if code != -signal.SIGKILL:
                    tally.too_many.append(f"round {number} ended by itself: {code}")
                if tally.duplicates > tally.rounds * WINDOW:
                    tally.too_many.append(f"{tally.duplicates} duplicates after {tally.rounds} kills")
                loopback.seen.clear()
                if tell is not None:
                    waiting = f"{len(tally.written)} written, {len(tally.lost)} of them waiting"
                    tell(f"round {number}, {mode}: {waiting}, {tally.duplicates} duplicates")
            server.away, server.kind = False, True
            if code := await killer.round({**order, "mode": "drain", "name": "last"}, None):
                tally.too_many.append(f"the last writer ended with {code}")
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(ProcessLookupError):
            await asyncio.wait_for(process.wait(), 5)
    return tally


if __name__ == "__main__":
    zygote()
