"""The results of single items, in the order in which these were sent. Contract: tcup sections 1.6, 13.14."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.tcup.envelope import ItemResult, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.errors import ApiError
    from asyncconn.http.response import Response

__all__ = ["item_results", "results_of"]


def results_of(answer: Response, count: int) -> list[ItemResult]:
    """The results of ``count`` items of a write that was carried out."""
    meant = verdict(answer.json() if answer.body else None, answer.status)
    return _aligned(meant.results, count, meant.status)


def item_results(error: ApiError, count: int) -> list[ItemResult] | None:
    """The results of single items that an error has; None where the call was refused as a whole."""
    found = error.details
    if not isinstance(found, tuple) or not found or not all(isinstance(one, ItemResult) for one in found):
        return None
    return _aligned(found, count, error.status)


def _aligned(results: Sequence[ItemResult], count: int, status: int) -> list[ItemResult]:
    """In the order of the items; one that the answer is silent about shares the fate of the call.

    Of a call that was carried out in part nobody knows then what became of it: 500.
    """
    silent = 500 if status == 207 else status
    known = {one.index: one for one in results}
    return [known.get(place) or ItemResult(place, None, silent) for place in range(count)]
