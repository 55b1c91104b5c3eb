"""The options that several commands have, once; and how a command takes a group of them as one parameter."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from asyncconn.cli.output import count, remark, spoken
from asyncconn.core.files import replace_file
from asyncconn.core.row_formats import form_of_name
from asyncconn.errors import ConfigError
from asyncconn.rows import save_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.cli.sheets import Sheet
    from asyncconn.core.row_files import RowOptions

__all__ = [
    "DryRun",
    "FileForm",
    "Form",
    "Input",
    "Output",
    "Reading",
    "SenderName",
    "content",
    "group",
    "json_object",
    "known",
    "spread",
]

STANDARD = Path("-")  # standard input, or output

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]


# -- groups ------------------------------------------------------------------------------------------------------------


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as typer takes it: where it has a dataclass as a parameter, with an option for each of its fields.

        >>> @dataclass(frozen=True)
        ... class Where:
        ...     region: Annotated[str | None, typer.Option("--region")] = None
        >>> def rates(where: Where) -> None: ...
        >>> list(inspect.signature(spread(rates)).parameters)
        ['region']

    What cannot be is refused by the group's own ``__post_init__``, with ``ConfigError``.
    """
    own, more = list[inspect.Parameter](), list[inspect.Parameter]()
    groups: dict[str, tuple[Any, list[str]]] = {}
    for one in inspect.signature(command, eval_str=True).parameters.values():
        kind = one.annotation
        if not is_dataclass(kind):
            own.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        hints = get_type_hints(kind, include_extras=True)
        options = fields(kind)
        groups[one.name] = kind, [option.name for option in options]
        more += [
            inspect.Parameter(option.name, one.KEYWORD_ONLY, default=option.default, annotation=hints[option.name])
            for option in options
        ]

    @wraps(command)
    def made(**values: Any) -> None:
        taken = {name: kind(**{each: values.pop(each) for each in names}) for name, (kind, names) in groups.items()}
        command(**values, **taken)

    # Typer makes its options from what a function says about itself.
    parameters = [*own, *more]
    del made.__wrapped__
    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # any function may have one
    made.__annotations__ = {one.name: one.annotation for one in parameters}
    return made


def group(help: str, *commands: Callable[..., None]) -> typer.Typer:  # noqa: A002 - as typer calls it
    """A group of commands, each called as its function."""
    made = typer.Typer(help=help, no_args_is_help=True, add_completion=False)
    for command in commands:
        made.command(command.__name__.replace("_", "-"))(spread(command))
    return made


def known(given: Iterable[str], words: Iterable[str], option: str) -> list[str]:
    """What a filter asks for, spelt as in ``words``. Raises ``ConfigError`` that names them for one that is not there.

    >>> known(["failure"], ["SUCCESS", "FAILURE"], "--status")
    ['FAILURE']
    """
    there = {word.lower(): word for word in words}
    if strange := [word for word in given if word.lower() not in there]:
        raise ConfigError(f"{option}: there is no {strange[0]!r}; there are {', '.join(there.values())}")
    return [there[word.lower()] for word in given]


class SenderName(StrEnum):
    """How messages go to Panoply's queue."""

    FORM = "form"
    SQS = "sqs"


# -- rows out ----------------------------------------------------------------------------------------------------------


class Form(StrEnum):
    """What rows come out as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


@dataclass(frozen=True)
class Output:
    """Where rows go, and as what. Raises ``ConfigError`` for a place that cannot be, before anything is sent."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there, as its name ends; - is standard output."),
    ] = None
    form: Annotated[Form | None, typer.Option("--format", "-f", help="The form, whatever the ending.")] = None

    def __post_init__(self) -> None:
        path = self.path
        if path is None:
            return
        if self.form is None and form_of_name(path.name) is None and path.suffix.lower() != ".parquet":
            raise ConfigError(f"is {path} to be CSV or JSON? End its name so, or give --format")
        if path.is_dir() or not path.parent.is_dir():
            why = "it is a folder" if path.is_dir() else "there is no such folder"
            raise ConfigError(f"{path} cannot be written: {why}")

    @property
    def path(self) -> Path | None:
        """The file; None for standard output."""
        return None if self.output in (None, STANDARD) else self.output

    @property
    def shown(self) -> bool:
        """Whether rows are a table on standard output, for eyes."""
        return self.path is None and self.form in (None, Form.TABLE)

    def put(self, sheet: Sheet) -> None:
        """Show the rows, or write them. A file is the old or the new one, never a part."""
        if self.shown:
            sheet.show()
            return
        sys.stdout.flush()
        if self.form is Form.TABLE and self.path is not None:
            _replace(self.path, sheet.text())
        else:
            form: Any = None if self.form is None else self.form.value
            into: Any = self.path or sys.stdout.buffer
            asyncio.run(save_rows(into, sheet.records(), form=form, columns=sheet.columns))
        if self.path is not None and not spoken.quiet:
            remark(f"{count(len(sheet.rows), sheet.noun)} written to {self.path}", result=True)


def _replace(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as problem:
        raise ConfigError(f"{path} cannot be written: {problem.strerror or problem}") from None


# -- files in ----------------------------------------------------------------------------------------------------------


class FileForm(StrEnum):
    """What a file of rows is made of."""

    AUTO = "auto"
    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Input:
    """A file of rows in place of arguments."""

    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Rows as CSV or JSON, instead of arguments; - is standard input.",
        ),
    ] = None


@dataclass(frozen=True)
class Reading:
    """How a file of rows is to be read; what is not given is found."""

    form: Annotated[
        FileForm, typer.Option("--format", "-f", help="What is in FILE; auto goes by its name, else its beginning.")
    ] = FileForm.AUTO
    types: Annotated[
        bool, typer.Option("--types", help="CSV: make numbers, truth values and nulls of what looks like them.")
    ] = False
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", metavar="CHARACTER", help="CSV: what separates columns (or: tab); else it is found."
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option("--encoding", metavar="NAME", help="Of the file, such as cp1252; else UTF-8 or UTF-16, as found."),
    ] = None

    @property
    def how(self) -> RowOptions:
        """What ``read_rows`` takes."""
        form: Any = None if self.form is FileForm.AUTO else self.form.value
        return {"form": form, "types": self.types, "delimiter": self.delimiter, "encoding": self.encoding}


def content(file: Path) -> bytes:
    """All that is in a file, or in standard input for ``-``. Raises ``ConfigError`` where it cannot be read."""
    try:
        return sys.stdin.buffer.read() if file == STANDARD else file.read_bytes()
    except OSError as problem:
        raise ConfigError(f"{file}: {problem.strerror or problem}") from None


def json_object(file: Path) -> dict[str, Any]:
    """The one JSON object that is in it."""
    try:
        found = json.loads(content(file))
    except (ValueError, RecursionError) as problem:  # bytes that are no text among them
        if isinstance(problem, ConfigError):
            raise
        raise ConfigError(f"{file} is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{file} holds no JSON object")
    return found
