"""Whoever sits at the terminal is asked for what a source requires and nobody has given."""

from __future__ import annotations

import asyncio
import sys
from getpass import getpass
from typing import TYPE_CHECKING, Any

import typer

from asyncconn.cli.output import BAD_INPUT, complain, error, plain
from asyncconn.errors import ConfigError
from asyncconn.panoply.sources.filling import Filling, ParamsUnfit
from asyncconn.panoply.sources.params import convert, label, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncconn.cli.source.options import Given
    from asyncconn.panoply.sources.filling import Question

__all__ = ["fill"]

_SHOWN = 50  # choices on a terminal


def fill(given: Given, base: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with a value for every parameter; what is missing or wrong is told all together, with status 2."""
    places = {option.param.name: option.where for option in given.options}
    params = [option.param for option in given.options]
    filling = Filling(params, base, texts=given.texts, options=options, place=lambda param: places[param.name])
    try:
        asyncio.run(filling.begin())
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            filling.refuse_missing()
        # Not within a loop, which would keep Ctrl-C from whoever is asked.
        while (question := asyncio.run(filling.question())) is not None:
            filling.answer(_asked(question))
        return filling.filled()
    except ParamsUnfit as unfit:
        for problem in unfit.problems:
            error(problem)
        raise typer.Exit(BAD_INPUT) from None


def _asked(question: Question) -> Any:
    """What is answered, once it fits."""
    param, choices = question.param, question.choices
    words = plain(param.title or param.name)
    if hint := plain(param.help or param.description or param.placeholder):
        complain(hint)
    if choices is not None:
        if not choices:
            raise ParamsUnfit([f"{param.name}: there is nothing to choose from"])
        for number, choice in enumerate(choices[:_SHOWN], start=1):
            complain(f"{number:>4}  {plain(label(choice))}")
        if len(choices) > _SHOWN:
            complain(f"      and {len(choices) - _SHOWN:,} more")
        words += " (numbers or names, with commas between)" if param.kind == "list" else " (number or name)"
    while True:
        if not (answer := _answer(words, secret=param.secret)):
            continue
        try:
            value = convert(param, _picked(answer, choices, many=param.kind == "list"), choices)
        except ConfigError as problem:
            error(problem.message)
            continue
        if value != []:
            return value


def _answer(words: str, *, secret: bool) -> str:
    try:
        if secret:
            return getpass(f"{words}: ")  # the echo is off before the question is seen
        answer: str = typer.prompt(words, err=True)
    except (EOFError, typer.Abort):
        raise KeyboardInterrupt from None
    return answer


def _picked(answer: str, choices: Sequence[Any] | None, *, many: bool) -> list[str]:
    """The answer as texts, numbers of choices by their values; a choice that is called like a number is that one."""
    if choices is None:
        return [answer]
    known = {text for choice in choices for text in (label(choice), value_of(choice))}
    parts = [answer] if answer in known or not many else [part.strip() for part in answer.split(",")]
    return [
        value_of(choices[int(part) - 1])
        if part not in known and part.isdecimal() and 1 <= int(part) <= len(choices)
        else part
        for part in parts
    ]
