"""Evaluations, the incidents they leave, and what is decided about those."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.atoti_limits.csv_files import incident_columns, write_rows
from asyncconn.sandbox.atoti_limits.evaluation import threshold_is_distance, verdict
from asyncconn.sandbox.atoti_limits.problems import Findings, Problem
from asyncconn.sandbox.atoti_limits.rules import days

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from asyncconn.sandbox.atoti_limits.store import Store

__all__ = ["CLASSIFICATIONS", "RESOLUTIONS", "Evaluation", "act", "evaluate"]

CLASSIFICATIONS = ("Unclassified", "Technical Issue", "True Breach", "New Trade", "Late Trade", "Market Moved")
RESOLUTIONS = ("No action", "Hedge exposure", "Reduce position", "Keep position", "Keep, request increase")

_REVIEWED = "Reviewed"
_MDX = "SELECT {{[Measures].[{measure}]}} ON COLUMNS FROM [{cube}]"
_ACTIONS = {"reviewbreach": "BREACH", "reviewwarning": "WARNING"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run: ``measure`` gives the value for a limit and its structure on ``on``; ``version`` shapes the answer.

    ``beta``: a version before the release of its number.
    """

    measure: Callable[[Row, Row, date], float]
    on: date
    at: datetime
    session_id: str
    version: tuple[int, ...]
    passes: bool = False
    beta: bool = False


def evaluate(store: Store, limits: Sequence[Row], run: Evaluation) -> list[str]:
    """Evaluate what is approved and in force on the day; answers the lines of an incident file, header first."""
    rows = []
    for limit in limits:
        first, last = days(limit)
        if not limit["alive"] or limit["limitStatus"] != "APPROVED" or not first <= run.on <= last:
            continue
        structure = store.structures[limit["structureId"]]
        measure = run.measure(limit, structure, run.on)
        distance = threshold_is_distance(run.version)
        kind = verdict(structure, limit["limitValue"], measure, threshold_is_distance=distance)
        if kind != "PASS" or run.passes:
            rows.append(_incident(store, limit, structure, run, measure, kind))
    return [line.rstrip("\n") for line in write_rows(incident_columns(run.version, beta=run.beta), rows).splitlines()]


def act(incident: Row, action: str, body: Row) -> Row:
    """Review an incident. Raises 404 for an unknown action, 409 when it is too late or of the other kind, 422."""
    kind = _ACTIONS.get("".join(c for c in action.lower() if c.isalpha()))
    if kind is None:
        raise Problem(404, f"There is no action {action}; there are Review breach and Review warning")
    if incident["incidentType"] != kind:
        raise Problem(409, f"The incident is a {incident['incidentType']}")
    if incident["status"] == _REVIEWED:
        raise Problem(409, "The incident has been reviewed already")
    found = Findings()
    choices = {"classification": CLASSIFICATIONS, "resolution": RESOLUTIONS}
    for name, known in choices.items():
        value = body.get(name)
        if (value is None and kind == "BREACH") or (value is not None and value not in known):
            found.add(0, name, f"must be one of {'; '.join(known)}")
    if not isinstance(body.get("comment", ""), str):
        found.add(0, "comment", "must be a text")
    found.refuse(422, "The review is not valid")
    incident.update({name: body[name] for name in (*choices, "comment") if body.get(name) is not None})
    incident["status"] = _REVIEWED
    return incident


def _incident(store: Store, limit: Row, structure: Row, run: Evaluation, measure: float, kind: str) -> Row:
    """A new incident, or the one of the same limit, day and kind, measured again, while nobody has reviewed it."""
    on = run.on.isoformat()
    incident: Row | None = None
    for earlier in store.incidents.values():
        same = (earlier["limitId"], earlier["asOfDate"], earlier["incidentType"]) == (limit["limitId"], on, kind)
        if same and earlier["status"] != _REVIEWED:
            incident = earlier
    if incident is None:
        key = f"incident-{len(store.incidents) + 1:06}"
        incident = store.incidents[key] = {"incidentKey": key, "breachCount": 0, "comment": ""}
    incident.update(
        {
            "limitId": limit["limitId"],
            "incidentType": kind,
            "limitValue": limit["limitValue"],
            "measureValue": measure,
            "scope": limit["scope"],
            "location": "|".join(structure["scopeKeys"]),
            "mdx": _MDX.format(measure=structure["measureName"], cube=structure["cubeName"]),
            "asOfDate": on,
            "breachCount": incident["breachCount"] + 1,
            "evaluationTimestamp": run.at.strftime("%H:%M:%S.") + f"{run.at.microsecond // 1000:03}",
            "sessionId": run.session_id,
            "status": kind.capitalize(),
            "workflow": structure["exceptionWorkflow"],
            "workflowParameters": "|".join(f"{k}={v}" for k, v in structure["exceptionWorkflowParameters"].items()),
            "limitType": limit["limitType"],
        }
    )
    return incident
