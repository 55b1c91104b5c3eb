"""Which table a row goes to. Contract: panoply section 6, ``destination``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError, InvalidRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Destination"]

_FIELD = re.compile(r"\{([^{}]+)\}")


class Destination:
    """A table name, or a pattern whose ``{field}`` parts are filled from each row.

        >>> Destination("typeform_{__table}").table_of({"__table": "answers", "id": 1})
        'typeform_answers'

    Raises ``ConfigError`` when ``pattern`` is no name: empty, not text, or with a brace left open.
    """

    def __init__(self, pattern: Any) -> None:
        if not isinstance(pattern, str) or not pattern.strip():
            raise ConfigError(f"the destination must be the name of a table, not {pattern!r}")
        self.pattern: str = pattern
        #: What the pattern asks of a row.
        self.fields = tuple(_FIELD.findall(pattern))
        if set("{}") & set(_FIELD.sub("", pattern)):
            raise ConfigError(f"the destination {pattern!r} has a brace without its other half, or an empty pair")

    def __repr__(self) -> str:
        return f"<Destination {self.pattern}>"

    def table_of(self, row: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> str:
        """The table of ``row``; ``more`` has fields that the row itself may lack.

        Raises ``InvalidRecord`` (``path`` is the field) when one is missing, empty, or neither text nor a number.
        """
        if not self.fields:
            return self.pattern

        def value_of(match: re.Match[str]) -> str:
            field = match[1]
            value = row.get(field) if field in row or more is None else more.get(field)
            if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
                what = "is not in the row" if value is None else f"is {value!r} there: neither text nor a number"
                raise InvalidRecord(
                    f"the destination {self.pattern!r} needs the field {field!r}, which {what}", path=field
                )
            return str(value)

        return _FIELD.sub(value_of, self.pattern)
