"""The embedded Panoply: an SQS endpoint in front of a warehouse in SQLite."""

from asyncconn.sandbox.panoply.account import Account
from asyncconn.sandbox.panoply.platform import Counters, Message, PanoplySandbox
from asyncconn.sandbox.panoply.records import InvalidDocument

__all__ = ["Account", "Counters", "InvalidDocument", "Message", "PanoplySandbox"]
