"""Datorama: workspaces, data streams, jobs, bulk work under the cap, reports and queries."""

from asyncconn.core.progress import Progress
from asyncconn.datorama import errors
from asyncconn.datorama.bulk import BulkProgress, BulkResult, Check, Item, JobStates, Span
from asyncconn.datorama.client import Datorama, DatoramaLimits
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.models import DataStream, Job, JobStatus, Report, ReportJob, Workspace

__all__ = [
    "BulkProgress",
    "BulkResult",
    "Check",
    "DataStream",
    "DateRange",
    "Datorama",
    "DatoramaLimits",
    "Item",
    "Job",
    "JobStates",
    "JobStatus",
    "Progress",
    "Report",
    "ReportJob",
    "Span",
    "Workspace",
    "errors",
]
