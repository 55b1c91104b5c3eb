"""The values of a source's parameters: from the command line, the environment, a file, the default, or by asking."""

from __future__ import annotations

import asyncio
import os
import sys
from getpass import getpass
from typing import TYPE_CHECKING, Any

import typer
from dotenv import dotenv_values
from rich.text import Text

from asyncconn.cli.output import BAD_INPUT, error, plain, stderr
from asyncconn.errors import ConfigError
from asyncconn.panoply.sources.params import choices_of, convert, default_of, label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncconn.cli.source.options import Given, SourceOption

__all__ = ["fill", "is_terminal"]

_SHOWN = 50  # choices on a terminal


def is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def fill(
    given: Given, base: Mapping[str, Any], options: Mapping[str, Any], *, ask: bool, timeout: float = 60.0
) -> dict[str, Any]:
    """``base`` with a value for every parameter that has one.

    The command line comes first, then the environment, ``base`` itself (taken as it is), the default; then, with
    ``ask``, whoever sits at the terminal. Functions that give choices have ``timeout`` seconds. What is missing or
    wrong is told at once and all together: status 2.
    """
    filling = _Filling(given, base, options, timeout)
    if not ask:
        filling.refuse_missing()
    for option in filling.in_order():
        filling.fill(option, ask=ask)
    filling.refuse_problems()
    return filling.source


class _Filling:
    def __init__(self, given: Given, base: Mapping[str, Any], options: Mapping[str, Any], timeout: float) -> None:
        self.source = dict(base)
        self._given = given
        self._options = options
        self._timeout = timeout
        self._problems: list[str] = []
        self._texts = dict(given.texts)
        self._origins = {option.param.name: option.flag for option in given.options}
        environment = {**dotenv_values(".env"), **os.environ}
        for option in given.options:
            if option.param.name not in self._texts and (text := environment.get(option.variable)):
                self._texts[option.param.name] = [text]
                self._origins[option.param.name] = option.variable

    def in_order(self) -> list[SourceOption]:
        """Each parameter after those that it depends on; nobody is asked before what was given has been checked."""
        left = sorted(self._given.options, key=lambda option: (option.param.dynamic, not self._has_value(option)))
        found: list[SourceOption] = []
        while left:
            waiting = {option.param.name for option in left}
            found.append(next(option for option in left if not waiting & {*option.param.dependencies}))
            left.remove(found[-1])
        return found

    def refuse_missing(self) -> None:
        """Whatever is required and nowhere to be found."""
        missing = [
            f"{option.flag} (or {option.variable})" if option.where == option.flag else f"{option.variable} (a secret)"
            for option in self._given.options
            if option.param.required and not self._has_value(option)
        ]
        if missing:
            error(f"required and not given: {', '.join(missing)}")
            raise typer.Exit(BAD_INPUT)

    def refuse_problems(self) -> None:
        """All of them, a line each."""
        for problem in self._problems:
            error(problem)
        if self._problems:
            raise typer.Exit(BAD_INPUT)

    def fill(self, option: SourceOption, *, ask: bool) -> None:
        param = option.param
        texts = self._texts.get(param.name)
        asked = ask and param.required and not param.hidden and not self._has_value(option)
        if texts is None and (self._in_base(option) or (param.default in (None, "") and not asked)):
            return
        try:
            choices = self._choices(option, needed=texts is not None or asked)
            if texts is not None:
                self.source[param.name] = convert(param, texts, choices)
            elif not asked:
                self._set_default(option, choices)
            elif not self._problems:
                self.source[param.name] = _asked(option, choices)
        except ConfigError as problem:
            origin = f"{self._origins[param.name]}: " if texts is not None else ""
            self._problems.append(f"{origin}{problem.message}")

    def _choices(self, option: SourceOption, *, needed: bool) -> tuple[Any, ...] | None:
        param = option.param
        if param.dynamic:
            unfilled = [name for name in param.dependencies if self.source.get(name) in (None, "")]
            if unfilled and not needed:
                return ()
            if unfilled:
                wheres = {one.param.name: one.where for one in self._given.options}
                raise ConfigError(f"needs {', '.join(wheres[name] for name in unfilled)} to be given as well")
        return asyncio.run(choices_of(param, self.source, self._options, timeout=self._timeout))

    def _set_default(self, option: SourceOption, choices: tuple[Any, ...] | None) -> None:
        if option.param.dynamic and not choices:
            return  # what its choices depend on is not there
        self.source[option.param.name] = default_of(option.param, choices)

    def _in_base(self, option: SourceOption) -> bool:
        return self.source.get(option.param.name) not in (None, "")

    def _has_value(self, option: SourceOption) -> bool:
        texts = self._texts.get(option.param.name)
        if texts is not None:
            return any(text.strip() for text in texts)
        return self._in_base(option) or option.param.default not in (None, "")


# -- asking ------------------------------------------------------------------------------------------------------------


def _asked(option: SourceOption, choices: Sequence[Any] | None) -> Any:
    """What whoever sits at the terminal answers, once it fits."""
    param = option.param
    screen = stderr()
    question = plain(param.title or param.name)
    if hint := plain(param.help or param.description or param.placeholder):
        screen.print(Text(hint, "dim"))
    if choices is not None:
        if not choices:
            raise ConfigError(f"{param.name}: there is nothing to choose from")
        for number, choice in enumerate(choices[:_SHOWN], start=1):
            screen.print(Text(f"{number:>4}  {plain(label(choice))}"))
        if len(choices) > _SHOWN:
            screen.print(Text(f"      and {len(choices) - _SHOWN:,} more"))
        question += " (numbers or names, with commas between)" if param.kind == "list" else " (number or name)"
    while True:
        answer = _answer(question, secret=param.secret)
        if not answer:
            continue
        try:
            value = convert(param, _picked(answer, choices, many=param.kind == "list"), choices)
        except ConfigError as problem:
            error(problem.message)
            continue
        if value != []:
            return value


def _answer(question: str, *, secret: bool) -> str:
    try:
        if secret:
            return getpass(f"{question}: ")  # the echo is off before the question is seen
        answer: str = typer.prompt(question, err=True)
    except (EOFError, typer.Abort):
        raise KeyboardInterrupt from None
    return answer


def _picked(answer: str, choices: Sequence[Any] | None, *, many: bool) -> list[str]:
    """The answer as texts, numbers of choices by their values; a choice that is called like a number is that one."""
    if choices is None:
        return [answer]
    known = {text for choice in choices for text in (label(choice), _value(choice))}
    parts = [answer] if answer in known or not many else [part.strip() for part in answer.split(",")]
    return [
        _value(choices[int(part) - 1])
        if part not in known and part.isdecimal() and 1 <= int(part) <= len(choices)
        else part
        for part in parts
    ]


def _value(choice: Any) -> str:
    return str(choice["value"] if isinstance(choice, dict) else choice)
