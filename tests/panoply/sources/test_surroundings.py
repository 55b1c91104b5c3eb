"""What a source knows of the run that reads it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from asyncconn.panoply import DataSource, run_source

if TYPE_CHECKING:
    import pytest

    from asyncconn import Panoply


class Curious(DataSource):
    async def read(self, n: int | None = None) -> Any:
        if "hub" in self.source:
            return None
        self.source["hub"] = self.hub
        self.log("reading", 1)
        return [{"id": 1}]


async def test_a_source_shares_the_hub_of_its_run_and_has_none_before_or_after(panoply: Panoply) -> None:
    source = Curious({"type": "curious"})
    assert source.hub is None

    await run_source(source, into=panoply)

    assert source.source["hub"] is panoply.hub
    assert source.hub is None


async def test_a_logger_among_the_options_gets_one_tuple_a_call_and_silences_the_log(
    panoply: Panoply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncconn.panoply")
    heard: list[Any] = []

    await run_source(Curious({"type": "curious"}, {"logger": heard.append}), into=panoply)

    assert heard == [("reading", 1)]
    assert not [record for record in caplog.records if "reading" in record.getMessage()]

    await run_source(Curious({"type": "curious"}), into=panoply)

    assert [record.getMessage() for record in caplog.records if "reading" in record.getMessage()] == [
        "curious: reading 1"
    ]
