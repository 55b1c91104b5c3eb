"""Work on many things at once, under the cap, with an outcome for each."""

from asyncconn.datorama.bulk.plans import Plan, PlannedCall
from asyncconn.datorama.bulk.progress import BulkProgress
from asyncconn.datorama.bulk.results import BulkResult, Check, Item, Span

__all__ = [
    "BulkProgress",
    "BulkResult",
    "Check",
    "Item",
    "Plan",
    "PlannedCall",
    "Span",
]
