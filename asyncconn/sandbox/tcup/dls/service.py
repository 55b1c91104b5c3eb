"""The data lake service.

Contract: tcup sections 6, 1.6 and 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.sandbox.tcup.contents import Content, Generated
from asyncconn.sandbox.tcup.dls.directories import Directories
from asyncconn.sandbox.tcup.dls.fields import Invalid, checked_filename, checked_savepoint
from asyncconn.sandbox.tcup.dls.files import Files
from asyncconn.sandbox.tcup.dls.lake import File, Lake
from asyncconn.sandbox.tcup.dls.people import People
from asyncconn.sandbox.tcup.dls.transfers import Limits, Transfers
from asyncconn.sandbox.tcup.service import Service
from asyncconn.sandbox.tcup.voice import Refused, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncconn.sandbox.clock import MovableClock
    from asyncconn.sandbox.exchange import Answer
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.tenants import Tenant

__all__ = ["Dls"]

_STREAMED = frozenset({("POST", "/file"), ("POST", "/file/resumable")})


class Dls(Service):
    """A tenant's data lake.

    ``limits`` may be changed: ``keep_bytes`` (64 MiB), above which only length and SHA-256 of a file are kept, so that
    it cannot be downloaded, and ``quota_bytes``, what all files may have together, None for no quota.
    """

    def __init__(self, tenant: Tenant, clock: MovableClock) -> None:
        self.limits = Limits()
        self._lake = Lake(tenant, clock)
        self._parts = (
            Transfers(self._lake, self.limits),
            Files(self._lake),
            People(self._lake),
            Directories(self._lake),
        )

    # -- for the user --------------------------------------------------------------------------------------------------

    def generate(self, filename: str, size_bytes: int, *, savepoint: str | None = None, seed: int | str = 0) -> str:
        """A file of the admin whose bytes are made while they are sent; its URI. It replaces one of the same name."""
        owner = next(user.name for user in self._lake.tenant.dls_users.values() if user.admin)
        savepoint = checked_savepoint(savepoint)
        uri = self._lake.uri(owner, None, savepoint, checked_filename(filename))
        content = Generated(size_bytes, seed)
        self._lake.files[uri] = File(uri, filename, owner, self._lake.clock.utcnow(), content, savepoint=savepoint)
        return uri

    def stored(self, uri: str) -> Content:
        """What a file holds. ``KeyError`` for one that is not there."""
        return self._lake.files[uri].content

    def files(self, *, hidden: bool = False) -> list[str]:
        """The URIs of all files, ``hidden`` with former versions."""
        return [uri for uri, file in self._lake.files.items() if hidden or not file.hidden]

    def stored_bytes(self) -> int:
        """What counts against the quota."""
        return self._lake.stored_bytes()

    def set_schema(self, kinds: Mapping[str, str] | None) -> None:
        """The only metadata keys that are taken, with ``TEXT`` or ``NUMERIC``; None for any."""
        self._lake.schema = None if kinds is None else {key.lower(): kind for key, kind in kinds.items()}

    # -- for the gateway -----------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route]:
        """All calls."""
        yield "GET", "/admin/storage/type", self._storage
        for part in self._parts:
            yield from part.routes()

    @classmethod
    def takes_pieces(cls, method: str, below: str) -> bool:
        """Files are not held while they arrive."""
        return (method, below.partition("?")[0]) in _STREAMED

    @classmethod
    def worded(cls, refused: Refused) -> Answer:
        """A line of text, or a list of what is wrong."""
        if isinstance(refused, Invalid):
            return json_answer(refused.items, refused.status)
        status = 400 if refused.status == 413 else refused.status  # its word for what is too large, too
        return text_answer(refused.message, status, refused.headers)

    @classmethod
    def stranger(cls) -> Refused:
        """What one hears whose API key is not known."""
        return Refused(401, "API key is not known")

    def _storage(self, ask: Ask) -> Answer:
        self._lake.caller(ask, admin=True)
        return json_answer({"type": "NFS", "value": "/data/dls"})
