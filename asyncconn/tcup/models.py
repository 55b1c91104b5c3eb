"""What TCUP's services know, as pydantic models that take what comes: unknown members are kept as they are.

Contract: tcup sections 2.2, 2.5, 13.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from asyncconn.errors import ConfigError
from asyncconn.http.models import Text, TolerantModel, leniently
from asyncconn.tcup.times import DLS, SOS, TASK, TimeFormat

__all__ = ["Capabilities", "Feature", "Model", "Moment", "ObservedProperty", "Output", "Sensor"]


def _read(value: Any) -> Any:
    """A time in one of TCUP's forms; what is none stays what it is."""
    if not isinstance(value, str):
        return value
    forms: tuple[TimeFormat, ...] = (SOS, DLS, TASK)
    for form in forms:
        try:
            return form.read(value)
        except ValueError:
            continue
    return value


#: A time as TCUP writes it, as aware UTC; what cannot be read is kept as it came.
Moment = Annotated[datetime | None, leniently, BeforeValidator(_read)]


class Model(TolerantModel):
    """An object of one of TCUP's services."""

    def wire(self) -> dict[str, Any]:
        """As it is to be written: what was set, by the platform's names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)


class Output(Model):
    """What a sensor puts out: its ``name``, its ``type`` (text, count, quantity, boolean, time) and its ``unit``."""

    name: str
    type: Text = None
    unit: Text = None


def _outputs(given: Any) -> Any:
    """``{"t": "quantity", "p": ("quantity", "Pa")}`` as a list of outputs."""
    if not isinstance(given, Mapping):
        return given
    pairs = {name: (said,) if isinstance(said, str) else tuple(said) for name, said in given.items()}
    return [{"name": name, **dict(zip(("type", "unit"), said, strict=False))} for name, said in pairs.items()]


Outputs = Annotated[list[Output], BeforeValidator(_outputs)]
Position = Annotated[dict[str, Any] | None, leniently]
Words = Annotated[dict[str, Any] | None, leniently]


class Feature(Model):
    """A real thing that is observed: a room, an engine. ``position`` is ``{"x": .., "y": .., "z": ..}``.

    >>> Feature(name="tf1", description="boiler room", metadata={"floor": "2"}).wire()
    {'name': 'tf1', 'description': 'boiler room', 'metadata': {'floor': '2'}}
    """

    name: str
    description: Text = None
    parent: Text = None
    position: Position = None
    metadata: Words = None


class Sensor(Model):
    """What observes. An ``atomic`` one has outputs, a ``composite`` one is made of other sensors, its ``components``.

    >>> Sensor.atomic("ts1", {"obs1": "text", "obs2": ("quantity", "Cel")}, feature="tf1").output[1].unit
    'Cel'
    """

    name: str
    description: Text = None
    type: Text = None
    feature: Text = None
    components: list[str] = Field(default_factory=list)
    output: Outputs = Field(default_factory=list)
    metadata: Words = None

    @classmethod
    def atomic(cls, name: str, output: Any, **fields: Any) -> Self:
        """A sensor of one purpose. ``output`` is a mapping from name to type, or to (type, unit); or a list."""
        return cls._kind("atomic", name=name, output=output, components=[], **fields)

    @classmethod
    def composite(cls, name: str, components: list[str], output: Any = (), **fields: Any) -> Self:
        """A sensor made of others, which exist already. Raises ``ConfigError`` without components."""
        if not components:
            raise ConfigError(f"the composite sensor {name!r} is made of at least one other")
        return cls._kind("composite", name=name, output=output or [], components=list(components), **fields)

    @classmethod
    def _kind(cls, kind: Literal["atomic", "composite"], **fields: Any) -> Self:
        return cls(type=kind, **fields)


class ObservedProperty(Model):
    """A named output, and the sensors that have it."""

    name: str
    type: Text = None
    unit: Text = None
    sensors: Annotated[list[str] | None, leniently] = None


class Capabilities(Model):
    """How many ``sensors`` and ``features`` there are, their names, and the outputs of each sensor."""

    count: Words = None
    sensor_output: Annotated[dict[str, list[str]] | None, leniently] = None
    features: Annotated[list[str] | None, leniently] = None
