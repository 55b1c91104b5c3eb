"""``asyncconn demo``: each platform at work, on real data where there is some, judged by what the sandbox has seen."""

from asyncconn.cli.demo.command import demo

__all__ = ["demo"]
