"""Incidents: breaches and warnings. Contract: limits sections 10.4, 11.4, 11.7."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from asyncconn.atoti_limits.models import Incident, IncidentType, iso
from asyncconn.atoti_limits.resources.base import Numbered, Resource
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.core.paging import Pager

__all__ = ["CLASSIFICATIONS", "RESOLUTIONS", "Incidents"]

#: The choices of the vendor's incident review (11.7).
CLASSIFICATIONS = ("Unclassified", "Technical Issue", "True Breach", "New Trade", "Late Trade", "Market Moved")
RESOLUTIONS = ("No action", "Hedge exposure", "Reduce position", "Keep position", "Keep, request increase")


class Incidents(Resource):
    """``limits.incidents``.

    >>> async for incident in limits.incidents.list(incident_type="BREACH"):
    ...     await limits.incidents.act(
    ...         incident.incident_key, "Review breach", classification="New Trade", resolution="No action"
    ...     )
    """

    def list(
        self,
        *,
        as_of_date: date | str | None = None,
        limit_id: str | None = None,
        incident_type: IncidentType | str | None = None,
        status: str | None = None,
        page_size: int = 100,
    ) -> Pager[Incident]:
        """All of them, or those of a day, a limit, a type, in a status; ``page_size`` is 1,000 at most."""
        params = {
            "asOfDate": iso(as_of_date),
            "limitId": limit_id,
            "incidentType": incident_type,
            "status": status,
        }
        return self._pages(Incident, "incidents.list", items="content", next=Numbered(page_size), params=params)

    async def act(
        self,
        incident_key: str,
        action: str,
        *,
        comment: str = "",
        classification: str | None = None,
        resolution: str | None = None,
        check: bool = True,
    ) -> Incident:
        """Carry out an action of the incident's workflow; the incident as it is then.

        ``classification`` and ``resolution`` are among :data:`CLASSIFICATIONS` and :data:`RESOLUTIONS`; without
        ``check`` any text is taken, for workflows of one's own. Raises ``ConfigError`` otherwise.
        """
        if check:
            _among(classification, CLASSIFICATIONS, "classification")
            _among(resolution, RESOLUTIONS, "resolution")
        given = {"comment": comment, "classification": classification, "resolution": resolution}
        body = {key: value for key, value in given.items() if value is not None}
        where = {"incidentKey": incident_key, "action": action}
        return await self._one(Incident, "incidents.act", ids=where, json=body)


def _among(value: str | None, choices: tuple[str, ...], what: str) -> None:
    if value is not None and value not in choices:
        raise ConfigError(f"{what} is one of {', '.join(map(repr, choices))} (or give check=False), not {value!r}")
