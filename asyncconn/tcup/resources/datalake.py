"""The data lake: files with metadata, and who may have them. Contract: tcup section 6."""

from __future__ import annotations

from asyncconn.tcup.resources.datalake_people import People
from asyncconn.tcup.resources.datalake_transfers import Transfers

__all__ = ["Datalake"]


class Datalake(Transfers, People):
    """Files by their URI: sent, fetched, found, described, linked, shared.

    >>> uri = await tcup.datalake.upload("flights.csv", metadata={"colour": "blue"})
    >>> async for file in tcup.datalake.search(metadata={"colour": "blue"}): ...
    >>> frame = await tcup.datalake.frame(uri)

    A URI is what the platform gave; nothing is to be read out of it. What cannot be a name, a savepoint, a directory or
    metadata is refused before anything is sent: ``ConfigError`` with the field. Contract: tcup section 6.
    """
