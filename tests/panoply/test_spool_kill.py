"""kill -9 at random moments, a hundred times: every record whose write returned arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import spool_rounds

from asyncconn.core.buffer.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 20


@pytest.mark.slow(60)  # twenty programs, one after the other
@pytest.mark.parametrize(
    ("seed", "fsync", "modes"),
    [
        pytest.param(1, False, ("write",), id="writing"),
        pytest.param(2, True, ("write",), id="writing, with fsync"),
        pytest.param(3, False, ("away", "write"), id="while the server is away"),
        pytest.param(4, False, ("away", "replay", "replay", "write"), id="while sending again"),
        pytest.param(5, True, ("write", "away", "replay"), id="all of it, with fsync"),
    ],
)
async def test_every_record_whose_write_returned_arrives(
    tmp_path: Path,
    seed: int,
    fsync: bool,
    modes: tuple[str, ...],
    record_property: Callable[[str, object], None],
) -> None:
    tally = await spool_rounds.rounds(tmp_path, ROUNDS, seed=seed, fsync=fsync, modes=modes)
    record_property("spool", tally.figures)
    assert tally.lost == set()
    assert tally.too_many == []
    assert tally.rounds == ROUNDS
    assert len(tally.written) > 2 * ROUNDS  # they were killed at work, which is little on a busy machine
    spool = Spool(tmp_path / "killed.spool")
    await spool.open()
    assert spool.stats.records == 0
    await spool.aclose()
