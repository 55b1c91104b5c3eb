"""The sandbox's page, and the same over HTTP for programs in any language."""

from asyncconn.sandbox.control.desk import Desk

__all__ = ["Desk"]
