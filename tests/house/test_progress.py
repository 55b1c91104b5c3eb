"""What a display of progress says while something is under way, on a terminal, in a notebook and elsewhere."""

from __future__ import annotations

import asyncio
import io
import math
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import (
    Connector,
    Datorama,
    Hub,
    Panoply,
    Platform,
    Poller,
    PollPolicy,
    TokenAuth,
    VirtualClock,
    Window,
    progress,
    save_rows,
    sync,
)
from asyncconn.core.clock import SystemClock
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.errors import ConfigError
from asyncconn.sandbox import DatoramaWorld, PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError("nobody reads")


async def rows(number: int, pause: float = 0.0) -> AsyncIterator[dict[str, Any]]:
    for one in range(number):
        await asyncio.sleep(pause)
        yield {"id": one}


def writer(sandbox: Sandbox, hub: Hub) -> Panoply:
    account = sandbox.panoply
    return Panoply(account.api_key, account.api_secret, endpoint_url=account.url, hub=hub)


def test_elsewhere_it_is_a_line_now_and_then_and_one_at_the_end() -> None:
    clock, to = VirtualClock(), io.StringIO()

    async def main() -> None:
        async with (
            Sandbox(PanoplyWorld(), clock=clock) as sandbox,
            Hub(clock=clock, proxy="") as hub,
            progress(hub, to=to, every=10.0),
        ):
            await sync(rows(250, 0.1), into=writer(sandbox, hub).table("t"), batch=25)

    clock.run(main())
    lines = to.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[-1] == "panoply: 250 of 250 records; sync: 250 rows"
    for line in lines[:2]:
        assert "panoply: " in line
        assert "; sync: " in line  # the work tells it, though nobody gave it an on_progress


def test_what_is_pending_and_what_was_lost_is_said() -> None:
    clock, to = VirtualClock(), io.StringIO()

    async def main() -> None:
        faults = Sandbox(PanoplyWorld(), clock=clock, faults="status:400")
        async with faults as sandbox, Hub(clock=clock, proxy="", on_undelivered="log") as hub:
            panoply = writer(sandbox, hub)
            async with progress(hub, to=to, every=1.0):
                await panoply.write("t", {"id": 1})
                await clock.sleep(4.5)

    clock.run(main())
    assert to.getvalue().splitlines() == [
        "panoply: 0 of 1 record (1 pending, the oldest 1.0 s)",
        "panoply: 1 of 1 record (1 failed)",
    ]


def test_around_a_hub_it_shows_the_end_of_it_too() -> None:
    clock, to = VirtualClock(), io.StringIO()

    async def main() -> None:
        async with Sandbox(PanoplyWorld(), clock=clock) as sandbox:
            hub = Hub(clock=clock, proxy="")
            async with progress(hub, to=to), hub:
                await writer(sandbox, hub).write("t", {"id": 1})

    clock.run(main())
    assert to.getvalue() == "panoply: 1 of 1 record\n"


def test_a_limit_says_who_waits_and_until_when() -> None:
    clock, to = VirtualClock(), io.StringIO()

    async def main() -> None:
        world = DatoramaWorld(workspaces=1, streams=80)
        async with Sandbox(world, clock=clock) as sandbox, Hub(clock=clock, proxy="") as hub:
            datorama = Datorama(sandbox.datorama.token, base_url=sandbox.url, hub=hub)
            [streams] = (await datorama.fetch_all_streams()).values
            async with progress(hub, to=to, every=20.0):
                await datorama.fetch_all_jobs(streams)
            assert sandbox.datorama.token not in to.getvalue()

    clock.run(main())
    first = to.getvalue().splitlines()[0]
    assert "datorama.default: 60 of 60 calls of its platform limit (10 waiting until 00:01:0" in first
    assert "; datorama: 58 of 80 streams" in first


def test_a_pause_without_end_is_said() -> None:
    clock, to = VirtualClock(), io.StringIO()

    class Limited(Connector):
        platform = Platform("limited", base_url="http://127.0.0.1:1", rates=Window(10, 60.0))

    async def main() -> None:
        async with Hub(clock=clock, proxy="") as hub:
            Limited(hub=hub, auth=TokenAuth("token")).http.limiters["default"].pause(math.inf)
            async with progress(hub, to=to, every=1.0):
                await clock.sleep(1.5)

    clock.run(main())
    first = "limited.default: 0 of 10 calls of its window limit (paused until further notice)"
    assert to.getvalue().splitlines()[0] == first


def test_a_terminal_has_bars_that_stay_when_it_is_over() -> None:
    clock, to = VirtualClock(), Terminal()

    async def main() -> None:
        async with Sandbox(PanoplyWorld(), clock=clock) as sandbox, Hub(clock=clock, proxy="") as hub:
            async with progress(hub, to=to):
                await sync(rows(30, 0.1), into=writer(sandbox, hub).table("t"), batch=10)
            account = sandbox.panoply
            assert account.api_key not in to.getvalue()
            assert account.api_secret not in to.getvalue()

    clock.run(main())
    shown = to.getvalue()
    assert "━" in shown
    assert "rows" in shown
    assert "30 of 30 records" in shown.split("\x1b[2K")[-1]
    assert shown.endswith("\x1b[?25h")  # and the cursor is there again


async def test_a_notebook_has_a_table_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def display(thing: Any, *, display_id: bool) -> Any:
        return SimpleNamespace(update=lambda new: shown.append(new._repr_html_()))

    inside = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", inside)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    async with Sandbox(PanoplyWorld()) as sandbox, Hub(proxy="") as hub, progress(hub):
        panoply = writer(sandbox, hub)
        await panoply.write("t", {"id": 1})
        await panoply.flush()
    assert "<td" in shown[-1]
    assert "panoply" in shown[-1]


async def test_a_poll_is_shown_until_it_is_over_and_once_more_at_the_end() -> None:
    to = io.StringIO()
    states = iter(["RUNNING", "RUNNING", "DONE"])

    async def fetch() -> str:
        return next(states)

    policy = PollPolicy(minimum=0.001, maximum=0.001)
    async with Hub() as hub, progress(hub, to=to, every=0.001):
        poller = Poller(fetch, done=lambda state: state == "DONE", result=str, name="export 7", policy=policy)
        async for _ in poller:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert "export 7: 2 polls\n" in to.getvalue()
        assert to.getvalue().splitlines()[-1] == ""
    assert to.getvalue().splitlines()[-1] == "export 7: 3 polls"


async def test_without_rich_a_terminal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ConfigError, match=r"pip install 'asyncconn\[cli\]'"):
        async with Hub() as hub, progress(hub, to=Terminal()):
            pass
    async with Hub() as hub, progress(hub, to=io.StringIO()):  # where it needs none
        pass


def test_a_display_that_breaks_is_told_of_once_and_stops_no_work(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()

    async def main() -> str:
        async with Hub(clock=clock) as hub, progress(hub, to=Broken(), every=1.0):
            tell: OnProgress | None = telling(None, "work")
            assert tell is not None
            tell(Progress(1, 2, "files"))
            await clock.sleep(10.0)
            return "done"

    assert clock.run(main()) == "done"
    said = "progress is not shown any more: BrokenPipeError: nobody reads"
    assert [record.message for record in caplog.records] == [said]


class Leaving(Terminal):
    """A terminal that goes away."""

    gone: Exception | None = None

    def write(self, text: str) -> int:
        if self.gone is not None:
            raise self.gone
        return super().write(text)


@pytest.mark.parametrize("gone", [OSError(5, "gone"), BrokenPipeError("gone"), ValueError("closed")])
@pytest.mark.parametrize(("before", "after"), [(0.0, 1.0), (0.9, 1.0), (0.9, 0.0)])
def test_a_terminal_that_goes_away_leaves_the_program_its_result_and_its_output(
    gone: Exception, before: float, after: float, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    clock, to, standard = VirtualClock(), Leaving(), (sys.stdout, sys.stderr)

    async def main() -> str:
        async with Hub(clock=clock) as hub, progress(hub, to=to):
            await clock.sleep(before)
            to.gone = gone
            sys.stdout.write("the program's own\n")
            await clock.sleep(after)
            assert ((sys.stdout, sys.stderr) == standard) is (after > 0.0)
            return "done"

    assert clock.run(main()) == "done"
    assert (sys.stdout, sys.stderr) == standard
    assert [record.message.partition(":")[0] for record in caplog.records] == ["progress is not shown any more"]


async def test_what_the_program_raises_stays_what_it_is_where_the_terminal_has_gone() -> None:
    to = Leaving()

    async def main() -> None:
        async with Hub() as hub, progress(hub, to=to):
            to.gone = OSError(5, "gone")
            raise KeyError("the program's own")

    with pytest.raises(KeyError, match="the program's own"):
        await main()


def test_what_the_program_prints_into_a_file_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, to, file = VirtualClock(), Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)

    async def main() -> None:
        async with Hub(clock=clock) as hub, progress(hub, to=to):
            await clock.sleep(1.0)
            sys.stdout.write("a row\n")

    clock.run(main())
    assert file.getvalue() == "a row\n"
    assert "a row" not in to.getvalue()


async def test_who_is_cancelled_at_the_end_has_its_output_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    standard, clock = sys.stdout, Stubborn()

    async def main(hub: Hub) -> None:
        async with progress(hub, to=Terminal()):
            await clock.begun.wait()

    async with Hub() as hub:
        usual, hub.clock = hub.clock, clock
        program = asyncio.create_task(main(hub))
        async with asyncio.timeout(5.0):
            await clock.cancelled.wait()
        program.cancel()
        with pytest.raises(asyncio.CancelledError):
            await program
        clock.over.set()
        hub.clock = usual
    assert sys.stdout is standard


class Stubborn(SystemClock):
    """Its sleep does not end when it is cancelled."""

    def __init__(self) -> None:
        self.begun, self.cancelled, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.begun.set()
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.over.wait()


def closed() -> io.StringIO:
    to = io.StringIO()
    to.close()
    return to


@pytest.mark.parametrize("to", [None, SimpleNamespace(write=len, flush=int), closed()])
async def test_what_is_no_stream_shows_nothing_and_stops_nothing(to: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", to)
    async with Hub() as hub, progress(hub):
        tell: OnProgress | None = telling(None, "work")
        assert tell is not None
        tell(Progress(1, 2, "files"))


def test_nobody_listens_outside_of_a_display() -> None:
    assert telling(None, "work") is None


async def test_who_listens_hears_it_beside_the_display() -> None:
    heard: list[Progress] = []
    async with Hub() as hub, progress(hub, to=io.StringIO()):
        tell = telling(heard.append, "work")
        assert tell is not None
        tell(Progress(1, 2, "files"))
    assert heard == [Progress(1, 2, "files")]


# -- on_progress, where work is long -----------------------------------------------------------------------------------


async def test_saving_rows_tells_how_many_are_written(tmp_path: Path) -> None:
    heard: list[Progress] = []
    some = ({"id": one, "text": "x" * 1000} for one in range(3_000))
    await save_rows(tmp_path / "rows.jsonl", some, on_progress=heard.append)
    assert heard[-1] == Progress(3_000, 3_000, "rows")
    assert len(heard) > 2
    assert [one.done for one in heard] == sorted(one.done for one in heard)
