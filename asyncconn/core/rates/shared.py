"""What turns the parts of an account into parts that several processes share, wherever it keeps their books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncconn.core.rates.registry import Rates

__all__ = ["SharedRates"]


class SharedRates(Protocol):
    """What a hub is given as ``shared_rates``. One may serve several hubs, also of several event loops."""

    async def open(self) -> object:
        """Called by each hub that opens, on its loop. Raises where the store is not fit for it."""
        ...

    async def aclose(self) -> None:
        """Called by each hub that closes, after it has closed the limiters that nobody uses any more."""
        ...

    def share(self, platform: str, credential: str, rates: Rates) -> Rates:
        """The parts that keep ``rates`` in common for this credential, in the same shape; what cannot be stays."""
        ...
