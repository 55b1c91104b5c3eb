"""``asyncconn source``: what a source module asks for, and runs of it."""

from asyncconn.cli.source.commands import app

__all__ = ["app"]
