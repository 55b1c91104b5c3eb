"""A text that does not print: credentials travel as this."""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard, cast

__all__ = ["Concealed", "Secret", "is_secret", "secret"]


class Concealed(Protocol):
    """What holds a secret and hands it out on request: ours, or pydantic's ``SecretStr``."""

    def get_secret_value(self) -> str:
        """The secret itself."""
        ...


class Secret:
    """A credential whose ``str`` and ``repr`` are masked.

    >>> key = Secret("s3cret-key")
    >>> key, f"{key}", key.get_secret_value()
    (Secret('***'), '***', 's3cret-key')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The secret itself."""
        return self._value

    def __str__(self) -> str:
        return "***" if self._value else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)


def is_secret(value: Any) -> TypeGuard[str | Concealed]:
    """Whether it can be a credential: a text, or one that is concealed."""
    return isinstance(value, str) or callable(getattr(value, "get_secret_value", None))


def secret(value: str | Concealed) -> Secret:
    """The credential as a type that does not print."""
    if isinstance(value, Secret):
        return value
    reveal = getattr(value, "get_secret_value", None)
    return Secret(reveal() if callable(reveal) else cast("str", value))
