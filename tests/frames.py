"""What a traceback with locals shows: pytest's, rich's, an error tracker's."""

from __future__ import annotations

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
