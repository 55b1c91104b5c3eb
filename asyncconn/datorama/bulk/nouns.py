"""What bulk work is made of: the verbs that each noun has for one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncconn.datorama.calling import Calling
    from asyncconn.datorama.resources.jobs import Jobs
    from asyncconn.datorama.resources.reports import Reports
    from asyncconn.datorama.resources.streams import Streams
    from asyncconn.datorama.resources.workspaces import Workspaces

__all__ = ["Nouns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nouns:
    """The nouns of one client that bulk work uses, and what they call with."""

    calling: Calling
    workspaces: Workspaces
    streams: Streams
    jobs: Jobs
    reports: Reports
