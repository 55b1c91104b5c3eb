"""``asyncconn demo --report``: what happened in the demonstration, as figures in one file."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from asyncconn import __version__
from asyncconn.cli.demo.counting import worst_window
from asyncconn.cli.demo.datorama import LIMIT, PERIOD
from asyncconn.cli.drawing import COLOURS, Section, drawn, page
from asyncconn.core.tables import html_table
from asyncconn.core.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncconn.cli.demo.part import Verdict
    from asyncconn.cli.demo.recording import Points, Recording

__all__ = ["report_page"]

_MAX_AGE = 2.0  # seconds, that a record may wait
_SHOWN = 12  # waits, connections
_BLUE, _RED, _GREEN = COLOURS[:3]


def report_page(recording: Recording, verdicts: Sequence[Verdict]) -> str:
    """The page. Raises ``ConfigError`` without matplotlib."""
    failed = sum(not one.ok for one in verdicts)
    text = f"asyncconn {__version__}. " + (
        f"{count(failed, 'part')} of {len(verdicts)} failed." if failed else f"All {len(verdicts)} parts passed."
    )
    return page("asyncconn: what the demonstration saw", text, list(_sections(recording, verdicts)))


def _sections(recording: Recording, verdicts: Sequence[Verdict]) -> Iterator[Section]:
    rows = [("PASS" if one.ok else "FAIL", one.part, one.words, f"{one.seconds:.1f} s") for one in verdicts]
    said = "Each part is judged by what the embedded platforms have seen, not by what the clients believe."
    yield Section("Verdicts", said, html_table(("", "part", "words", "took"), rows))
    panoply, kill, datorama = (recording.of(part) for part in ("panoply", "kill", "datorama"))
    if delivered := panoply.get("delivered"):
        yield _throughput(delivered)
    if ages := {name: some for name, some in (("full speed", panoply.get("age")), ("paced", kill.get("age"))) if some}:
        yield _ages(ages)
    if calls := datorama.get("calls"):
        yield _rate(calls)
    if waits := list(_waits(recording)):
        yield _polls(waits)
    if connections := recording.of("connections"):
        yield _connections(connections)
    if kill.get("landed") and kill.get("accepted"):
        yield _killed(kill)


def _throughput(delivered: Points) -> Section:
    times = [0.0, *(at for at, _ in delivered)]
    totals = [0.0, *accumulate(value for _, value in delivered)]
    pace = totals[-1] / times[-1] if times[-1] else 0.0
    words = f"{totals[-1]:,.0f} records in {count(len(delivered), 'message')}: {pace:,.0f} a second."

    def draw(axes: Any) -> None:
        axes.step(times, totals, where="post", color=_BLUE, linewidth=2)
        axes.fill_between(times, totals, step="post", color=_BLUE, alpha=0.12)
        axes.set(xlabel="seconds", ylabel="records that arrived", ylim=(0, None))

    return Section("Throughput", words, drawn(draw, words))


def _ages(ages: dict[str, Points]) -> Section:
    oldest = max(value for points in ages.values() for _, value in points)
    words = (
        f"The age of the oldest record of each batch when it left: at most {oldest:.2f} s, of {_MAX_AGE:g} s allowed."
    )

    def draw(axes: Any) -> None:
        axes.axhline(_MAX_AGE, color=_RED, linestyle="--", label=f"allowed: {_MAX_AGE:g} s")
        for (name, points), colour in zip(ages.items(), (_BLUE, _GREEN), strict=False):
            axes.scatter(*zip(*points, strict=True), s=14, color=colour, label=name)
        axes.set(xlabel="seconds", ylabel="seconds of age", ylim=(0, 1.15 * max(_MAX_AGE, oldest)))
        axes.legend(frameon=False, loc="center right")

    return Section("Ages", words, drawn(draw, words))


def _rate(calls: Points) -> Section:
    times = [at for at, _ in calls]
    # What is used changes when a call comes, and when it is a period old.
    looks = sorted({*times, *(at + PERIOD for at in times if at + PERIOD <= times[-1])})
    used = [sum(look - PERIOD < at <= look for at in times) for look in looks]
    most = worst_window(times, PERIOD)
    words = (
        f"Calls that Datorama counted within the last {PERIOD:g} s, on a virtual clock: never more than {most}, "
        f"of {LIMIT} allowed."
    )

    def draw(axes: Any) -> None:
        axes.step([at / 60 for at in looks], used, where="post", color=_BLUE, linewidth=2, label="used")
        axes.axhline(LIMIT, color=_RED, linestyle="--", label=f"the cap: {LIMIT}")
        axes.set(xlabel="virtual minutes", ylabel=f"calls in {PERIOD:g} s", ylim=(0, 1.25 * max(LIMIT, most)))
        axes.legend(frameon=False, loc="upper right", ncols=2)

    return Section("Rate used against the cap", words, drawn(draw, words))


def _waits(recording: Recording) -> Iterator[tuple[str, Points]]:
    for number in range(1, recording.waits + 1):
        for name, points in recording.of(f"polls {number}").items():
            yield f"{number}. {name}", points


def _polls(waits: list[tuple[str, Points]]) -> Section:
    shown = sorted(waits, key=lambda wait: -len(wait[1]))[:_SHOWN]
    total = sum(len(points) - 1 for _, points in waits)
    words = f"{count(total, 'poll')} in {count(len(waits), 'wait')}: the longer one waits, the less often it asks."

    def draw(axes: Any) -> None:
        for row, (_, points) in enumerate(shown):
            axes.plot(
                [max(at, 0.01) for at, _ in points[1:]], [row] * (len(points) - 1), "|", color=_BLUE, ms=11, mew=2
            )
        axes.set(xlabel="seconds since it began (each by its own clock)", xscale="log")
        axes.set_yticks(range(len(shown)), [name for name, _ in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)

    return Section("Polls", words, drawn(draw, words, height=1.0 + 0.32 * len(shown)))


def _connections(connections: dict[str, Points]) -> Section:
    shown = dict(list(connections.items())[:_SHOWN])
    end = max(at for points in shown.values() for at, _ in points)
    lost = sum(value == 0 for points in shown.values() for _, value in points)
    words = f"Connections that are kept up, on a network that breaks them: {lost} lost, and each made again."

    def draw(axes: Any) -> None:
        for row, points in enumerate(shown.values()):
            up = [at for at, state in points if state]
            down = [at for at, state in points if not state]
            for begin in up:
                until = min((at for at in down if at >= begin), default=end)
                axes.barh(row, until - begin, left=begin, height=0.45, color=_BLUE)
            axes.plot(down, [row] * len(down), "x", color=_RED, ms=9, mew=2.5)
        axes.set(xlabel="seconds; a cross is a connection that broke")
        axes.set_yticks(range(len(shown)), list(shown))
        axes.set_ylim(len(shown) - 0.5, -0.5)

    return Section("Reconnects", words, drawn(draw, words, height=1.0 + 0.4 * len(shown)))


def _killed(kill: dict[str, Points]) -> Section:
    killed = kill.get("killed", [])
    landed = kill["landed"][-1][1]
    words = f"A program that writes through a spool is killed; the next one goes on. {landed:,.0f} records landed."

    def draw(axes: Any) -> None:
        for name, colour in (("accepted", _GREEN), ("landed", _BLUE)):
            axes.step(*zip(*kill[name], strict=True), where="post", color=colour, linewidth=2, label=name)
        for at, _ in killed:
            axes.axvline(at, color=_RED, linestyle="--", label="kill -9")
        axes.set(xlabel="seconds", ylabel="records", ylim=(0, None))
        axes.legend(frameon=False, loc="lower right")

    return Section("Kill and resume", words, drawn(draw, words))
