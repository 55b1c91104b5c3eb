"""What the nouns of sensor observations share: writes whose answer has a result for each item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from asyncconn.errors import ApiError, ConfigError
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.results import item_results, results_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncconn.tcup.envelope import ItemResult
    from asyncconn.tcup.models import Model

__all__ = ["SosNoun", "fields_of"]


class SosNoun(Noun):
    """A noun of sensor observations."""

    async def _write(self, name: str, **options: Any) -> ItemResult:
        """One item. Raises what its result means."""
        return results_of(await self._caller.request(name, **options), 1)[0]

    async def _write_many(self, name: str, items: Sequence[Any], **options: Any) -> list[ItemResult]:
        """Several: a result for each, in order, refused or not. Raises what the call as a whole means."""
        try:
            return results_of(await self._caller.request(name, **options), len(items))
        except ApiError as error:
            if (found := item_results(error, len(items))) is None:
                raise
            return found


def fields_of(given: Model | Mapping[str, Any], kind: type[Model]) -> dict[str, Any]:
    """What is to be written. Raises ``ConfigError`` for what is no ``kind``."""
    if isinstance(given, kind):
        return given.wire()
    try:
        return kind.model_validate(given).wire()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in found)
        raise ConfigError(f"this is no {kind.__name__}: {wrong}") from error
