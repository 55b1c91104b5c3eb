"""What there is to see of TCUP: rates and quotas, streams and their gaps, tasks and workflows."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from asyncconn.sandbox.tcup.tasks import ACTIVE
from asyncconn.sandbox.views import Channel, Gap, Gauge, Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from asyncconn.sandbox.tcup.dls import Dls
    from asyncconn.sandbox.tcup.streams import Realm, Streams
    from asyncconn.sandbox.tcup.tasks import Engine
    from asyncconn.sandbox.tcup.workflows import Workflows

__all__ = ["channels", "gaps", "quota", "tasks"]

_MOST_GAPS = 50
_MOST_WORK = 30


def quota(user: str, dls: Dls) -> Iterator[Gauge]:
    """How full the data lake is, where it has an end."""
    if dls.limits.quota_bytes is not None:
        yield Gauge(f"{user}: data lake", dls.stored_bytes(), dls.limits.quota_bytes, "bytes")


def tasks(engine: Engine, workflows: Workflows) -> Iterator[Work]:
    """The last workflows, then the last tasks, newest first."""
    for instance in islice(reversed(workflows.instances.values()), _MOST_WORK):
        done = f"{len(instance.done)} of {len(instance.copies)} tasks done"
        failed = f", {len(instance.failed)} failed" if instance.failed else ""
        yield Work(
            "workflow", instance.id, instance.definition.name, instance.status, instance.under_way, done + failed
        )
    for task in islice(reversed(engine.tasks.values()), _MOST_WORK):
        detail = task.message or (f"run {task.runs} times" if task.runs > 1 else "")
        yield Work("task", task.id, task.name, task.status, task.status in ACTIVE, detail)


def channels(streams: Streams, realms: Mapping[str, Realm]) -> Iterator[Channel]:
    """The live connections, and the MQTT sessions that are kept for absent clients."""
    sessions = {(realm.tenant.user, name): one for realm in realms.values() for name, one in realm.sessions.items()}
    for one in streams.live:
        session = sessions.pop((one.user, one.name), None) if one.protocol == "mqtt" else None
        if session is None:
            yield Channel(one.protocol, one.name, one.about, True, one.received, one.sent)
        else:
            kept = len(session.waiting), len(session.in_flight), session.dropped
            yield Channel(one.protocol, one.name, " ".join(session.filters), True, one.received, one.sent, *kept)
    for (_, name), session in sessions.items():
        kept = len(session.waiting), len(session.in_flight), session.dropped
        yield Channel("mqtt", name, " ".join(session.filters), False, 0, session.delivered, *kept)


def gaps(streams: Streams, realms: Mapping[str, Realm]) -> Iterable[Gap]:
    """The last absences, newest first."""
    filters = {
        (realm.tenant.user, name): one.filters for realm in realms.values() for name, one in realm.sessions.items()
    }
    now = asyncio.get_running_loop().time()
    for one in islice(reversed(streams.absences), _MOST_GAPS):
        protocol, user, name, about = one.key
        if protocol == "mqtt":
            about = " ".join(filters.get((user, name), ()))
        seconds = (now if one.ended is None else one.ended) - one.began
        yield Gap(protocol, name, about, now - one.began, seconds, one.ended is not None)
