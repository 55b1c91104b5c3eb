"""How bulk work looks while it goes on, and what is said of it at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asyncconn.cli.datorama.common import span
from asyncconn.cli.output import SHOWN, count, error, plain, progress, remark, spoken, stderr
from asyncconn.cli.sheets import Sheet
from asyncconn.datorama.bulk.results import RESULT_COLUMNS
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asyncconn.cli.options import Output
    from asyncconn.datorama.bulk.progress import BulkProgress
    from asyncconn.datorama.bulk.results import BulkResult

__all__ = ["checked", "put_results", "settle", "watching"]


@contextmanager
def watching() -> Iterator[Callable[[BulkProgress], None]]:
    """A bar with the time left that the cap implies; on terminals only. Yields what ``on_progress`` takes."""
    with progress(stderr()) as bar:
        task = bar.add_task("reading", total=None, note="")

        def show(now: BulkProgress) -> None:
            words = [
                f"{number} {word}" for number, word in ((now.failed, "failed"), (now.unknown, "unknown")) if number
            ]
            if now.seconds_left:
                words.append(f"about {span(now.seconds_left)} left")
            bar.update(task, description=now.what, completed=now.done, total=now.total, note=", ".join(words))

        yield show


def settle(result: BulkResult[Any, Any], checks: dict[int, str] | None = None) -> int:
    """Name what is not ok, on standard error; the status to end with: 0, or 1 if anything failed or is unknown."""
    bad = [item for item in result if item.outcome != "ok"]
    for item in bad[:SHOWN]:
        said = (checks or {}).get(id(item), "")
        error(plain(f"{item.name}: {item.outcome}: {item.row()['error']}{said}"))
    if len(bad) > SHOWN:
        error(f"and {len(bad) - SHOWN:,} more")
    return 1 if bad else 0


async def checked(result: BulkResult[Any, Any]) -> dict[int, str]:
    """What a look at the platform says of the first unknown items, by their identity: a call or more for each."""
    found: dict[int, str] = {}
    for item in result.unknown[:SHOWN]:
        try:
            there = (await item.check()).there
        except AsyncConnError as problem:
            found[id(item)] = f"; it could not be checked: {problem}"
        else:
            found[id(item)] = "; checked: it is there" if there else "; checked: it is not there"
    return found


def put_results(to: Output, result: BulkResult[Any, Any], done: str, log: Path | None) -> None:
    """Every item where ``--output`` or ``--format`` asks for them, and the counts."""
    if not to.shown:
        to.put(Sheet("result", RESULT_COLUMNS, [[*row.values()] for row in result.rows()]))
    jobs = sum(len(item.value) for item in result if isinstance(item.value, list))
    words = [f"{len(result.ok):,} of {count(len(result), 'item')} {done}"]
    if all(item.value for item in result.ok):  # the answer to a batch need not tell them
        words += [count(jobs, "job")] * bool(jobs)
    words += [f"{skipped:,} done before"] if (skipped := sum(item.skipped for item in result)) else []
    words += [f"log in {log}"] if log is not None else []
    if to.shown or not spoken.quiet:
        remark("; ".join(words), result=to.shown or to.path is not None)
