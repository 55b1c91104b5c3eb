"""The part of a cube that a limit is for: ``Desk=Desk1|Book=A|Book=B``.

Contract: limits section 11.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from asyncconn.errors import ConfigError

__all__ = ["ALL_MEMBER", "ANY", "Among", "Equals", "Key", "Part", "Raw", "Scope", "parse_scope"]

#: The total over all members of a level.
ALL_MEMBER = "AllMember"
#: Every member of a level by itself, without the total.
ANY = "*"

_LIST = re.compile(r"([^=]*?)(=|<>)\s*\[([^\[\]]*)\]\s*")
_FOREIGN = re.compile(r"[\[\]<>!~]")  # operators and lists: they mean something that is not written down here


@dataclass(frozen=True, slots=True)
class Key:
    """A level, with its hierarchy and dimension where the name alone is not enough.

    >>> str(Key("Book", "Books", "Booking"))
    'Book@Books@Booking'
    """

    level: str
    hierarchy: str | None = None
    dimension: str | None = None

    def __str__(self) -> str:
        return "@".join(name for name in (self.level, self.hierarchy, self.dimension) if name is not None)


@dataclass(frozen=True, slots=True)
class Equals:
    """One member of a level, or :data:`ALL_MEMBER`, or :data:`ANY`."""

    key: Key
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Among:
    """One of these members; with ``negated`` none of them."""

    key: Key
    members: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.key} {'<>' if self.negated else '='} [ {' + '.join(self.members)} ]"


@dataclass(frozen=True, slots=True)
class Raw:
    """A part in a notation that is not documented, as it was found."""

    text: str

    def __str__(self) -> str:
        return self.text


Part = Equals | Among | Raw


@dataclass(frozen=True, slots=True)
class Scope:
    """Parts that all hold; those of one key are alternatives.

    >>> Scope((Equals(Key("Desk"), "Desk1"), Equals(Key("Book"), "*"))).render()
    'Desk=Desk1|Book=*'
    """

    parts: tuple[Part, ...]

    @property
    def understood(self) -> bool:
        """Whether every part is in a documented notation. A part that is not may change what the others mean."""
        return not any(isinstance(part, Raw) for part in self.parts)

    def by_key(self) -> dict[Key, tuple[Equals | Among, ...]]:
        """The alternatives of each key, in the order of the keys; :class:`Raw` parts have none."""
        found: dict[Key, tuple[Equals | Among, ...]] = {}
        for part in self.parts:
            if not isinstance(part, Raw):
                found[part.key] = (*found.get(part.key, ()), part)
        return found

    def render(self) -> str:
        """The notation, which :func:`parse_scope` reads as this scope again.

        Raises ``ConfigError`` for a part that cannot be written in it, such as a member with ``|`` in its name, and
        for no parts.
        """
        if not self.parts:
            raise ConfigError("a scope needs at least one part")
        for part in self.parts:
            if "|" in str(part) or _part(str(part)) != part:
                raise ConfigError(f"{part!r} cannot be written in a scope: there is no escaping in its notation")
        text = "|".join(map(str, self.parts))
        if not text.strip():
            raise ConfigError("a scope cannot be blank")
        return text


def parse_scope(text: str) -> Scope:
    """Read a scope. What is in no documented notation becomes a :class:`Raw` part, and is not guessed at.

        >>> parse_scope("Currency <> [ USD + EUR ]").parts[0].members
        ('USD', 'EUR')

    A path of members, ``Desk=Bonds|FI_HY_LEGACY``, is not documented: its second part is raw. Raises ``ConfigError``
    for a blank text. Contract: limits section 11.6.
    """
    if not text.strip():
        raise ConfigError("a scope cannot be blank")
    return Scope(tuple(_part(piece) for piece in text.split("|")))


def _part(text: str) -> Part:
    listed = _LIST.fullmatch(text)
    if listed is not None:
        key = _key(listed[1])
        members = tuple(member.strip() for member in listed[3].split("+"))
        return Among(key, members, negated=listed[2] == "<>") if key is not None and all(members) else Raw(text)
    name, equals, value = text.partition("=")
    key, value = _key(name), value.strip()
    if not equals or key is None or not value or value.startswith("=") or _FOREIGN.search(value):
        return Raw(text)
    return Equals(key, value)


def _key(text: str) -> Key | None:
    names = [name.strip() for name in text.split("@")]
    return Key(*names) if len(names) <= 3 and all(names) and not _FOREIGN.search(text) else None
