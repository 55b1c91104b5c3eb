"""``check``: the promises of a connector, each held against a server that does its worst."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from asyncconn.connector import Connector
from asyncconn.errors import ConfigError
from asyncconn.testing import promises
from asyncconn.testing.running import Plan, Step
from asyncconn.testing.verdicts import CheckReport, Verdict
from asyncconn.testing.watching import Ground, Patient, listening, played

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncconn.hub import Hub

__all__ = ["check"]

C = TypeVar("C", bound=Connector)


async def check(
    factory: Callable[[str, Hub], C],
    fake: Ground,
    *,
    reads: Sequence[Step[C]] = (),
    writes: Sequence[Step[C]] = (),
    deliveries: Sequence[Step[C]] = (),
) -> CheckReport:
    """Hold a connector against its promises, at ``fake``: a :class:`Fake`, or a sandbox, that is open.

        >>> async def plan(acme: Acme) -> object:
        ...     return await acme.plan()
        >>> async def points(acme: Acme) -> int:
        ...     return (await acme.points.deliver({"id": n} for n in range(10))).accepted
        >>> report = await check(lambda url, hub: Acme(base_url=url, auth=TokenAuth("made-up"), hub=hub), fake,
        ...                      reads=[plan], deliveries=[points])
        >>> report.raise_for_failures()

    ``factory(base_url, hub)`` makes the connector, once for each run. ``reads`` are functions of it that change
    nothing, ``writes`` those that do, ``deliveries`` those that hand over records to be sent, and return how many.
    Each must work when nothing goes wrong: what it raises then is raised here. What is looked for:

    ``cap``: under full demand of ``reads``, more calls of a credential in a window than the connector declares.
    ``secret``: a credential in an error, a log line, a repr or a warning, while the server refuses, breaks off, or
    quotes it. ``repeated_write``: a POST or PATCH of ``writes`` sent again after its answer was lost, without an
    idempotency key. ``endless_wait``: a call or a close that does not end at a server that never answers.
    ``lost_record``: of ``deliveries``, records that are in no account after the close, or said to be delivered where
    the fake has not taken them (``Fake.took``), under faults.

    What is not given is not checked, and the report says so. A check takes some seconds; while it lasts, all log lines
    of the program are made, and no warnings are shown. Raises ``ConfigError`` while faults of your own are to come.
    """
    if len(fake.faults):
        raise ConfigError("check plays faults of its own: give it a fake whose script is empty")
    with listening() as heard:
        plan = Plan(factory, fake, tuple(reads), tuple(writes), tuple(deliveries), heard)
        clock = Patient()
        watched = []
        for step in plan.steps:
            async with played(fake) as watch:
                ended = await plan.run(step, clock)
            if ended.error is not None:
                raise ended.error
            plan.clean[step] = watch.seen
            watched.append(watch)
        verdicts: dict[str, Verdict] = {}
        endless = await promises.endless_wait(plan)
        lost = await promises.lost_record(plan)
        repeated = await promises.repeated_write(plan)
        await promises.provoke(plan)
        verdicts["cap"] = await promises.cap(plan)
    verdicts["secret"] = promises.secret(plan, [one for watch in watched for one in watch.credentials()])
    verdicts |= {"repeated_write": repeated, "endless_wait": endless, "lost_record": lost}
    await asyncio.sleep(0)
    return CheckReport(verdicts)
