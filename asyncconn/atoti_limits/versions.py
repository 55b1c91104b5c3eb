"""Version numbers as the platform writes them: ``4.2.1``, ``3.2.0-beta``, ``6.1.x``, ``6.0.x-sb3``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["LATEST", "Version", "warning_threshold_is_distance"]

#: What is assumed of a Limits server whose version nobody says.
LATEST = "6.2"

_FORM = re.compile(r"v?(\d+(?:\.\d+)*)(\.x)?(?:[-._+]?([a-z][a-z0-9.-]*|[-+].*|_\d+.*))?", re.IGNORECASE | re.ASCII)
_PRE = re.compile(r"(alpha|beta|rc|a|b|m|dev|snapshot)[-.]?(\d*)", re.IGNORECASE)
_RANK = {"dev": 0, "snapshot": 0, "m": 1, "a": 1, "alpha": 1, "b": 2, "beta": 2, "rc": 3}
_FINAL = (4, 0)
_DISTANCES = ("4.0.1", "4.0.2", "4.0.3", "4.1.0")


@dataclass(frozen=True, slots=True)
class Version:
    """A version or, with ``x`` in the last place, a line of them.

    ``suffix`` is what follows the numbers: the name of a pre-release, which comes before the release itself, or of a
    variant (``sb3``), which does not count when versions are compared.

    >>> Version.parse("3.2.0-beta") < Version.parse("3.2")
    True
    >>> Version.parse("6.1.16").within("6.1.x")
    True
    """

    text: str
    release: tuple[int, ...]
    wildcard: bool = False
    suffix: str = ""

    @classmethod
    def parse(cls, text: str | Self, what: str = "version") -> Self:
        """Read one. Raises ``ConfigError`` that names ``what`` the text was given as."""
        if isinstance(text, cls):
            return text
        match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ConfigError(f"{what}: {text!r} is not a version such as 4.2.1, 3.2.0-beta or 6.1.x")
        numbers, wildcard, suffix = match.groups()
        release = tuple(map(int, numbers.split(".")))
        return cls(match.string, release, wildcard is not None, (suffix or "").lower())

    @property
    def minor(self) -> str:
        """The first two numbers: ``"4.2"`` of 4.2.1."""
        return ".".join(map(str, (*self.release, 0)[:2]))

    def within(self, pattern: str | Version) -> bool:
        """Whether it is the version that ``pattern`` says, or of its line. Variants are not the same line.

        A line, or a version with fewer numbers (``6.2``), is within a line only.
        """
        other = Version.parse(pattern)
        if not other.wildcard:
            return not self.wildcard and self._order() == other._order() and self._variant() == other._variant()
        return self.release[: len(other.release)] == other.release and self._variant() == other._variant()

    def __lt__(self, other: Version) -> bool:
        return self._order() < other._order()

    def __ge__(self, other: Version) -> bool:
        return not self < other

    def same(self, other: Version) -> bool:
        """Whether both mean the same version: ``0.7`` and ``0.7.0`` do."""
        return (self._order(), self.wildcard, self._variant()) == (other._order(), other.wildcard, other._variant())

    def __str__(self) -> str:
        return self.text

    def _variant(self) -> str:
        return "" if _PRE.fullmatch(self.suffix) else self.suffix

    def _order(self) -> tuple[tuple[int, ...], tuple[int, int]]:
        release = self.release
        while release and release[-1] == 0:
            release = release[:-1]
        pre = _PRE.fullmatch(self.suffix)
        return release, _FINAL if pre is None else (_RANK[pre[1].lower()], int(pre[2] or 0))


def warning_threshold_is_distance(version: str | Version) -> bool:
    """Whether a structure's ``warning_threshold`` is a distance from the limit in percent, on a server of ``version``.

    It is so in 4.0.1 to 4.0.3 and in 4.1.0; in all others, earlier ones too, it is the least utilisation in percent
    that is a warning. Where 90 was meant, those few need 10. Contract: limits section 10.5.

        >>> warning_threshold_is_distance("4.1.0"), warning_threshold_is_distance("4.1.1")
        (True, False)
    """
    asked = Version.parse(version, "version")
    return any(asked.same(Version.parse(one)) for one in _DISTANCES)
