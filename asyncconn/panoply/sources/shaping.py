"""What the platform did to every row of a source, by the keys of ``source``: ids, left out columns, texts of JSON.

Contract: panoply section 6, the keys seen in ``source`` and the vendor's words on them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import Any

from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.panoply.errors import TruncateRefused

__all__ = ["RowShape", "refuse_truncation"]

logger = logging.getLogger("asyncconn.panoply.sources.runner")

_FIELD = re.compile(r"\{([^{}]+)\}")
_OFF = (None, False, 0, "", "0", "false", "no")


def refuse_truncation(source: Mapping[str, Any]) -> None:
    """Raise ``TruncateRefused`` where ``truncateTable`` is on: rows can be sent from here, and none deleted."""
    wanted = source.get("truncateTable")
    if (wanted.strip().lower() if isinstance(wanted, str) else wanted) not in _OFF:
        raise TruncateRefused("truncateTable: the rows that are in the table cannot be deleted from here")


class RowShape:
    """Changes rows as a source's parameters ask for it; :attr:`newest` is the greatest value of its incremental key.

        >>> shape = RowShape({"excludes": ["secret"], "stringFields": ["more"], "inckey": "n"})
        >>> shape.of({"n": 3, "secret": "s", "more": '{"a": 1}'}), shape.newest
        ({'n': 3, 'more': {'a': 1}}, 3)

    ``idpattern`` (``{a}-{b}``) makes each row's ``id``: a hash of the pattern and those fields, in place of an ``id``
    that the row may have. ``excludes`` are columns that are left out, after all else has seen them. ``stringFields``
    are columns whose texts are JSON, and become what they say; a text that is none stays. ``inckey`` is a column.

    Raises ``ConfigError`` for a parameter that cannot work, ``TruncateRefused`` for ``truncateTable``.
    """

    def __init__(self, source: Mapping[str, Any]) -> None:
        refuse_truncation(source)
        self._pattern, self._fields = _pattern(source.get("idpattern"))
        self._excluded = frozenset(_names(source, "excludes"))
        self._parsed = _names(source, "stringFields")
        key = _names(source, "inckey")
        if len(key) > 1:
            raise ConfigError(f"inckey must be the name of one column, not {source['inckey']!r}")
        self.key = key[0].removeprefix("{").removesuffix("}") if key else ""
        self.newest: Any = None
        self._compared = True
        #: Whether rows have to be looked at at all.
        self.idle = not (self._fields or self._excluded or self._parsed or self.key)

    @property
    def incval(self) -> Any:
        """:attr:`newest` as JSON can keep it: a time in ISO form."""
        if isinstance(self.newest, date):
            return self.newest.isoformat()
        return str(self.newest) if isinstance(self.newest, Decimal) else self.newest

    def of(self, row: Mapping[Any, Any], more: Mapping[str, Any] | None = None) -> dict[Any, Any]:
        """The row to be sent; ``more`` has fields that the row itself may lack.

        Raises ``InvalidRecord`` (``path`` is the field) for one without a field of ``idpattern``, or where that is
        neither text, a number, a time nor None.
        """
        if self.key:
            self._note(row.get(self.key))
        made = {name: value for name, value in row.items() if name not in self._excluded}
        for name in self._parsed:
            if isinstance(made.get(name), str):
                made[name] = _read(made[name])
        if self._fields:
            made["id"] = self._id_of(row, more or {})
        return made

    def _id_of(self, row: Mapping[Any, Any], more: Mapping[str, Any]) -> str:
        values = []
        for field in self._fields:
            value = row[field] if field in row else more.get(field, more)
            if value is more or isinstance(value, Mapping | list | tuple | set):
                what = "is not in the row" if value is more else f"is a {type(value).__name__} there"
                raise InvalidRecord(
                    f"the idpattern {self._pattern!r} needs the field {field!r}, which {what}", path=field
                )
            values.append(value.isoformat() if isinstance(value, date) else str(value))
        # The values one by one: filled into the pattern, "1-2" and "3" would be one id with "1" and "2-3".
        return hashlib.sha256(json.dumps([self._pattern, *values]).encode()).hexdigest()[:32]

    def _note(self, value: Any) -> None:
        if isinstance(value, Real) and hasattr(value, "item"):
            value = value.item()  # NumPy's numbers, which the writer takes, too
        if value is None or isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | date):
            return
        if isinstance(value, float | Decimal) and not math.isfinite(value):
            return
        try:
            if self.newest is None or value > self.newest:
                self.newest = value
        except TypeError:
            if self._compared:
                self._compared = False
                kinds = f"{type(self.newest).__name__} and {type(value).__name__}"
                logger.warning("the incremental key %r holds both %s; only the first kind counts", self.key, kinds)


def _pattern(given: Any) -> tuple[str, tuple[str, ...]]:
    if given in (None, ""):
        return "", ()
    if not isinstance(given, str):
        raise ConfigError(f"idpattern must be a text such as '{{a}}-{{b}}', not {given!r}")
    fields = tuple(_FIELD.findall(given))
    if not fields:
        raise ConfigError(f"the idpattern {given!r} names no {{field}}: every row would have the same id")
    if set("{}") & set(_FIELD.sub("", given)):
        raise ConfigError(f"the idpattern {given!r} has a brace without its other half, or an empty pair")
    return given, fields


def _names(source: Mapping[str, Any], key: str) -> list[str]:
    """Columns: a list of names or of choices with a ``value``; or a text, with commas between them."""
    given = source.get(key)
    if given in (None, "", False):
        return []
    several = given.split(",") if isinstance(given, str) else [given] if isinstance(given, Mapping) else given
    if not isinstance(several, list | tuple | set | frozenset):
        raise ConfigError(f"{key} must be a list of names of columns, not {given!r}")
    names = [one.get("value") if isinstance(one, Mapping) else one for one in several]
    texts = [name.strip() for name in names if isinstance(name, str)]
    if len(texts) != len(names):
        raise ConfigError(f"{key} must be a list of names of columns, not {given!r}")
    return [name for name in texts if name]


def _read(text: str) -> Any:
    """What a text of JSON says, digit by digit; the text itself if it is none."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
