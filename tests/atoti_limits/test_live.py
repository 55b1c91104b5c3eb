"""Against servers that the user already runs: opt in with ``ASYNCCONN_LIVE_LIMITS_URL`` (the Limits server's address).

``ATOTI_BASE_URL``, ``ASYNCCONN_ATOTI_LIMITS_USER`` and ``..._PASSWORD`` (or ``..._TOKEN``) say the rest, and
``ASYNCCONN_LIVE_LIMITS_GENERATION`` which generation it is. The vendor's licence keeps its server out of our own tests.
"""

from __future__ import annotations

import os

import pytest

from asyncconn import AtotiLimits

URL = os.environ.get("ASYNCCONN_LIVE_LIMITS_URL")

pytestmark = pytest.mark.skipif(
    URL is None, reason="opt-in: set ASYNCCONN_LIVE_LIMITS_URL to a Limits server of your own"
)


async def test_a_real_session_and_a_real_limits_server_get_connected() -> None:
    generation = int(os.environ.get("ASYNCCONN_LIVE_LIMITS_GENERATION", "3"))
    async with AtotiLimits.from_env(limits_url=URL, generation=generation) as limits:
        done = await limits.wait_connected(timeout=15.0, preflight={"limits": generation > 1})

        assert done.polls >= 1
        assert await limits.connected() is True
        assert await limits.ready() is True
