"""What can go wrong around data sources, and how any error of theirs is told to the platform.

The tree is in :mod:`asyncconn.panoply.errors.exceptions`. Contract: panoply sections 8 and 9.
"""

from asyncconn.panoply.errors.exceptions import (
    DataSourceException,
    IncorrectParamError,
    NotAnException,
    PanoplyException,
    ReadFailed,
    ReadTimedOut,
    RecordTypeError,
    RecordValueError,
    RowRefused,
    RowsUndelivered,
    SourceError,
    StateRefused,
    TokenCallbackException,
    TokenValidationException,
    TruncateRefused,
    TunnelRefused,
)
from asyncconn.panoply.errors.normalisation import Phase, set_internal_code, wrap_errors

__all__ = [
    "DataSourceException",
    "IncorrectParamError",
    "NotAnException",
    "PanoplyException",
    "Phase",
    "ReadFailed",
    "ReadTimedOut",
    "RecordTypeError",
    "RecordValueError",
    "RowRefused",
    "RowsUndelivered",
    "SourceError",
    "StateRefused",
    "TokenCallbackException",
    "TokenValidationException",
    "TruncateRefused",
    "TunnelRefused",
    "set_internal_code",
    "wrap_errors",
]
