"""Panoply: a streaming writer over SQS, and a framework for data sources."""

from asyncconn.panoply import errors
from asyncconn.panoply.errors import PanoplyException
from asyncconn.panoply.report import RunReport
from asyncconn.panoply.source import DataSource
from asyncconn.panoply.writer import Panoply, WriteReport

__all__ = ["DataSource", "Panoply", "PanoplyException", "RunReport", "WriteReport", "errors"]
