"""Panoply: a streaming writer over SQS, and a framework for data sources.

``import asyncconn.panoply as panoply`` gives authors of data sources the names they know.
"""

from asyncconn.panoply import errors
from asyncconn.panoply.destination import Destination
from asyncconn.panoply.errors import PanoplyException, TokenValidationException
from asyncconn.panoply.report import RunReport
from asyncconn.panoply.runner import READ_RETRY, RowWriter, run_source
from asyncconn.panoply.source import DataSource
from asyncconn.panoply.states import Saved, StateFile, StateStore
from asyncconn.panoply.writer import Panoply, WriteReport

__all__ = [
    "READ_RETRY",
    "DataSource",
    "Destination",
    "Panoply",
    "PanoplyException",
    "RowWriter",
    "RunReport",
    "Saved",
    "StateFile",
    "StateStore",
    "TokenValidationException",
    "WriteReport",
    "errors",
    "run_source",
]
