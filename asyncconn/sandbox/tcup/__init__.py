"""The embedded TCUP: observations, message routing, data lake, tasks and workflows, for one or several tenants."""

from asyncconn.sandbox.tcup.options import Options
from asyncconn.sandbox.tcup.tenants import DlsUser, Tenant
from asyncconn.sandbox.tcup.voice import SPELLINGS
from asyncconn.sandbox.tcup.world import Counters, ServiceCall, Services, TcupWorld

__all__ = ["SPELLINGS", "Counters", "DlsUser", "Options", "ServiceCall", "Services", "TcupWorld", "Tenant"]
