"""Groups of rows by resource, and resources as an author lists them and the platform shows them.

Contract: panoply section 8 (records and resources); weaknesses 45 and 46 of section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, TypeVar

from asyncconn.core.clock import SystemClock
from asyncconn.panoply.errors import RecordTypeError, RecordValueError

if TYPE_CHECKING:
    from asyncconn.core.clock import Clock

__all__ = ["Field", "Metadata", "Record", "RecordGroup", "Resource", "convert_to_ui_format", "to_record"]

T = TypeVar("T")


class Metadata(TypedDict):
    """Which resource rows are of, and when they were read: UTC, ``2030-01-01T00:00:00.000Z``."""

    resource_id: str
    timestamp: str


class Record(TypedDict):
    """One row with its metadata."""

    data: Mapping[str, Any]
    metadata: Metadata


class RecordGroup(TypedDict):
    """Rows of one resource with their metadata."""

    data: list[Any]
    metadata: Metadata


class Field(TypedDict):
    """A field of a resource. ``type`` and the rest may be left out: then it is optional, and there."""

    name: str
    type: NotRequired[str | None]
    is_mandatory: NotRequired[bool | None]
    is_available: NotRequired[bool | None]


class Resource(TypedDict):
    """Something that can be read: a table, an endpoint. ``requires`` names resources that must be read with it."""

    id: str
    title: str
    fields: NotRequired[list[Field] | None]
    available: NotRequired[bool | None]
    required: NotRequired[bool | None]
    requires: NotRequired[list[str] | None]


def to_record(resource: str, data: Any, *, clock: Clock | None = None) -> RecordGroup:
    """Rows, or one row, of ``resource`` as a group with the time of ``clock`` (the system's).

        >>> to_record("customers", {"id": 1})["data"]
        [{'id': 1}]

    Raises ``RecordTypeError`` (a ``TypeError``) when ``resource`` is not text or ``data`` is not a mapping or a list of
    mappings, each of which is looked at; ``RecordValueError`` (a ``ValueError``) when ``resource`` is blank.
    Contract: panoply section 8.
    """
    if not isinstance(resource, str):
        raise RecordTypeError(f"the resource must be text, not {type(resource).__name__}", path="resource")
    if not resource.strip():
        raise RecordValueError("the resource is blank", path="resource")
    rows = [data] if isinstance(data, Mapping) else data
    if not isinstance(rows, list):
        raise RecordTypeError(f"the data must be a dict or a list of dicts, not {type(data).__name__}", path="data")
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise RecordTypeError(f"a row must be a dict, not {type(row).__name__}", path=f"data[{index}]", index=index)
    now = (clock or SystemClock()).utcnow()
    timestamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"data": rows, "metadata": {"resource_id": resource, "timestamp": timestamp}}


def _never(item: Any) -> bool:
    return False


def _nothing(item: Any) -> list[str]:
    return []


def convert_to_ui_format(
    items: Iterable[T] | None,
    create_name: Callable[[T], str],
    create_value: Callable[[T], Any],
    is_disabled: Callable[[T], bool] = _never,
    requires: Callable[[T], list[str]] = _nothing,
) -> list[dict[str, Any]] | None:
    """Resources or fields as the choices of a list in the platform's UI; None when there are none.

        >>> convert_to_ui_format([{"id": "a", "title": "A"}], lambda r: r["title"], lambda r: r["id"])
        [{'name': 'A', 'value': 'a', 'disabled': False, 'requires': []}]

    The functions are called with each item. Contract: panoply section 8.
    """
    return [
        {
            "name": create_name(item),
            "value": create_value(item),
            "disabled": is_disabled(item),
            "requires": requires(item),
        }
        for item in items or ()
    ] or None
