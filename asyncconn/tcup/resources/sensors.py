"""Sensors, and what all of them put out. Contract: tcup sections 2.2, 2.5, 13.1, 13.4, 13.19."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.tcup.documents import VERSION
from asyncconn.tcup.models import Capabilities, ObservedProperty, Sensor
from asyncconn.tcup.resources.base import SosNoun, fields_of

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping

    from asyncconn.core.paging import Pager
    from asyncconn.tcup.envelope import ItemResult

__all__ = ["Sensors"]


class Sensors(SosNoun):
    """Register, look at, change and delete sensors.

    >>> await tcup.sensors.create(Sensor.atomic("ts1", {"obs1": "text", "obs2": ("quantity", "Cel")}, feature="tf1"))
    """

    async def create(self, sensor: Sensor | Mapping[str, Any]) -> ItemResult:
        """Register one. Raises ``Conflict`` for a name that there is already, and what else its result means."""
        return await self._write("sensors.create", json=_document([fields_of(sensor, Sensor)]))

    async def create_many(self, sensors: Iterable[Sensor | Mapping[str, Any]]) -> builtins.list[ItemResult]:
        """Register several, with a result for each in their order: a bad one does not undo good ones."""
        made = [fields_of(one, Sensor) for one in sensors]
        return await self._write_many("sensors.create", made, json=_document(made)) if made else []

    def list(self) -> Pager[Sensor]:
        """All of them."""
        return self._pages(Sensor, "sensors.list", items="sensors")

    async def get(self, name: str) -> Sensor:
        """One of them. Raises ``NotFound``."""
        return await self._one(Sensor, "sensors.get", ids={"name": name})

    async def update(self, name: str, **changes: Any) -> ItemResult:
        """Set its ``description``, ``feature``, ``output`` or ``metadata``; what is not named stays.

        Raises ``Conflict`` when an output is left out that has observations.
        """
        body = fields_of({"name": name, **changes}, Sensor)
        return await self._write("sensors.update", ids={"name": name}, json=body)

    async def delete(self, name: str) -> None:
        """Delete it. Raises ``NotFound``, and ``Conflict`` for one that has observations: :meth:`clear` it first."""
        await self._gone("sensors.delete", ids={"name": name})

    async def clear(self, name: str) -> None:
        """Delete its observations, all of them."""
        await self._caller.request("sensors.clear", ids={"name": name})

    def properties(self) -> Pager[ObservedProperty]:
        """Every named output, with the sensors that have it."""
        return self._pages(ObservedProperty, "observations.properties", items="observedProperties")

    async def capabilities(self) -> Capabilities:
        """How many sensors and features there are, and what each sensor puts out."""
        return await self._one(Capabilities, "sos.capabilities")


def _document(sensors: builtins.list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": VERSION, "sensors": sensors}
