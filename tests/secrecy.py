"""Where a secret may show: in logs, in objects that are reached, in a traceback with locals (pytest's, rich's)."""

from __future__ import annotations

import gc
import io
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its causes and its contexts, also those that are not printed."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - of an object that is half made, as those who print locals do
        return f"<{error!r} in its repr>"


def locals_of_ours(error: BaseException, *others: str) -> list[str]:
    """The names of all frames of this package (and of ``others``) that the error went through, and their values."""
    shown = []
    for one in chain(error):
        traceback = one.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            if frame.f_globals.get("__name__", "").startswith(("asyncconn.", *others)):
                shown += [
                    f"{frame.f_code.co_qualname}: {name} = {_shown(value)}" for name, value in frame.f_locals.items()
                ]
            traceback = traceback.tb_next
    return shown


def assert_silent(text: str, forms: set[str], where: str) -> None:
    assert text, f"{where}: nothing was looked at"
    for line in text.splitlines():
        for form in forms:
            assert form not in line, f"{where}: {line[:300]}"


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """What all loggers of the process say, down to the lowest level."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        yield written
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def ours(*roots: object) -> list[object]:
    """The objects of our own classes that can be reached through what these hold."""
    found: list[object] = []
    seen: set[int] = set()
    waiting = list(roots)
    while waiting and len(seen) < 20_000:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, type):
            continue
        seen.add(id(value))
        is_ours = type(value).__module__.startswith("asyncconn.") and "sandbox" not in type(value).__module__
        if is_ours and not isinstance(value, str | bytes):  # masked, but what they are: on their way to the wire
            found.append(value)
        if is_ours or isinstance(value, dict | list | tuple | set):
            waiting.extend(gc.get_referents(value))
    return found
