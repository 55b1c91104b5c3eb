"""How many jobs may be under way in a workspace, and who waits for room. Contract: datorama section 11.10."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from asyncconn.core.poll_group import PollGroup
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.core.tasks import each, reap
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.errors import AsyncConnError, ConfigError, PollTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["CAPACITY_POLLING", "Capacity", "Ticket"]

#: How often to look for room, and how long one request may wait for it.
CAPACITY_POLLING = PollPolicy(minimum=5.0, maximum=60.0, deadline=4 * 3600.0)

_YEARS = 1e8  # seconds: who waits has a deadline of his own, the watcher has none


@dataclass(eq=False, slots=True)
class Ticket:
    """The room that one request takes: ``cost`` jobs. ``accepted`` once the platform has them."""

    workspace_id: int
    streams: tuple[int, ...]
    cost: int
    accepted: bool = False


@dataclass(slots=True)
class _Room:
    """One workspace: jobs the platform told of when it was last asked, and requests since."""

    told: int = 0
    known: bool = False
    by_jobs: bool = False  # its streams do not tell how many jobs they have waiting, or tell it late
    since: list[Ticket] = field(default_factory=list)
    mine: set[int] = field(default_factory=set)  # streams that may have jobs of ours under way
    waiting: int = 0
    moved_at: float = 0.0  # when there was room, or more of it than before
    failure: AsyncConnError | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pending(self) -> int:
        return self.told + sum(ticket.cost for ticket in self.since)


class Capacity:
    """At most ``most`` unfinished jobs in each workspace (None: any number), as far as this run can help it.

    What is unfinished is the sum of ``pendingStatsCount`` over the workspace's streams: one call whoever queued the
    jobs, made once in the beginning, and again by one watcher while somebody waits. Requests sent since then are added.
    That number may come from a cache: so with each look one stream of ours that claims to have nothing waiting is
    compared with its list of jobs, and where they differ the workspace is counted by lists of jobs from then on.

    One request of more jobs than ``most`` waits until nothing is unfinished.
    """

    def __init__(self, nouns: Nouns, most: int | None, policy: PollPolicy) -> None:
        if most is not None and (type(most) is not int or most < 1):
            raise ConfigError(f"max_pending must be a whole number from 1, or None, not {most!r}")
        self.most = most
        self._nouns = nouns
        self._clock = nouns.calling.clock
        self._policy = policy
        self._rooms: dict[int, _Room] = {}
        self._group = PollGroup(
            self._look_again,
            done=lambda room: not room.waiting,
            at_once=AT_ONCE,
            policy=policy,
            clock=self._clock,
            name="datorama:capacity",
        )
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            await reap([self._watcher])

    # -- for those who send --------------------------------------------------------------------------------------------

    async def take(self, workspace_id: int, streams: tuple[int, ...], cost: int) -> Ticket:
        """Wait for room, first come first served.

        Raises ``PollTimeout`` when nothing has moved in the workspace for the policy's deadline, and what the platform
        answers when it does not tell what is unfinished.
        """
        ticket = Ticket(workspace_id, streams, cost)
        if self.most is None:
            return ticket
        room = self._rooms.setdefault(workspace_id, _Room(moved_at=self._clock.now()))
        async with room.turn:
            if not room.known:
                await self._look(workspace_id, room)
            if not self._fits(room, cost):
                await self._wait(workspace_id, room, cost)
            room.since.append(ticket)
            room.moved_at = self._clock.now()
        return ticket

    def accepted(self, ticket: Ticket, jobs: int) -> None:
        """The platform has them, or may have: ``jobs``, or as many as were expected if it does not tell (0)."""
        ticket.accepted = True
        ticket.cost = jobs or ticket.cost

    def refused(self, ticket: Ticket) -> None:
        """The platform does not have them."""
        room = self._rooms.get(ticket.workspace_id)
        if room is not None and ticket in room.since:
            room.since.remove(ticket)
            room.news.set()

    def _fits(self, room: _Room, cost: int) -> bool:
        pending = room.pending
        return self.most is None or pending + cost <= self.most or pending <= 0

    async def _wait(self, workspace_id: int, room: _Room, cost: int) -> None:
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch(), name="datorama:capacity")
        room.waiting += 1
        try:
            while not self._fits(room, cost):
                room.news.clear()
                try:
                    async with asyncio.timeout(room.moved_at + self._policy.deadline - self._clock.now()):
                        await room.news.wait()
                except TimeoutError:
                    raise PollTimeout(
                        f"workspace {workspace_id} has no room for {cost} jobs: {room.pending} are unfinished, and "
                        f"none has ended for {self._policy.deadline:g} s; nothing was sent",
                        last=room.pending,
                    ) from None
                if room.failure is not None:
                    failure, room.failure = room.failure, None
                    raise failure
        finally:
            room.waiting -= 1

    # -- the watcher ---------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at the workspaces in which somebody waits, more and more seldom the longer nothing moves."""
        while crowded := self._crowded():
            before = sum(self._rooms[number].pending for number in crowded)

            def moved(pending: int, before: int = before) -> bool:
                return pending < before or not self._crowded()

            await Poller(
                self._look_around,
                done=moved,
                result=bool,
                policy=replace(self._policy, first=self._policy.interval(0.0), deadline=_YEARS),
                clock=self._clock,
                name="datorama:capacity",
            )

    def _crowded(self) -> list[int]:
        return [number for number, room in self._rooms.items() if room.waiting]

    async def _look_around(self) -> int:
        """One round; what is pending in the workspaces that are crowded."""
        crowded = self._crowded()
        self._group.add(*crowded)
        await self._group.round()
        for number in crowded:
            room = self._rooms[number]
            room.failure = self._group.ended[number].error if number in self._group.ended else None
            room.news.set()
        return sum(self._rooms[number].pending for number in crowded)

    async def _look_again(self, workspace_id: int) -> _Room:
        room = self._rooms[workspace_id]
        before = room.pending
        await self._look(workspace_id, room)
        if room.pending < before:
            room.moved_at = self._clock.now()
        return room

    async def _look(self, workspace_id: int, room: _Room) -> None:
        counted = [ticket for ticket in room.since if ticket.accepted]
        ours = {stream for ticket in counted for stream in ticket.streams}
        waiting = None if room.by_jobs else await self._by_streams(workspace_id)
        if waiting is not None and await self._is_late(ours, waiting):
            waiting = None
        room.mine |= ours
        if waiting is None:
            room.by_jobs = True
            waiting = await self._by_jobs(room.mine)
        room.mine = {stream for stream in room.mine if waiting.get(stream)}
        room.told = sum(waiting.values())
        room.since = [ticket for ticket in room.since if ticket not in counted]
        room.known = True

    async def _by_streams(self, workspace_id: int) -> dict[int, int] | None:
        streams = (await self._nouns.streams.list(workspace_id)).items
        told = {one.id: one.pending_stats_count for one in streams if isinstance(one.pending_stats_count, int)}
        return None if streams and not told else told

    async def _is_late(self, ours: set[int], waiting: Mapping[int, int]) -> bool:
        quiet = min((stream for stream in ours if not waiting.get(stream)), default=None)
        return quiet is not None and bool((await self._by_jobs({quiet}))[quiet])

    async def _by_jobs(self, streams: set[int]) -> dict[int, int]:
        found: dict[int, int] = {}

        async def count(stream: int) -> None:
            jobs = await self._nouns.jobs.list(stream).collect()
            found[stream] = sum(not job.final for job in jobs)

        await each(sorted(streams), count, name="datorama:capacity", at_once=AT_ONCE)
        return found
