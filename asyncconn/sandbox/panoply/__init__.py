"""The embedded Panoply: an SQS endpoint in front of a warehouse in SQLite."""

from asyncconn.sandbox.panoply.account import Account
from asyncconn.sandbox.panoply.records import InvalidDocument
from asyncconn.sandbox.panoply.warehouse import Busy
from asyncconn.sandbox.panoply.world import Counters, Message, PanoplyWorld

__all__ = ["Account", "Busy", "Counters", "InvalidDocument", "Message", "PanoplyWorld"]
