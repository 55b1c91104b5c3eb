"""Records as JSON, one ASCII document each, with their table in them.

orjson does the work. What it refuses and the original accepted (integers beyond 64 bits, lone surrogates, keys that are
not text) goes through an encoder in Python, which also finds the name of the place when a value cannot be sent at all.
Contract: panoply section 3.
"""

from __future__ import annotations

import base64
import codecs
import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import repeat
from operator import contains
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from asyncconn.core.digits import exact_float, exact_int
from asyncconn.errors import InvalidRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["TABLE", "decode_record", "dump_record", "encode_record", "encode_records", "record_encoder"]

TABLE = "__table"

# orjson itself leaves out a dataclass's fields that begin with an underscore, takes NaT in an array for a date, and
# cuts the seconds off an offset (+00:53:28, as cities had before time zones).
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_COARSE = ("[Y]", "[M]", "[W]", "[D]", "[h]", "[m]")  # units of numpy's dates that say no second
_dumps = orjson.dumps
_quoted = json.encoder.encode_basestring_ascii


def encode_record(table: str, record: Mapping[Any, Any]) -> bytes:
    """``record`` as one ASCII JSON document that names its ``table``.

    Sent beyond what JSON knows: datetime, date and time (ISO 8601), Decimal (an exact number), UUID, Enum (its value),
    dataclass, numpy scalars and arrays, set and tuple (a list), bytes (Base64); NaN, infinities, NaT and NA as null.
    The caller's mapping is not changed; its own ``__table`` is overridden.

    Raises ``InvalidRecord`` with the path of the value that cannot be sent, or of two keys that would be the same text.
    """
    return record_encoder(table)(record)


def encode_records(table: str, records: Sequence[Mapping[Any, Any]]) -> tuple[list[bytes], InvalidRecord | None]:
    """:func:`encode_record` for several, at less cost for each: those before the first that fails, and its error."""
    encode = record_encoder(table)
    if (plain := _encoded_plainly(table, records)) is not None:
        return plain, None
    items: list[bytes] = []
    try:
        items.extend(map(encode, records))
    except InvalidRecord as error:
        return items, error
    return items, None


def record_encoder(table: str) -> Callable[[Mapping[Any, Any]], bytes]:
    """:func:`encode_record` for one table. Raises ``InvalidRecord`` when ``table`` is not a name."""
    try:
        return _encoder(table)
    except TypeError:  # not hashable, so not a text either
        raise _not_a_name(table) from None


def _not_a_name(table: Any) -> InvalidRecord:
    return InvalidRecord(f"the table name must be text, not {type(table).__name__}", path="table")


def decode_record(item: bytes) -> Any:
    """An encoded record as the consumer will see it, with its ``__table``: writing it again sends the same.

    Numbers are int and float where these hold them exactly, else Decimal.
    """
    return json.loads(item, parse_int=exact_int, parse_float=exact_float)


def dump_record(record: Mapping[Any, Any]) -> str:
    """A record as one line of JSON, its values as :func:`encode_record` sends them, without a table.

    Raises ``InvalidRecord``.
    """
    return _slowly(dict(record)).decode("ascii")


@lru_cache(maxsize=1024)
def _encoder(table: Any) -> Callable[[Mapping[Any, Any]], bytes]:
    if not isinstance(table, str):
        raise _not_a_name(table)
    if not table.strip():
        raise InvalidRecord("the table name is empty", path="table")
    comma_member = _last_member(table)
    alone = b"{" + comma_member[1:]

    def encode(record: Mapping[Any, Any]) -> bytes:
        # The member is appended to the encoded text: cheaper than a copy of the record with one key more.
        if type(record) is not dict or TABLE in record:
            return _with_table(record, table)
        try:
            encoded = _dumps(record, _default, _OPTIONS)
        except TypeError:
            return _slowly({**record, TABLE: table})
        if not encoded.isascii():
            encoded = _escaped(encoded)
        return encoded[:-1] + comma_member if record else alone

    return encode


def _last_member(table: str) -> bytes:
    return f",{_quoted(TABLE)}:{_quoted(table)}}}".encode("ascii")


def _encoded_plainly(table: str, records: Sequence[Mapping[Any, Any]]) -> list[bytes] | None:
    """What the encoder makes of ``records``, where orjson does all of it; else None. Saves a call for each."""
    if set(map(type, records)) != {dict} or not all(records) or any(map(contains, records, repeat(TABLE))):
        return None
    member, dumps, default, options = _last_member(table), _dumps, _default, _OPTIONS
    try:
        items = [dumps(record, default, options)[:-1] + member for record in records]
    except TypeError:
        return None
    return items if all(map(bytes.isascii, items)) else [*map(_escaped, items)]


def _with_table(record: Any, table: str) -> bytes:
    if not isinstance(record, Mapping):
        raise InvalidRecord(f"a record must be a mapping, not {type(record).__name__}")
    try:
        whole = {**_dict_of(record), TABLE: table}
    except TypeError as error:
        raise InvalidRecord(f"a record cannot be a {error}") from None
    try:
        encoded = _dumps(whole, _default, _OPTIONS)
    except TypeError:
        return _slowly(whole)
    return encoded if encoded.isascii() else _escaped(encoded)


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)), error.end


codecs.register_error("asyncconn.json", _json_escapes)


def _escaped(encoded: bytes) -> bytes:
    """JSON in UTF-8 as JSON in ASCII: the original's, and free of characters that SQS refuses."""
    return encoded.decode("utf-8").encode("ascii", "asyncconn.json")


# -- values that JSON does not know ----------------------------------------------------------------------------------


def _default(value: Any) -> Any:
    """For orjson: what to encode instead. ``TypeError`` leads to the slow encoder, which names the place."""
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value)) if value.is_finite() else None
    if _module(value) == "numpy" and value.dtype.kind in "biuf":
        try:
            return orjson.Fragment(_dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
        except TypeError:  # a byte order, layout or width that it does not take
            return _from_numpy(value)
    return _plain(value)


def _module(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return None if value != value else value.isoformat()  # NaT is a datetime unequal to itself
    if isinstance(value, set | frozenset):
        return _members(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")  # bytes: a memoryview may have gaps
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return _dict_of(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    module = _module(value)
    if module == "numpy" and hasattr(value, "tolist"):
        return _from_numpy(value)
    if module == "pandas" and type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise TypeError(type(value).__name__)


def _dict_of(value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Raises ``TypeError`` for a mapping that has a key twice, as headers and forms do."""
    plain = dict(value)
    if len(plain) != len(value):
        raise TypeError(f"{type(value).__name__} with a key that stands twice")
    return plain


def _members(values: set[Any] | frozenset[Any]) -> list[Any]:
    try:
        return sorted(values)
    except (TypeError, ArithmeticError):  # a Decimal NaN has no place in any order
        return list(values)


def _from_numpy(value: Any) -> Any:
    """A numpy scalar or array as plain values; dates as ISO 8601 in their own precision, NaT as null."""
    dtype = value.dtype
    if dtype.kind == "m":  # as a number it would have lost its unit
        raise TypeError(type(value).__name__)
    if dtype.kind == "M":
        whole = value.astype("datetime64[s]") if dtype.str.endswith(_COARSE) else value
        return _dates(whole.astype(str).tolist())
    return (value.astype(float) if dtype.char == "g" else value).tolist()


def _dates(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_dates(text) for text in texts]
    return None if texts == "NaT" else texts


# -- the slow way ----------------------------------------------------------------------------------------------------


def _slowly(record: dict[Any, Any]) -> bytes:
    try:
        return _written(record, "$", set()).encode("ascii")
    except RecursionError:
        raise InvalidRecord("it is nested too deeply to be sent") from None


def _written(value: Any, path: str, above: set[int]) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and not isinstance(value, Enum):
        return _quoted(value)
    if isinstance(value, int) and not isinstance(value, Enum):
        try:
            return int.__repr__(value)
        except ValueError:  # Python writes no more than 4,300 digits
            raise InvalidRecord(f"{path}: an integer with too many digits cannot be sent", path=path) from None
    if isinstance(value, float) and not isinstance(value, Enum):
        return float.__repr__(value) if math.isfinite(value) else "null"
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else "null"
    if id(value) in above:
        raise InvalidRecord(f"{path} contains itself", path=path)
    above.add(id(value))
    try:
        if isinstance(value, dict):
            members = {_key(k, path): _written(v, _inside(path, k), above) for k, v in value.items()}
            if len(members) < len(value):
                raise _same_text(value, path)
            return "{" + ",".join([f"{key}:{member}" for key, member in members.items()]) + "}"
        if isinstance(value, list | tuple):
            return "[" + ",".join([_written(v, f"{path}[{i}]", above) for i, v in enumerate(value)]) + "]"
        try:
            plain = _plain(value)
        except TypeError:
            raise InvalidRecord(f"{path}: a value of type {type(value).__name__} cannot be sent", path=path) from None
        return _written(plain, path, above)
    finally:
        above.discard(id(value))


def _same_text(value: dict[Any, Any], path: str) -> InvalidRecord:
    seen: dict[str, Any] = {}
    for key in value:
        if (other := seen.setdefault(_key(key, path), key)) is not key:
            message = f"{path}: the keys {other!r} and {key!r} are the same text once written"
            return InvalidRecord(message, path=path)
    return InvalidRecord(f"{path}: two keys are the same text once written", path=path)


def _key(key: Any, path: str) -> str:
    if isinstance(key, str):
        return _quoted(key)
    if key is None or isinstance(key, bool | int | float):
        if isinstance(key, float) and not math.isfinite(key):
            raise InvalidRecord(f"{path}: the key {key!r} is not a finite number", path=path)
        return _quoted(_written(key, path, set()))
    raise InvalidRecord(f"{path}: a key of type {type(key).__name__} cannot be sent", path=path)


def _inside(path: str, key: Any) -> str:
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"
