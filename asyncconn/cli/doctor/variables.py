"""What is set, and whether anything reads it. Names only: no value is ever told."""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING

from asyncconn.atoti_limits.settings import AtotiLimitsSettings
from asyncconn.cli.doctor.check import Check, failed
from asyncconn.cli.output import plain
from asyncconn.datorama.settings import DatoramaSettings
from asyncconn.errors import ConfigError
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.settings import HubSettings, variable, variables
from asyncconn.tcup.settings import TcupSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_settings import BaseSettings

__all__ = ["PLATFORMS", "STORE", "names_of", "readable", "settings", "wanted"]

STORE = "ASYNCCONN_REDIS_URL"
PLATFORMS: dict[str, type[BaseSettings]] = {
    "Panoply": PanoplySettings,
    "Datorama": DatoramaSettings,
    "Atoti Limits": AtotiLimitsSettings,
    "TCUP": TcupSettings,
}
_OURS = "ASYNCCONN_"
_OF_SOURCES = "ASYNCCONN_SOURCE_"  # each source names its own, which is not asked here
_ALIKE = 0.9
_VENDORS = "ATOTI_"  # most of these are not ours: one is looked at when it is nearly one of ours


def readable() -> tuple[frozenset[str], Check | None]:
    """The names that are set, and what is wrong with the file of settings."""
    try:
        return frozenset(variables()), None
    except ConfigError as error:
        return frozenset(), failed("settings", error)


def names_of(kind: type[BaseSettings]) -> frozenset[str]:
    """The variables that a platform's settings are read from."""
    prefix = kind.model_config.get("env_prefix", "")
    return frozenset(
        field.validation_alias if isinstance(field.validation_alias, str) else f"{prefix}{name}".upper()
        for name, field in kind.model_fields.items()
    )


def settings(names: frozenset[str]) -> Iterator[Check]:
    """What is set and read, and what is set in vain."""
    exact = {f"{_OURS}{field.name}".upper() for field in fields(HubSettings)} | {STORE}
    others = frozenset[str]().union(*map(names_of, PLATFORMS.values()))
    read = sorted(name for name in names if name in exact or name.upper() in others)
    yield Check("settings", "ok", ", ".join(map(plain, read)) or "none: all as by default")
    for name in sorted(names.difference(read)):
        if (meant := _meant(name, sorted(exact | others))) is not None:
            yield Check(f"setting {plain(name)}", "warn", "nothing reads it", meant)


def _meant(name: str, known: list[str]) -> str | None:
    """What to do about a name that nothing reads; None where it is no affair of ours."""
    upper = name.upper()
    if upper in known:
        return f"{upper} is read in capitals only"
    near = get_close_matches(upper, known, n=1, cutoff=_ALIKE)
    if near and upper.startswith((_OURS, _VENDORS)):
        return f"is {near[0]} meant?"
    if upper.startswith(_OURS) and not upper.startswith(_OF_SOURCES):
        return "remove it: there is no such setting"
    return None


def wanted(names: frozenset[str]) -> dict[str, str]:
    """Libraries of extras that the settings ask for, and the setting that does."""
    asking = (
        (STORE, None, "redis"),
        ("ASYNCCONN_PANOPLY_SENDER", "sqs", "aiobotocore"),
        ("ASYNCCONN_TCUP_AUTH_MODE", "jwt", "pyjwt"),
        ("ASYNCCONN_TCUP_MQTT_HOST", None, "paho-mqtt"),
    )
    return {library: name for name, value, library in asking if name in names and value in (None, variable(name))}
