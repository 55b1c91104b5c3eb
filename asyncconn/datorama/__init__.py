"""Datorama: workspaces, data streams, jobs, bulk work under the cap, reports and queries."""

from asyncconn.datorama import errors
from asyncconn.datorama.client import Datorama, DatoramaLimits
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.models import DataStream, Job, JobStatus, Report, ReportJob, Workspace

__all__ = [
    "DataStream",
    "DateRange",
    "Datorama",
    "DatoramaLimits",
    "Job",
    "JobStatus",
    "Report",
    "ReportJob",
    "Workspace",
    "errors",
]
