"""Long work in a command: run until it ends or is ended, and shown meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncconn
from asyncconn.cli.output import spoken
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rich.progress import Progress as Bar

    from asyncconn import Hub, Progress

__all__ = ["advancing", "run_to_end"]


def run_to_end(main: Callable[[Hub], Coroutine[Any, Any, object]]) -> tuple[int, Exception | None]:
    """``asyncconn.run`` for a command that tells how far it got, whatever ended it: the status, and what was raised."""
    try:
        asyncconn.run(main)
    except KeyboardInterrupt:
        return 130, None
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else 1), None
    except Exception as problem:  # a source's code may raise anything
        if spoken.debug or isinstance(problem, BrokenPipeError):
            raise
        return (2 if isinstance(problem, ConfigError) else 1), problem
    return 0, None


def advancing(bar: Bar, what: str) -> Callable[[Progress], None]:
    """What ``on_progress`` takes, to be seen in a bar."""
    task = bar.add_task(what, total=None, note="")

    def advanced(now: Progress) -> None:
        bar.update(task, completed=now.done, total=now.total)

    return advanced
