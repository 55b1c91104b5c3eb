"""Work on many things at once, under the cap, with an outcome for each."""

from asyncconn.datorama.bulk.log import LogRow, read_log
from asyncconn.datorama.bulk.progress import BulkProgress
from asyncconn.datorama.bulk.results import BulkResult, Check, Item, Span
from asyncconn.datorama.bulk.waiting import JOB_POLLING, JobStates

__all__ = [
    "JOB_POLLING",
    "BulkProgress",
    "BulkResult",
    "Check",
    "Item",
    "JobStates",
    "LogRow",
    "Span",
    "read_log",
]
