"""The collector of garbage rests within the block, and is afterwards what it was before."""

from __future__ import annotations

import gc

import pytest

from asyncconn.core.collector import collector_at_rest


def _break_within() -> None:
    with collector_at_rest():
        assert not gc.isenabled()
        raise ValueError("broken")


@pytest.mark.parametrize("enabled", [True, False])
def test_it_rests_and_is_what_it_was_before(enabled: bool) -> None:
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ValueError, match="broken"):
            _break_within()
        assert gc.isenabled() is enabled
        with collector_at_rest(), collector_at_rest():
            pass
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
