"""What the nouns of sensor observations share: writes whose answer has a result for each item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.errors import ApiError, ConfigError
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.envelope import ItemResult, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncconn.http.response import Response
    from asyncconn.tcup.models import Model

__all__ = ["SosNoun", "fields_of", "item_results", "results_of"]


class SosNoun(Noun):
    """A noun of sensor observations."""

    async def _write(self, name: str, **options: Any) -> ItemResult:
        """One item. Raises what its result means."""
        results = results_of(await self._caller.request(name, **options), 1)
        return results[0]

    async def _write_many(self, name: str, items: Sequence[Any], **options: Any) -> list[ItemResult]:
        """Several: a result for each, in order, refused or not. Raises what the call as a whole means."""
        try:
            return results_of(await self._caller.request(name, **options), len(items))
        except ApiError as error:
            if (found := item_results(error, len(items))) is None:
                raise
            return found


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


def fields_of(given: Model | Mapping[str, Any], kind: type[Model]) -> dict[str, Any]:
    """What is to be written. Raises ``ConfigError`` for what is no ``kind``."""
    if isinstance(given, kind):
        return given.wire()
    try:
        return kind.model_validate(given).wire()
    except ValueError as error:
        raise ConfigError(f"this is no {kind.__name__}: {error}") from error
