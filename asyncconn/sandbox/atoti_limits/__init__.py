"""Atoti Limits, embedded: an Atoti session and a Limits server that really talk to each other over loopback.

async with FakeLimitsServer() as limits, FakeAtotiSession(limits_url=limits.url) as session:
    ...  # POST {session.url}/limits/autoconfig/connect, then GET {session.url}/limits/autoconfig/connected

``Sandbox(LimitsWorld())`` starts both.
"""

from asyncconn.sandbox.atoti_limits.discovery import Cube
from asyncconn.sandbox.atoti_limits.limits import FakeLimitsServer
from asyncconn.sandbox.atoti_limits.session import FakeAtotiSession
from asyncconn.sandbox.atoti_limits.users import User
from asyncconn.sandbox.atoti_limits.world import LimitsWorld

__all__ = ["Cube", "FakeAtotiSession", "FakeLimitsServer", "LimitsWorld", "User"]
