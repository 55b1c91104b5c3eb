from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority

from .brokers import KINDS, SERVED, Broker, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    with running("rabbitmq", tmp_path_factory.mktemp("rabbitmq") / "broker", authority.signed("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    with running("mosquitto", tmp_path_factory.mktemp("mosquitto") / "broker", authority.signed("mosquitto")) as broker:
        yield broker


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=SERVED[kind]) for kind in KINDS])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each real broker: others are at it, too, so it is not to be stopped."""
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def tenant(request: pytest.FixtureRequest, broker: Broker) -> dict[str, Any]:
    """How a user of its own for each module gets there."""
    return broker.tenant(request.module.__name__.rpartition(".")[2])


@pytest.fixture
def mqtt(tenant: dict[str, Any]) -> dict[str, Any]:
    """The same, with a topic of its own for each test."""
    return {**tenant, "topic": f"t/{secrets.token_hex(6)}"}
