"""Made-up credentials: right in shape, valid nowhere, the same again for the same seed."""

from __future__ import annotations

import random
import string
import uuid

__all__ = ["Inventor"]

_BASE36 = string.digits + string.ascii_lowercase


class Inventor:
    """Invents the parts that credentials are made of.

    ``seed`` None gives other ones each time.

        >>> Inventor(seed=1).digits(12) == Inventor(seed=1).digits(12)
        True
    """

    def __init__(self, seed: int | str | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - protects nothing, and must be repeatable

    def base36(self, length: int) -> str:
        """Lower-case letters and digits."""
        return "".join(self._random.choices(_BASE36, k=length))

    def digits(self, length: int) -> str:
        """Decimal digits, the first one not 0."""
        first = self._random.choice(string.digits[1:])
        return first + "".join(self._random.choices(string.digits, k=length - 1))

    def uuid(self) -> str:
        """A version 4 UUID as text."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
