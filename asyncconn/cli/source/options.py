"""The options of ``asyncconn source run MODULE``: our own, and one for each parameter of the module."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand

from asyncconn.cli.app import with_words
from asyncconn.cli.output import plain
from asyncconn.errors import ConfigError
from asyncconn.panoply.sources.filling import variable_of, words_of
from asyncconn.panoply.sources.module import load_module
from asyncconn.panoply.sources.params import label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncconn.panoply.sources.module import SourceModule
    from asyncconn.panoply.sources.params import Param

__all__ = ["Given", "RunCommand", "SourceOption", "about", "load_here", "options_of"]

_SHOWN = 8  # choices in a help text


@dataclass(frozen=True, slots=True)
class SourceOption:
    """A parameter on the command line: its ``flag``, and the environment ``variable`` that may hold it as well."""

    param: Param
    flag: str

    @property
    def variable(self) -> str:
        """Of the environment."""
        return variable_of(self.param.name)

    @property
    def where(self) -> str:
        """Where a user gives it; a secret never on the command line."""
        return self.variable if self.param.secret else self.flag


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about a module: ``texts`` by parameter, for those that were given."""

    module: SourceModule
    options: tuple[SourceOption, ...]
    texts: dict[str, list[str]] = field(default_factory=dict)


def load_here(name: str) -> SourceModule:
    """The module; one in the current folder is found too, after all that is installed."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    return load_module(name)


def options_of(module: SourceModule, command: Any) -> tuple[SourceOption, ...]:
    """``hostName`` becomes ``--host-name``; where the ``command`` has that option itself, ``--param-host-name``."""
    taken = {"--help", *(opt for one in command.params if one.param_type_name == "option" for opt in one.opts)}
    found: dict[str, SourceOption] = {}
    for param in module.config.params:
        try:
            key = "-".join(words_of(param.name))
        except ConfigError as error:
            raise ConfigError(f"{module.name}: {error.message}") from None
        flag = f"--param-{key}" if f"--{key}" in taken else f"--{key}"
        if flag in found:
            first = found[flag].param.name
            raise ConfigError(f"{module.name}: {first!r} and {param.name!r} are both {flag}: rename one of them")
        found[flag] = SourceOption(param, flag)
    return tuple(found.values())


# -- the command -------------------------------------------------------------------------------------------------------


class RunCommand(TyperCommand):
    """Knows its options when it knows the module: until then it is a command with our own alone."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As of any command, after the module has been loaded and its options added."""
        args = list(args)
        own = [one for one in self.params if one.param_type_name == "option"]
        at = _module_at(args, {opt: _is_flag(option) for option in own for opt in option.opts})
        if at is None or parent is None:
            return super().make_context(info_name, args, parent, **extra)
        module = load_here(args[at])
        options = options_of(module, self)
        _refuse_secrets(args, options)
        assert self.callback is not None  # noqa: S101 - it was made from a function
        command = with_words(_command(inspect.unwrap(self.callback), module, options))
        return command.make_context(info_name, args, parent, **extra)


def _is_flag(option: Any) -> bool:
    return bool(option.is_flag or option.count)


def _module_at(args: list[str], flags: dict[str, bool]) -> int | None:
    """Where MODULE is: the first word that is no option of ours and no value of one. Takes ``--`` out."""
    at = 0
    found: int | None = None
    while at < len(args) and found is None:
        word = args[at]
        name = word.partition("=")[0]
        if word == "--":
            del args[at]
            continue
        if not word.startswith("-"):
            found = at
        elif name.startswith("--") and name != "--help" and name not in flags:
            raise typer.BadParameter(f"MODULE comes first, then its options: found {name} before it")
        elif word == name and flags.get(name) is False:
            at += 1
        at += 1
    if found is not None and "--" in args[found:]:
        del args[args.index("--", found)]
    return found


def _refuse_secrets(args: Sequence[str], options: Sequence[SourceOption]) -> None:
    names = {word.partition("=")[0] for word in args}
    for option in options:
        if option.param.secret and option.flag in names:
            raise typer.BadParameter(
                f"{option.flag} is never taken from the command line, where others can see it: set {option.variable}, "
                "or leave it out and be asked on a terminal"
            )


def _command(run: Callable[..., None], module: SourceModule, options: tuple[SourceOption, ...]) -> Any:
    """``run`` with an option for each parameter that may be given; it finds them as ``ctx.obj``, a :class:`Given`."""
    own = list(inspect.signature(run, eval_str=True).parameters.values())
    fields = {f"source_option_{number}": option for number, option in enumerate(options) if not option.param.secret}
    added = [_parameter(name, option, module) for name, option in fields.items()]

    def generated(**values: Any) -> None:
        given = {option.param.name: values.pop(name) for name, option in fields.items()}
        texts = {name: [text] if isinstance(text, str) else list(text) for name, text in given.items() if text}
        values["ctx"].obj = Given(module, options, texts)
        run(**values)

    # Typer makes its options from what a function says about itself.
    parameters = [*own, *added]
    generated.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # any function may have one
    generated.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    secrets = [f"{option.variable} ({_words(option)})" for option in options if option.param.secret]
    more = f"\n\nFrom the environment, or asked for on a terminal: {', '.join(secrets)}." if secrets else ""
    generated.__doc__ = escape(f"Run {plain(module.config.title)} into Panoply.{more}")
    made = typer.Typer(add_completion=False)
    made.command("run")(generated)
    return typer.main.get_command(made)


def _parameter(name: str, option: SourceOption, module: SourceModule) -> inspect.Parameter:
    many = option.param.kind == "list"
    info = typer.Option(
        option.flag,
        help=escape(_help(option)),
        metavar={"number": "NUMBER", "switch": "true|false", "list": "TEXT,..."}.get(option.param.kind, "TEXT"),
        show_default=False,
        hidden=option.param.hidden,
        rich_help_panel=escape(f"Options of {plain(module.config.title)}"),
    )
    kind: Any = list[str] | None if many else str | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info])


def _words(option: SourceOption) -> str:
    param = option.param
    return plain(param.title or param.help or param.name)


def _help(option: SourceOption) -> str:
    param = option.param
    notes = [] if param.default in (None, "", [], ()) else [f"default: {param.default}"]
    if param.required:
        notes.append("required")
    return about(param) + (f" ({plain('; '.join(notes))})" if notes else "")


def about(param: Param) -> str:
    """What it is, and what may be chosen, on one line."""
    words = [text.rstrip(". ") for text in (param.title, param.help or param.description, param.placeholder) if text]
    if isinstance(param.values, tuple):
        names = [label(choice) for choice in param.values]
        words.append(f"one of {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}")
    if param.dynamic:
        words.append(f"choices depend on {', '.join(param.dependencies)}" if param.dependencies else "choices")
    return plain(". ".join(words))
