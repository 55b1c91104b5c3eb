"""The embedded TCUP: observations, messages by four protocols, data lake, tasks and workflows, for several tenants."""

from asyncconn.sandbox.tcup.options import Options
from asyncconn.sandbox.tcup.streams import StreamFault, StreamFaults, Streams
from asyncconn.sandbox.tcup.tenants import DlsUser, Tenant
from asyncconn.sandbox.tcup.voice import SPELLINGS
from asyncconn.sandbox.tcup.world import Counters, ServiceCall, Services, TcupWorld

__all__ = [
    "SPELLINGS",
    "Counters",
    "DlsUser",
    "Options",
    "ServiceCall",
    "Services",
    "StreamFault",
    "StreamFaults",
    "Streams",
    "TcupWorld",
    "Tenant",
]
