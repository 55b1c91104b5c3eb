"""What several modules of these tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis_scene import RedisServer


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server of the test's own."""
    from redis_scene import redis_server

    with redis_server() as server:
        yield server
