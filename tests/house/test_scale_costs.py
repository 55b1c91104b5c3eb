"""What sharing a cap and spreading work cost, as the benchmarks measure it: three times the goal, for busy machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure import Samples, run_peer

ROOT = Path(__file__).parents[2]
WIDE = 3


@pytest.mark.service("dask")
@pytest.mark.slow(300)
def test_a_partition_of_many_costs_scheduler_and_client_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    figures = run_peer("collect", "cluster", 200_000)

    assert figures["us_each"] <= 30 * WIDE
    assert figures["grown_mb"] <= 60 * WIDE
    assert figures["outcomes"] <= 1_000  # a few hundred tasks: counts come back, and no rows


@pytest.mark.service("redis")
@pytest.mark.slow(120)
def test_a_call_of_a_shared_window_costs_six_acquires_of_aiolimiter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    some = Samples()

    some.collect("shared", ["aiolimiter", "shared"], 3, "-", 20_000)

    assert some.ratio("ns", "shared", "aiolimiter") <= 6 * WIDE
