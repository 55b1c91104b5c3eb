"""Panoply: a streaming writer over SQS, and a framework for data sources.

``import asyncconn.panoply as panoply`` gives authors of data sources the names they know.
"""

from asyncconn.panoply import errors
from asyncconn.panoply.errors import (
    PanoplyException,
    Phase,
    ReadFailed,
    SourceError,
    TokenCallbackException,
    TokenValidationException,
    set_internal_code,
    wrap_errors,
)
from asyncconn.panoply.files import CheckedFile, FileReport, check_file
from asyncconn.panoply.report import RunReport, SourceProgress
from asyncconn.panoply.sdk import SDK
from asyncconn.panoply.sources.background import background_progress
from asyncconn.panoply.sources.destination import Destination
from asyncconn.panoply.sources.filling import Filling, ParamsUnfit, Question, fill_params
from asyncconn.panoply.sources.module import load_module
from asyncconn.panoply.sources.oauth import validate_token
from asyncconn.panoply.sources.preview import preview_source
from asyncconn.panoply.sources.records import (
    Field,
    Metadata,
    Record,
    RecordGroup,
    Resource,
    convert_to_ui_format,
    to_record,
)
from asyncconn.panoply.sources.runner import READ_RETRY, RowWriter, run_source
from asyncconn.panoply.sources.source import DataSource
from asyncconn.panoply.sources.states import Saved, StateFile, StateStore
from asyncconn.panoply.sources.tunnel import SSHTunnel, open_tunnel
from asyncconn.panoply.spools import SpoolContents, spool_contents
from asyncconn.panoply.wire import SentMessage
from asyncconn.panoply.writer import Panoply, WriteReport

__all__ = [
    "READ_RETRY",
    "SDK",
    "CheckedFile",
    "DataSource",
    "Destination",
    "Field",
    "FileReport",
    "Filling",
    "Metadata",
    "Panoply",
    "PanoplyException",
    "ParamsUnfit",
    "Phase",
    "Question",
    "ReadFailed",
    "Record",
    "RecordGroup",
    "Resource",
    "RowWriter",
    "RunReport",
    "SSHTunnel",
    "Saved",
    "SentMessage",
    "SourceError",
    "SourceProgress",
    "SpoolContents",
    "StateFile",
    "StateStore",
    "TokenCallbackException",
    "TokenValidationException",
    "WriteReport",
    "background_progress",
    "check_file",
    "convert_to_ui_format",
    "errors",
    "fill_params",
    "load_module",
    "open_tunnel",
    "preview_source",
    "run_source",
    "set_internal_code",
    "spool_contents",
    "to_record",
    "validate_token",
    "wrap_errors",
]
