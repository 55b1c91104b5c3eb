"""The embedded Datorama: workspaces, streams, jobs, reports and queries, under the platform's own limits."""

from asyncconn.sandbox.datorama.jobs import ReportJob, Stat
from asyncconn.sandbox.datorama.live import Live
from asyncconn.sandbox.datorama.options import ERROR_BODIES
from asyncconn.sandbox.datorama.world import ApiCall, Counters, DatoramaWorld

__all__ = ["ERROR_BODIES", "ApiCall", "Counters", "DatoramaWorld", "Live", "ReportJob", "Stat"]
