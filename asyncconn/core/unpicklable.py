"""What belongs to this process and is not copied: it says so, and what to do instead."""

from __future__ import annotations

from typing import ClassVar, NoReturn, SupportsIndex

from asyncconn.errors import NotPicklable

__all__ = ["Unpicklable"]


class Unpicklable:
    """Refuses :mod:`pickle` and :mod:`copy` with ``NotPicklable``: a copy would share sockets, tasks or a credential.

    ``_elsewhere`` says what to hand to another process instead.
    """

    __slots__ = ()

    _elsewhere: ClassVar[str] = "make another one there, with the arguments of this one"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NotPicklable(f"{type(self).__name__} can be neither pickled nor copied: {self._elsewhere}")
