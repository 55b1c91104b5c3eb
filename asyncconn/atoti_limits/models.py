"""What Limits knows: structures, limits, incidents, connections, audit entries. Contract: limits section 11.

Little is documented, so nothing is required and nothing is lost: unknown fields and words are kept as they came, and
writing an object back writes what came with it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, TypeVar

from pydantic import model_validator

from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.errors import ConfigError
from asyncconn.http import models
from asyncconn.http.models import Day, Flag, Int, Moment, Number, Text, TolerantModel, Word, leniently

__all__ = [
    "AuditEntry",
    "Connection",
    "Incident",
    "IncidentType",
    "LegacyLimit",
    "Limit",
    "LimitState",
    "LimitStatus",
    "Structure",
    "UploadReport",
]


class LimitStatus(Word):
    """Where a limit stands. Only APPROVED is the vendor's own word; one that is not here is kept (11.3)."""

    APPROVED = "APPROVED"
    PENDING_FIRST_APPROVAL = "PENDING_FIRST_APPROVAL"
    PENDING_SECOND_APPROVAL = "PENDING_SECOND_APPROVAL"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"


class IncidentType(Word):
    """What an evaluation found (11.4)."""

    BREACH = "BREACH"
    WARNING = "WARNING"


Status = Annotated[LimitStatus | None, leniently]
Kind = Annotated[IncidentType | None, leniently]
Texts = Annotated[list[str] | None, leniently]
Parameters = Annotated[dict[str, Any] | None, leniently]


class Model(TolerantModel):
    """An object of Limits' REST."""

    def wire(self) -> dict[str, Any]:
        """As it is to be written: what came, with what was set since over it."""
        own = self.model_dump(mode="json", by_alias=True, include=self.model_fields_set, warnings=False)
        return {**self.raw, **own}


class Structure(Model):
    """A limit structure: what is limited, and how. Contract: section 11.2.

    Its id is called ``reference_id`` or ``structure_id``, as the server's version will have it; :attr:`id` is either.
    ``warning_threshold`` is the least utilisation in percent that is a warning, but in 4.0.1 to 4.0.3 and in 4.1.0 a
    distance from the limit in percent: ``warning_threshold_is_distance`` tells.
    """

    reference_id: Text = None
    structure_id: Text = None
    name: Text = None
    group: Text = None
    server_name: Text = None
    cube_name: Text = None
    measure_name: Text = None
    comment: Text = None
    user_id: Text = None
    exception_workflow: Text = None
    exception_workflow_parameters: Parameters = None
    limit_changes_workflow: Text = None
    limit_changes_workflow_parameters: Parameters = None
    polling_frequency: Text = None
    kpi_type: Text = None
    warning_threshold: Number = None
    absolute_value_indicator: Flag = None
    scope_keys: Texts = None

    @property
    def id(self) -> str | None:
        """The id under which limits refer to it."""
        return self.structure_id if self.structure_id is not None else self.reference_id


class Limit(Model):
    """A limit of a structure. Contract: section 11.3. A list of one limit value is read as the value."""

    structure_id: Text = None
    limit_id: Text = None
    limit_name: Text = None
    start_date: Day = None
    end_date: Day = None
    limit_type: Text = None
    limit_value: Number = None
    scope: Text = None
    limit_status: Status = None
    source_limit_id: Text = None
    precedence: Int = None
    alive: Flag = None

    @model_validator(mode="before")
    @classmethod
    def _one_value(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not {"limitValue", "limit_value"} & value.keys():
            values = value.get("limitValues")
            if isinstance(values, list) and len(values) == 1:
                return {**value, "limitValue": values[0]}
        return value

    def wire(self) -> dict[str, Any]:
        """As it is to be written; a value that came in a list goes back in one."""
        body = super().wire()
        if "limitValues" in self.raw and "limitValue" not in self.raw and "limitValue" in body:
            body["limitValues"] = [body.pop("limitValue")]
        return body


class LegacyLimit(Model):
    """A limit of Limits 1.x, which is its own structure. Contract: section 11.1."""

    id: Text = None
    name: Text = None
    group: Text = None
    comment: Text = None
    server_name: Text = None
    cube_name: Text = None
    measure_name: Text = None
    valid_from: Day = None
    valid_to: Day = None
    currency: Text = None
    frequency_type: Text = None
    user_id: Text = None
    breach_workflow: Text = None
    breach_workflow_parameters: Parameters = None
    warning_workflow: Text = None
    warning_workflow_parameters: Parameters = None
    limit_changes_workflow: Text = None
    limit_changes_workflow_parameters: Parameters = None
    polling_frequency: Text = None
    kpi_type: Text = None
    limit_values: Annotated[list[float] | None, leniently] = None
    warning_threshold: Number = None
    scope: Parameters = None


class LimitState(Model):
    """What ``limits.status`` says of a limit."""

    limit_id: Text = None
    status: Text = None
    as_of_date: Day = None


class Incident(Model):
    """A breach or a warning. Contract: section 11.4."""

    incident_key: Text = None
    limit_id: Text = None
    incident_type: Kind = None
    measure_value: Number = None
    location: Text = None
    mdx: Text = None
    as_of_date: Day = None
    breach_count: Int = None
    evaluation_timestamp: Text = None
    session_id: Text = None
    status: Text = None
    workflow: Text = None
    workflow_parameters: Any = None
    comment: Text = None
    limit_type: Text = None


class Connection(Model):
    """A session that the Limits server knows. Contract: section 10.4."""

    server_name: Text = None
    atoti_base_url: Text = None
    connected: Flag = None
    since: Moment = None


class AuditEntry(Model):
    """One step in the history of a workflow. Contract: section 10.4."""

    timestamp: Moment = None
    user: Text = None
    action: Text = None
    status: Text = None
    comment: Text = None


class UploadReport(Model):
    """How many an upload made, and how many it changed."""

    created: Int = None
    updated: Int = None


M = TypeVar("M", bound=Model)


def decode(kind: type[M], value: Any) -> M:
    """One object of the wire. Raises ``LimitsProtocolError`` when it is none."""
    return models.decode(kind, value, LimitsProtocolError)


def decode_list(kind: type[M], value: Any) -> list[M]:
    """An array of objects. Raises ``LimitsProtocolError`` when it is none."""
    if not isinstance(value, list):
        raise LimitsProtocolError(f"a list of {kind.__name__} must be an array, not {type(value).__name__}")
    made: list[M] = []
    for index, one in enumerate(value):
        try:
            made.append(decode(kind, one))
        except LimitsProtocolError as error:
            error.path = f"$[{index}]"
            raise
    return made


def body_of(value: Any) -> dict[str, Any]:
    """What is to be written: a mapping with the platform's own names, or a model. Raises ``ConfigError``."""
    if isinstance(value, Model):
        return value.wire()
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f"what is to be written is a model or a mapping with fields, not {type(value).__name__}")
    return dict(value)


def iso(value: date | str | None) -> str | None:
    """A day as ``YYYY-MM-DD``. Raises ``ConfigError`` when it is none."""
    if value is None:
        return None
    try:
        if isinstance(value, datetime):
            return value.date().isoformat()
        return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()
    except (TypeError, ValueError):
        raise ConfigError(f"a day is a date or YYYY-MM-DD, not {value!r}") from None
