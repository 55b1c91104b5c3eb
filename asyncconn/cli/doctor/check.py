"""One finding, and how an error becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asyncconn.cli.output import plain, unset
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.errors import AsyncConnError

__all__ = ["Check", "State", "failed", "off"]

State = Literal["ok", "warn", "fail", "off"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``advice`` says what to do where it is a warning or a failure. ``off``: not there, and not asked."""

    name: str
    state: State
    found: str
    advice: str = ""


def failed(name: str, error: AsyncConnError, advice: str = "", *, state: State = "fail") -> Check:
    """What an error says of it; ``advice`` where that knows more than the error's own."""
    if isinstance(error, ConfigError) and error.missing:
        return Check(name, state, "not whole", unset(error.missing))
    otherwise = "correct the setting" if isinstance(error, ConfigError) else error.advice
    return Check(name, state, plain(error.message), plain(advice or otherwise))


def off(name: str, why: str = "not asked") -> Check:
    """What there was nothing to look at for."""
    return Check(name, "off", why)
