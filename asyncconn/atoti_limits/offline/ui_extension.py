"""The UI extension inside a JAR, extracted to where a session can use it.

Contract: limits section 8.2.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.atoti_limits.errors import UiExtensionError
from asyncconn.atoti_limits.offline.ui_archive import Archive, Bounds
from asyncconn.atoti_limits.offline.urls import check_url
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    import zipfile

__all__ = ["Bounds", "UiExtension", "extract_ui_extension", "extract_ui_extension_sync"]

Layout = Literal["flat", "split"]

_MANIFEST = "manifest.json"
_BUILDS = ("production", "development")
_PLACEHOLDER = b"_LIMITS_SERVER_URL"
_LONGEST_MANIFEST = 1024 * 1024
_UNSAFE_IN_SCRIPTS = frozenset("\"'`<>{}$")


@dataclass(frozen=True, slots=True)
class UiExtension:
    """An extracted extension: ``app_extensions={extension.name: extension.directory}`` lets a session use it.

    ``layout`` is ``flat``, or ``split`` into a development and a production build; ``entry`` is the script's name in
    each. ``replaced`` counts the scripts in which the Limits server's URL was filled in.
    """

    name: str
    directory: Path
    entry: str
    layout: Layout
    replaced: int = 0


async def extract_ui_extension(
    jar: str | Path,
    target: str | Path | None = None,
    *,
    prefix: str | None = None,
    limits_url: str | None = None,
    generation: int | None = None,
    bounds: Bounds | None = None,
) -> UiExtension:
    """Extract the UI extension of a JAR to ``target``, in a thread. Without a target to a new temporary directory.

    ``target`` must not exist or be empty, and its parent must exist. ``prefix`` says where in the archive the extension
    is; without it, it is looked for. ``limits_url`` is filled in for its placeholder in the scripts; that there is none
    is an error in ``generation`` 3. ``bounds`` limits what an archive may hold.

        >>> extension = await extract_ui_extension("limits-extension.jar", "ui")
        >>> extension.name
        '@atoti/limits-app-extension'

    The target is there complete or not at all, directories with mode 0700 and files with 0600. Cancelling waits for the
    thread to stop and clean up. Raises ``UiExtensionError`` for every archive that is refused, and ``ConfigError`` for
    other arguments. Contract: limits section 8.2.
    """
    stop = threading.Event()
    job = _Job(Path(jar), _path(target), prefix, limits_url, generation, bounds or Bounds(), stop)
    job.check()
    work = asyncio.ensure_future(asyncio.to_thread(job.run))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks for it any more
        await asyncio.wait({work})
        raise


def extract_ui_extension_sync(
    jar: str | Path,
    target: str | Path | None = None,
    *,
    prefix: str | None = None,
    limits_url: str | None = None,
    generation: int | None = None,
    bounds: Bounds | None = None,
) -> UiExtension:
    """:func:`extract_ui_extension` for programs without an event loop, such as the script that starts a session."""
    job = _Job(Path(jar), _path(target), prefix, limits_url, generation, bounds or Bounds(), threading.Event())
    job.check()
    return job.run()


def _path(target: str | Path | None) -> Path | None:
    return None if target is None else Path(target)


@dataclass(frozen=True, slots=True)
class _Root:
    """Where in the archive an extension was found, and what its manifest says."""

    prefix: str
    layout: Layout
    name: str
    entry: str


class _Stopped(Exception):
    """The caller does not want it any more."""


@dataclass(frozen=True, slots=True)
class _Job:
    jar: Path
    target: Path | None
    prefix: str | None
    limits_url: str | None
    generation: int | None
    bounds: Bounds
    stop: threading.Event

    def check(self) -> None:
        """What can be said without touching a file."""
        if self.generation not in (None, 2, 3):
            raise ConfigError(f"generation must be 2 or 3 for a UI extension, not {self.generation!r}")
        if self.limits_url is not None:
            check_url(self.limits_url, "limits_url")
            if _UNSAFE_IN_SCRIPTS & set(self.limits_url):
                raise ConfigError("limits_url lands inside scripts: it takes no quotes, angle or curly brackets, $")

    def run(self) -> UiExtension:
        if self.target is not None:
            _check_target(self.target)
        with Archive(self.jar, self.bounds) as archive:
            root = self._root(archive)
            files = archive.under(root.prefix)
            for entry in files.values():  # all of it, before anything is written
                self._contents(archive, entry, keep=False)
            try:
                return self._extract(archive, root, files)
            except OSError as error:
                raise UiExtensionError(f"the extension cannot be written: {error}") from error

    def _extract(self, archive: Archive, root: _Root, files: dict[str, zipfile.ZipInfo]) -> UiExtension:
        if self.target is None:
            written = Path(tempfile.mkdtemp(prefix="asyncconn-limits-"))
        else:
            written = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}."))
        try:
            replaced = 0
            for name, entry in files.items():
                data = self._contents(archive, entry)
                if self.limits_url is not None and name.endswith(".js") and _PLACEHOLDER in data:
                    data = data.replace(_PLACEHOLDER, self.limits_url.encode())
                    replaced += 1
                _write(written, name, data)
            if self.generation == 3 and self.limits_url is not None and not replaced:
                raise UiExtensionError(f"no script of the extension has the placeholder {_PLACEHOLDER.decode()}")
            directory = written if self.target is None else written.rename(self.target)
        except BaseException:
            shutil.rmtree(written, ignore_errors=True)
            raise
        return UiExtension(root.name, directory, root.entry, root.layout, replaced)

    def _contents(self, archive: Archive, entry: zipfile.ZipInfo, *, keep: bool = True) -> bytes:
        pieces = []
        for piece in archive.inflate(entry):
            if self.stop.is_set():
                raise _Stopped
            if keep:
                pieces.append(piece)
        return b"".join(pieces)

    # -- finding it ----------------------------------------------------------------------------------------------------

    def _root(self, archive: Archive) -> _Root:
        prefix = None if self.prefix is None else f"{self.prefix.strip('/')}/".removeprefix("/")
        found: dict[str, _Root] = {}
        for name, entry in archive.files.items():
            at, _, last = name.rpartition("/")
            if last != _MANIFEST or (prefix is not None and not name.startswith(prefix)):
                continue
            root = self._manifest(archive, f"{at}/" if at else "", entry, prefix)
            if root is None or (prefix is not None and root.prefix != prefix):
                continue
            known = found.setdefault(root.prefix, root)
            if known != root:
                raise UiExtensionError(f"the builds of the extension at {root.prefix!r} differ: {known} and {root}")
        if not found:
            where = "" if self.prefix is None else f" at {self.prefix!r}"
            raise UiExtensionError(f"no UI extension in {self.jar.name}{where}: no manifest.json with name and entry")
        if len(found) == 1:
            return next(iter(found.values()))
        ours = [root for root in found.values() if "limits" in root.name.lower()]
        if len(ours) != 1:
            listed = ", ".join(f"{root.name} at {root.prefix!r}" for root in found.values())
            raise UiExtensionError(f"several UI extensions in {self.jar.name}, say which with prefix: {listed}")
        return ours[0]

    def _manifest(self, archive: Archive, parent: str, entry: zipfile.ZipInfo, prefix: str | None) -> _Root | None:
        """What a manifest says; None if it is another kind of manifest."""
        if entry.file_size > _LONGEST_MANIFEST:
            return None
        contents = self._contents(archive, entry)
        try:
            said: Any = json.loads(contents)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict):
            return None
        name, script = said.get("name"), said.get("entry")
        if not isinstance(name, str) or not name or not isinstance(script, str) or parent + script not in archive.files:
            return None
        above, _, build = parent.removesuffix("/").rpartition("/")
        if build in _BUILDS and parent != prefix:
            return _Root(f"{above}/" if above else "", "split", name, script)
        return _Root(parent, "flat", name, script)


def _check_target(target: Path) -> None:
    try:
        if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
            raise UiExtensionError(f"{target} is there already, and is not an empty directory")
        if not target.parent.is_dir():
            raise UiExtensionError(f"{target.parent} is not a directory")
    except OSError as error:
        raise UiExtensionError(f"{target} cannot be used: {error}") from error


def _write(directory: Path, name: str, data: bytes) -> None:
    path = directory
    *parents, last = name.split("/")
    for parent in parents:
        path /= parent
        path.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(path / last, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
