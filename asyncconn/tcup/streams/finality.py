"""Which error is the end of a stream that reconnects."""

from __future__ import annotations

from asyncconn.core.supervise import cannot_get_better
from asyncconn.errors import NotSent, ProtocolError, SubscriptionRefused

__all__ = ["Finality"]


class Finality:
    """Tells whether no further attempt helps.

    An address that was right once is right: its name may be unknown for a while, a proxy may answer in its place, or a
    server may close that is about to end. Before that, each is the end.

    >>> final = Finality()
    >>> page = ProtocolError("a page in HTML")
    >>> before = final(page)
    >>> final.was_live = True
    >>> before, final(page)
    (True, False)
    """

    def __init__(self) -> None:
        self.was_live = False

    def __call__(self, error: Exception) -> bool:
        """Whether it is the end."""
        if isinstance(error, NotSent):
            return error.permanent and not self.was_live
        if isinstance(error, ProtocolError | SubscriptionRefused):
            return error.permanent or not self.was_live
        return cannot_get_better(error)
