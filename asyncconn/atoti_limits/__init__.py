"""Atoti Limits: connect a session and its Limits server, know why it did not work, and manage limits."""

from asyncconn.atoti_limits import errors
from asyncconn.atoti_limits.client import AtotiLimits
from asyncconn.atoti_limits.connection import Connected
from asyncconn.atoti_limits.discovery import check_slicing_hierarchy
from asyncconn.atoti_limits.errors import (
    ConnectionTimedOut,
    LimitsError,
    LimitsValidationError,
    SlicingHierarchyMissing,
)
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
from asyncconn.atoti_limits.offline.compatibility import check_compatibility
from asyncconn.atoti_limits.offline.csv_formats import read_limits
from asyncconn.atoti_limits.offline.legacy import LegacyLimitsProperties, java_relatives
from asyncconn.atoti_limits.offline.roles import GUIDE_USERS, missing_roles
from asyncconn.atoti_limits.offline.scopes import Scope, parse_scope
from asyncconn.atoti_limits.offline.ui_extension import UiExtension, extract_ui_extension
from asyncconn.atoti_limits.paths import Paths
from asyncconn.atoti_limits.reports import CompatibilityReport, CubeCheck, PreflightReport, StatusReport, StatusStep
from asyncconn.atoti_limits.resources.evaluation import Evaluation
from asyncconn.atoti_limits.resources.transfer import Export, UploadPlan
from asyncconn.atoti_limits.versions import warning_threshold_is_distance

__all__ = [
    "GUIDE_USERS",
    "AtotiLimits",
    "AuditEntry",
    "CompatibilityReport",
    "Connected",
    "Connection",
    "ConnectionTimedOut",
    "CubeCheck",
    "Evaluation",
    "Export",
    "Incident",
    "IncidentType",
    "LegacyLimit",
    "LegacyLimitsProperties",
    "Limit",
    "LimitState",
    "LimitStatus",
    "LimitsError",
    "LimitsValidationError",
    "Paths",
    "PreflightReport",
    "Scope",
    "SlicingHierarchyMissing",
    "StatusReport",
    "StatusStep",
    "Structure",
    "UiExtension",
    "UploadPlan",
    "UploadReport",
    "check_compatibility",
    "check_slicing_hierarchy",
    "errors",
    "extract_ui_extension",
    "java_relatives",
    "missing_roles",
    "parse_scope",
    "read_limits",
    "warning_threshold_is_distance",
]
