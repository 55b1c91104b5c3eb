"""Objects of a platform as pydantic models that take what comes: for platforms whose answers nobody documents fully.

Unknown fields are kept, a value of an unexpected type is kept as it came, an unknown word is a word like any other.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidatorFunctionWrapHandler
    from pydantic_core import CoreSchema

    from asyncconn.errors import ProtocolError

__all__ = ["Day", "Flag", "Int", "Moment", "Number", "Text", "TolerantModel", "Word", "decode", "leniently"]


class Word(StrEnum):
    """Words of a platform. One that is not among them is kept as it came, and equals its text."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = word._value_ = value
        return word

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Any text, with those that are known as examples: another one is no error."""
        return {"title": cls.__name__, "type": "string", "examples": [word.value for word in cls]}


def _keep(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return value


def _as_it_is(value: Any) -> Any:
    return value


class _Leniently:
    """For ``Annotated``: what does not fit the type is kept as it came, and written so."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(_as_it_is)  # whatever it is: no type is looked at
        return core_schema.no_info_wrap_validator_function(_keep, handler(source), serialization=written)


leniently = _Leniently()


def _from_epoch(value: Any) -> Any:
    """Milliseconds since 1970 as an aware time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value / 1000, UTC)
        except (OverflowError, OSError, ValueError):
            return value
    return value


def _aware(value: Any) -> Any:
    """Times are UTC where they do not say otherwise."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _to_epoch(value: Any) -> Any:
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


Int = Annotated[int | None, leniently]
Number = Annotated[float | None, leniently]
Text = Annotated[str | None, leniently]
Flag = Annotated[bool | None, leniently]
Day = Annotated[date | None, leniently]
Moment = Annotated[
    datetime | None,
    leniently,
    BeforeValidator(_from_epoch),
    AfterValidator(_aware),
    PlainSerializer(_to_epoch, return_type=Any, when_used="json"),  # as it is written to a platform
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "milliseconds since 1970-01-01, UTC"},
        mode="serialization",
    ),
]


class TolerantModel(BaseModel):
    """Fields in snake case here, in camel case on the wire; both spellings are taken."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        protected_namespaces=(),
        coerce_numbers_to_str=True,
    )

    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def raw(self) -> dict[str, Any]:
        """The object exactly as it came."""
        return self._raw


M = TypeVar("M", bound=TolerantModel)


def decode(kind: type[M], value: Any, error: type[ProtocolError]) -> M:
    """One object of the wire. Raises ``error`` when it is none, or lacks what makes it one."""
    if not isinstance(value, dict):
        raise error(f"a {kind.__name__} must be an object, not {type(value).__name__}")
    try:
        made: M = kind.model_validate(value)
    except ValidationError as invalid:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in invalid.errors(include_input=False))
    else:
        made._raw = value
        return made
    raise error(f"this is no {kind.__name__}: {where}")  # out here, as what pydantic says quotes the values
