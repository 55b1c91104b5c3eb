"""What the author of a connector tests with: a clock, a platform of one's own, a check of the promises, and a tape.

async with Fake(app, rates=Window(20, 1.0)) as fake:
    report = await check(make, fake, reads=[plan], writes=[order], deliveries=[points])
report.raise_for_failures()
"""

from __future__ import annotations

from asyncconn.core.clock import VirtualClock
from asyncconn.testing.checking import check
from asyncconn.testing.fakes import Fake
from asyncconn.testing.recording import record
from asyncconn.testing.replaying import replay
from asyncconn.testing.verdicts import CheckReport

__all__ = ["CheckReport", "Fake", "VirtualClock", "check", "record", "replay"]
