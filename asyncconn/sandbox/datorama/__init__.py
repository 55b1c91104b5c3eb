"""The embedded Datorama: workspaces, streams, jobs, reports and queries, under the platform's own limits."""

from asyncconn.sandbox.datorama.jobs import ReportJob, Stat
from asyncconn.sandbox.datorama.live import Live
from asyncconn.sandbox.datorama.platform import ApiCall, Counters, DatoramaSandbox
from asyncconn.sandbox.datorama.world import ERROR_BODIES, World

__all__ = ["ERROR_BODIES", "ApiCall", "Counters", "DatoramaSandbox", "Live", "ReportJob", "Stat", "World"]
