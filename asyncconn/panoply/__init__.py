"""Panoply: a streaming writer over SQS."""

from asyncconn.panoply.writer import Panoply, WriteReport

__all__ = ["Panoply", "WriteReport"]
