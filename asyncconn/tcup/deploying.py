"""The form that a task is deployed in: the executable, then the archives. Contract: tcup sections 7.3, 13.10."""

from __future__ import annotations

import mimetypes
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import orjson

from asyncconn.errors import ConfigError
from asyncconn.http.multipart import Multipart
from asyncconn.http.upload import Source, chunks_of
from asyncconn.tcup.archives import packed
from asyncconn.tcup.names import is_plain

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

__all__ = ["RUNTIMES", "body_of", "form_of"]

#: What a task can be written for.
RUNTIMES = ("java", "cpp", "c", "py", "js", "spark")

_ZIP = "application/zip"


def form_of(name: str, runtime: str, *, arguments: Sequence[str], overwrite: bool, nodes: int) -> Multipart:
    """The fields of the form, and its file, whose ``name`` it is. Raises ``ConfigError`` for what cannot be."""
    word = runtime.lower()
    if word not in RUNTIMES:
        raise ConfigError(f"the runtime is one of {', '.join(RUNTIMES)}, not {runtime!r}")
    if isinstance(arguments, str) or not all(isinstance(one, str) for one in arguments):
        raise ConfigError("the arguments are a list of texts")
    if isinstance(nodes, bool) or nodes < 1:
        raise ConfigError(f"a task runs on at least one node, not {nodes!r}")
    if not is_plain(name) or any(mark in name for mark in '%\\"<>:|?*'):
        raise ConfigError(f"the executable's name must be a plain one, not {name!r}")  # or it may be taken for another
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    fields = {
        "runTime": word,
        "arguments": orjson.dumps(list(arguments)).decode(),
        "overwrite": "true" if overwrite else "false",
        "noOfNodes": str(nodes),
    }
    return Multipart("file", name, content_type=kind, fields=fields)


@asynccontextmanager
async def body_of(
    form: Multipart, file: Path, archives: Mapping[str, str | os.PathLike[str] | None]
) -> AsyncGenerator[Source, None]:
    """What to upload in that form: the file, and a zip file for each part that there is something for."""
    async with AsyncExitStack() as stack:
        made = {
            part: await stack.enter_async_context(packed(source, part))
            for part, source in archives.items()
            if source is not None
        }
        yield partial(_together, form, file, made) if made else file


async def _together(form: Multipart, file: Path, archives: Mapping[str, Path]) -> AsyncGenerator[bytes, None]:
    make, _ = await chunks_of(file)
    async for piece in make():
        yield piece
    for part, archive in archives.items():
        yield b"\r\n" + Multipart(part, f"{part}.zip", content_type=_ZIP, boundary=form.boundary).head
        make, _ = await chunks_of(archive)
        async for piece in make():
            yield piece
