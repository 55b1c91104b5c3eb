"""Atoti Limits: connect a session and its Limits server, know why it did not work, and manage limits."""

from asyncconn.atoti_limits import errors
from asyncconn.atoti_limits.client import AtotiLimits
from asyncconn.atoti_limits.connection import Connected, PreflightReport
from asyncconn.atoti_limits.discovery import check_slicing_hierarchy
from asyncconn.atoti_limits.models import (
    AuditEntry,
    Connection,
    Incident,
    IncidentType,
    LegacyLimit,
    Limit,
    LimitState,
    LimitStatus,
    Structure,
    UploadReport,
)
from asyncconn.atoti_limits.paths import Paths

__all__ = [
    "AtotiLimits",
    "AuditEntry",
    "Connected",
    "Connection",
    "Incident",
    "IncidentType",
    "LegacyLimit",
    "Limit",
    "LimitState",
    "LimitStatus",
    "Paths",
    "PreflightReport",
    "Structure",
    "UploadReport",
    "check_slicing_hierarchy",
    "errors",
]
