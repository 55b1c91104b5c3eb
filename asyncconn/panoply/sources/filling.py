"""The values of a source's parameters: given as text, from the environment, from a dict, the default, or by asking.

Contract: panoply section 7, "A param".
"""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values

from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError
from asyncconn.panoply.sources.params import Param, choices_of, convert, default_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Filling", "ParamsUnfit", "Question", "fill_params", "variable_of", "words_of"]

_PREFIX = "ASYNCCONN_SOURCE_"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class ParamsUnfit(ConfigError):
    """Parameters of a source that are missing or do not fit: all ``problems`` at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def words_of(name: str) -> list[str]:
    """The words that a parameter's name is made of. Raises ``ConfigError`` where there is none.

    >>> words_of("hostName"), words_of("access_token2")
    (['host', 'name'], ['access', 'token', '2'])
    """
    if words := _WORD.findall(name):
        return [word.lower() for word in words]
    raise ConfigError(f"no option can be made of the name {name!r}: rename it")


def variable_of(name: str) -> str:
    """The variable of the environment that may hold a parameter.

    >>> variable_of("hostName")
    'ASYNCCONN_SOURCE_HOST_NAME'
    """
    return _PREFIX + "_".join(words_of(name)).upper()


@dataclass(frozen=True, slots=True)
class Question:
    """A parameter that is required, and whose value nobody has given; ``choices`` is None where anything goes."""

    param: Param
    choices: tuple[Any, ...] | None = field(repr=False)


async def fill_params(
    params: Sequence[Param],
    base: Mapping[str, Any] | None = None,
    *,
    texts: Mapping[str, Sequence[str]] | None = None,
    options: Mapping[str, Any] | None = None,
    timeout: float = 60.0,
) -> dict[str, Any]:
    """``base`` with a value for every parameter that has one: the ``source`` that a run is given.

        >>> module = load_module("my_sources/typeform.py")
        >>> source = await fill_params(module.config.params, texts={"forms": ["a,b", "c"]})
        >>> await run_source(module.stream, source, into=panoply)

    ``texts`` by parameter come first, then the environment and ``.env`` (``hostName`` is ``ASYNCCONN_SOURCE_HOST_NAME``
    there), ``base`` itself (taken as it is), the default. Functions that give choices get ``options`` and have
    ``timeout`` seconds each.

    Raises :class:`ParamsUnfit`: everything that is missing, else everything that does not fit.
    """
    filling = Filling(params, base, texts=texts, options=options, timeout=timeout)
    await filling.begin()
    filling.refuse_missing()
    await filling.question()
    return filling.filled()


class Filling:
    """:func:`fill_params` with somebody to ask for what is required and missing.

        >>> filling = Filling(module.config.params, texts={"user": ["ada"]})
        >>> await filling.begin()
        >>> while question := await filling.question():
        ...     filling.answer(convert(question.param, [input(question.param.title)], question.choices))
        >>> source = filling.filled()

    ``place`` says where whoever gives ``texts`` gives a parameter's. Nobody is asked when something does not fit, nor
    for what is hidden.
    """

    def __init__(
        self,
        params: Sequence[Param],
        base: Mapping[str, Any] | None = None,
        *,
        texts: Mapping[str, Sequence[str]] | None = None,
        options: Mapping[str, Any] | None = None,
        place: Callable[[Param], str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._source = dict(base or {})
        self._problems: list[str] = []
        self._params = {param.name: param for param in params}
        self._texts = dict(texts or {})
        self._options = dict(options or {})
        self._place = place or _variable
        self._timeout = timeout
        self._origins = {name: self._place(param) for name, param in self._params.items()}
        self._left: deque[Param] = deque()

    async def begin(self) -> None:
        """Look into the environment."""
        environment = await in_thread(lambda: {**dotenv_values(".env"), **os.environ})
        for name in self._params.keys() - self._texts.keys():
            variable = variable_of(name)
            if text := environment.get(variable):
                self._texts[name] = [text]
                self._origins[name] = variable
        self._left.extend(self._in_order())

    def refuse_missing(self) -> None:
        """Raise :class:`ParamsUnfit` for whatever is required and nowhere to be found."""
        missing = []
        for param in self._params.values():
            if param.required and not self._has_value(param):
                variable, where = variable_of(param.name), self._place(param)
                secret = f"{variable} (a secret)" if param.secret else variable
                missing.append(secret if where == variable else f"{where} (or {variable})")
        if missing:
            raise ParamsUnfit([f"required and not given: {', '.join(missing)}"])

    async def question(self) -> Question | None:
        """Fill in what there is, up to the next that somebody has to be asked for; None when there is no more."""
        while self._left:
            try:
                if (question := await self._fill(self._left[0])) is not None:
                    return question
            except ConfigError as problem:
                name = self._left[0].name
                origin = f"{self._origins[name]}: " if name in self._texts else ""
                self._problems.append(f"{origin}{problem.message}")
            self._left.popleft()
        return None

    def answer(self, value: Any) -> None:
        """The value of what :meth:`question` asked for."""
        self._source[self._left.popleft().name] = value

    def filled(self) -> dict[str, Any]:
        """All values. Raises :class:`ParamsUnfit` for those that do not fit."""
        if self._problems:
            raise ParamsUnfit(self._problems)
        return self._source

    def _in_order(self) -> list[Param]:
        """Each parameter after those that it depends on; nobody is asked before what was given has been checked."""
        left = sorted(self._params.values(), key=lambda param: (param.dynamic, not self._has_value(param)))
        found: list[Param] = []
        while left:
            waiting = {param.name for param in left}
            found.append(next(param for param in left if not waiting & {*param.dependencies}))
            left.remove(found[-1])
        return found

    async def _fill(self, param: Param) -> Question | None:
        texts = self._texts.get(param.name)
        ask = param.required and not param.hidden and not self._has_value(param)
        if texts is None and (self._in_base(param) or (param.default in (None, "") and not ask)):
            return None
        choices = await self._choices(param, needed=texts is not None or ask)
        if texts is not None:
            self._source[param.name] = convert(param, texts, choices)
        elif ask:
            return None if self._problems else Question(param, choices)
        elif not param.dynamic or choices:  # else what its choices depend on is not there
            self._source[param.name] = default_of(param, choices)
        return None

    async def _choices(self, param: Param, *, needed: bool) -> tuple[Any, ...] | None:
        if param.dynamic:
            unfilled = [name for name in param.dependencies if self._source.get(name) in (None, "")]
            if unfilled and not needed:
                return ()
            if unfilled:
                places = ", ".join(self._place(self._params[name]) for name in unfilled)
                raise ConfigError(f"needs {places} to be given as well")
        return await choices_of(param, self._source, self._options, timeout=self._timeout)

    def _in_base(self, param: Param) -> bool:
        return self._source.get(param.name) not in (None, "")

    def _has_value(self, param: Param) -> bool:
        texts = self._texts.get(param.name)
        if texts is not None:
            return any(text.strip() for text in texts)
        return self._in_base(param) or param.default not in (None, "")


def _variable(param: Param) -> str:
    return variable_of(param.name)
