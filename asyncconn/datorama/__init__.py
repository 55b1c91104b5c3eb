"""Datorama: workspaces, data streams, jobs, bulk work under the cap, reports and queries."""

from asyncconn.core.progress import Progress
from asyncconn.datorama import errors
from asyncconn.datorama.allowance import Allowance
from asyncconn.datorama.bulk import BulkProgress, BulkResult, Check, Item, Plan, PlannedCall, Span
from asyncconn.datorama.client import Datorama, DatoramaLimits
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.errors import BulkFailed, DatoramaQueryError
from asyncconn.datorama.models import DataStream, Job, JobStatus, Report, ReportJob, Workspace
from asyncconn.datorama.paths import Paths
from asyncconn.datorama.resources.queries import QueryResult, query_body
from asyncconn.datorama.waiting import JobStates

__all__ = [
    "Allowance",
    "BulkFailed",
    "BulkProgress",
    "BulkResult",
    "Check",
    "DataStream",
    "DateRange",
    "Datorama",
    "DatoramaLimits",
    "DatoramaQueryError",
    "Item",
    "Job",
    "JobStates",
    "JobStatus",
    "Paths",
    "Plan",
    "PlannedCall",
    "Progress",
    "QueryResult",
    "Report",
    "ReportJob",
    "Span",
    "Workspace",
    "errors",
    "query_body",
]
