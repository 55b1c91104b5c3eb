"""``check`` finds each broken promise by its name and no other, and says what it did not look at."""

from __future__ import annotations

import asyncio
import logging
import warnings

import pytest

from asyncconn import Hub, Platform, Window
from asyncconn.errors import ConfigError
from asyncconn.sandbox import Fault
from asyncconn.testing import check

from .broken import (
    Alarming,
    Blind,
    Boasting,
    Chatty,
    Forgetful,
    Hasty,
    Keyed,
    Patient,
    Printing,
    Rekeyed,
    Tides,
    Unsaid,
    height,
    heights,
    order,
    tides,
)

ALL = {"cap", "secret", "repeated_write", "endless_wait", "lost_record"}


@pytest.mark.parametrize("kind", [Tides, Keyed])
async def test_a_connector_that_keeps_its_promises_passes(kind: type[Tides]) -> None:
    async with tides() as fake:
        report = await check(kind, fake, reads=[height], writes=[order], deliveries=[heights])

    assert set(report.passed) == ALL, report
    report.raise_for_failures()
    assert "at most 5 calls within 0.5 s" in report.passed["cap"][0]


@pytest.mark.parametrize(
    ("kind", "name", "seen"),
    [
        (Hasty, "cap", "within 0.5 s, where 5 are declared"),
        (Chatty, "secret", "a log line of tides: failed with Bearer ***"),
        (Blind, "repeated_write", "order: POST /orders was sent again after its answer was lost (drop_after)"),
        (Alarming, "secret", "in a warning: refused with ***"),
        (Printing, "secret", "in a repr: <Tides ***>"),
        (Unsaid, "secret", "X-Api-Key: ***"),
        (Rekeyed, "repeated_write", "order: POST /orders was sent again after its answer was lost (drop_after)"),
        (Patient, "endless_wait", "height: no end at a server that never answers"),
        (Forgetful, "lost_record", "heights, without a fault: 6 records were handed over, 4 are in an account"),
        (Boasting, "lost_record", "6 records are said to be delivered, 0 were taken"),
    ],
)
async def test_a_broken_promise_is_found_by_its_name_and_no_other(kind: type[Tides], name: str, seen: str) -> None:
    async with tides() as fake:
        report = await check(kind, fake, reads=[height], writes=[order], deliveries=[heights])

    assert set(report.failed) == {name}, report
    assert any(seen in one for one in report.failed[name]), report
    assert set(report.passed) == ALL - {name}
    with pytest.raises(AssertionError, match=f"{name}: failed: "):
        report.raise_for_failures()


async def test_a_limit_that_the_platform_keeps_and_the_connector_does_not_know_is_found() -> None:
    async with tides(rates=Window(3, 0.5)) as fake:
        report = await check(Tides, fake, reads=[height])

    assert list(report.failed) == ["cap"]
    assert any("refused as too many" in one for one in report.failed["cap"])


async def test_what_is_not_given_is_not_checked() -> None:
    async with tides() as fake:
        nothing = await check(Tides, fake)
        reading = await check(Tides, fake, writes=[height])

    assert set(nothing.not_checked) == ALL
    assert reading.not_checked == {
        "cap": ("no reads were given to make demand with",),
        "repeated_write": ("none of the writes sends a POST or PATCH",),
        "lost_record": ("no deliveries were given",),
    }


async def test_a_limit_that_the_reads_do_not_come_to_is_not_checked() -> None:
    async def slow(connector: Tides) -> None:
        await connector.height()
        await asyncio.sleep(2.0)

    class Large(Tides):
        platform = Platform("large", rates=Window(1000, 60.0))

    async with tides() as fake:
        report = await check(Large, fake, reads=[slow])

    assert "did not come to the limit: " in report.not_checked["cap"][0]


async def test_what_a_function_raises_without_a_fault_is_raised() -> None:
    async def wrong(connector: Tides) -> object:
        raise LookupError("my own mistake")

    async with tides() as fake:
        with pytest.raises(LookupError, match="my own mistake"):
            await check(Tides, fake, reads=[wrong])
        assert len(fake.faults) == 0


async def test_faults_of_the_author_do_not_mix_with_those_of_the_check() -> None:
    async with tides(faults="status:503") as fake:
        with pytest.raises(ConfigError, match="script is empty"):
            await check(Tides, fake, reads=[height])


async def test_everything_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.ERROR)
    before = root.level, list(root.handlers), list(warnings.filters)
    async with tides() as fake:
        await check(Tides, fake, reads=[height])
        fake.faults.add(Fault("status", status=503))
        async with Hub() as hub:
            await Tides(fake.url, hub).height()

    assert (root.level, list(root.handlers), list(warnings.filters)) == before
    assert fake.faults.hits["status"] >= 1
