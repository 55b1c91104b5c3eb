"""CSV files in and out: uploads and the export. Contract: limits sections 10.3 to 10.5, 11.5."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import aiohttp

from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.atoti_limits.models import UploadReport
from asyncconn.atoti_limits.offline import csv_formats
from asyncconn.atoti_limits.offline.csv_formats import CsvTable
from asyncconn.atoti_limits.resources.base import Resource, ids
from asyncconn.atoti_limits.versions import LATEST, Version
from asyncconn.atoti_limits.wire import document
from asyncconn.core.csv_text import csv_reader
from asyncconn.core.paths import file_path
from asyncconn.errors import ConfigError

__all__ = ["Export", "Upload", "UploadPlan", "export", "plan_upload"]

if TYPE_CHECKING:
    from asyncconn.atoti_limits.resources.base import Caller

_SECONDS = 120.0  # for a file to be sent, checked and stored
_LEGACY = "1.1"  # what is assumed of a server of 1.x


class Upload(Resource):
    """``limits.upload``: whole CSV files, all or nothing.

    The source is a path (``Path``, or a text without a line break), the CSV itself (text with line breaks, or bytes in
    UTF-8), rows as the columns call them, or a pandas frame. Files and texts are sent as they are; rows and frames are
    written in the format of ``version`` (that of the Limits server) and checked before.

        >>> await limits.upload.structures("limit_structures.csv")
        >>> await limits.upload.limits([{"Structure ID": "id_1", "Limit ID": "lim_1", ...}])

    Sent again only when it surely did not arrive. Raises ``LimitsValidationError`` (rows and columns in ``details``),
    ``LimitsConflict`` for limits that overlap; ``timeout`` is in seconds.
    """

    async def structures(self, source: Any, *, version: str = LATEST, timeout: float = _SECONDS) -> UploadReport:
        """``limit_structures.csv``: before the limits that refer to them."""
        return await self._send("upload.structures", "limit_structures.csv", source, version, timeout)

    async def limits(self, source: Any, *, version: str = LATEST, timeout: float = _SECONDS) -> UploadReport:
        """``limits_approve.csv``: they become APPROVED at once, whatever the structure's workflow."""
        return await self._send("upload.limits", "limits_approve.csv", source, version, timeout)

    async def _send(self, name: str, file: str, source: Any, version: str, timeout: float) -> UploadReport:
        write = csv_formats.write_structures if name == "upload.structures" else csv_formats.write_limits

        def written(rows: Sequence[Any]) -> str:
            if self._caller.paths.version == "v1":
                raise ConfigError("the format of Limits 1.x is read and not written here: give the file or its text")
            return write(rows, version)

        body = await _csv(source, written)

        def form() -> aiohttp.FormData:
            made = aiohttp.FormData()
            made.add_field("file", body, filename=file, content_type="text/csv")
            return made

        answer = await self._caller.request(name, data=form, timeout=timeout)
        # What Limits 1.x answers is not documented.
        found = document(answer) if answer.body.strip() else None
        return UploadReport.model_validate(found) if isinstance(found, dict) else UploadReport()


async def _csv(source: Any, write: Callable[[Sequence[Any]], str]) -> bytes:
    """The bytes of a file to upload. Raises ``ConfigError`` for a source that is none."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str) and "\n" in source:
        return source.encode()
    if isinstance(source, str | os.PathLike):
        try:
            return await asyncio.to_thread(Path(source).read_bytes)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the file to upload cannot be read: {error}") from error
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        source = _rows_of(source)
    if not isinstance(source, Sequence) or not source:
        raise ConfigError(f"there is nothing to upload in this {type(source).__name__}")
    return (await asyncio.to_thread(write, source)).encode()


def _rows_of(frame: Any) -> list[dict[str, Any]]:
    """The rows of a pandas frame; what is missing there is an empty cell."""
    return list(frame.astype(object).where(frame.notna(), None).to_dict("records"))


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """A file that will be uploaded: its ``kind``, and how many ``rows`` it has (None: nobody has looked)."""

    kind: Literal["structures", "limits"]
    rows: int | None
    version: str
    _upload: Upload = field(repr=False)
    _data: bytes = field(repr=False)

    async def run(self, *, timeout: float = _SECONDS) -> UploadReport:
        """Send it: all of it is stored or, when a row is refused, nothing. See :class:`Upload`."""
        send = self._upload.structures if self.kind == "structures" else self._upload.limits
        return await send(self._data, version=self.version, timeout=timeout)


async def plan_upload(
    upload: Upload,
    source: str | os.PathLike[str] | bytes,
    *,
    kind: Literal["structures", "limits"] | None,
    version: str,
    check: bool,
) -> UploadPlan:
    """See ``AtotiLimits.plan_upload``."""
    data = source if isinstance(source, bytes) else await _read(file_path(source, "the file to upload"))
    if not _has_structures(version):
        if kind == "structures":
            raise ConfigError(f"Limits {version} has no structures")
        kind, read = "limits", csv_formats.read_legacy_limits
    else:
        kind = kind or _kind_of(data)
        read = csv_formats.read_structures if kind == "structures" else csv_formats.read_limits
    rows = len(await asyncio.to_thread(read, data, version)) if check else None
    return UploadPlan(kind, rows, version, upload, data)


async def _read(file: Path) -> bytes:
    try:
        return await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error


def _kind_of(data: bytes) -> Literal["structures", "limits"]:
    """What the header is that of."""
    first = data.decode("utf-8-sig", "replace").lstrip("\r\n").partition("\n")[0]
    header = set(next(csv_reader([first]), []))
    structures, limits = "Scope Keys" in header, "Limit ID" in header
    if structures == limits:
        raise ConfigError("the columns do not tell whether these are structures or limits: give the kind")
    return "structures" if structures else "limits"


@dataclass(frozen=True, slots=True)
class Export:
    """Two CSV texts, in the format of ``version``, and their rows. Limits 1.x has no structures: that text is empty."""

    structures_csv: str
    limits_csv: str
    version: str = LATEST

    def structures(self) -> CsvTable:
        """The structures as a table of rows. Raises ``LimitsValidationError`` when they do not fit the format."""
        return csv_formats.read_structures(self.structures_csv, self.version)

    def limits(self) -> CsvTable:
        """The limits as a table of rows. Raises ``LimitsValidationError`` when they do not fit the format."""
        read = csv_formats.read_limits if _has_structures(self.version) else csv_formats.read_legacy_limits
        return read(self.limits_csv, self.version)


async def export(caller: Caller, structure_ids: Any, *, version: str, timeout: float) -> Export:
    """See ``AtotiLimits.export``."""
    wanted = ids(structure_ids, "structure_ids") if structure_ids else []
    old = caller.paths.version == "v1"
    if old and wanted:
        raise ConfigError("Limits 1.x has no structures: export everything, without ids")
    body = {} if old else {"structureIds": wanted}
    found = document(await caller.request("export", json=body, timeout=timeout))
    texts = found if isinstance(found, dict) else {}
    structures, limits = texts.get("structures", "" if old else None), texts.get("limits")
    if not isinstance(structures, str) or not isinstance(limits, str):
        raise LimitsProtocolError("export: the answer must hold two CSV texts, structures and limits")
    return Export(structures, limits, _LEGACY if old and version == LATEST else version)


def _has_structures(version: str) -> bool:
    return Version.parse(version, "the version of Limits").release >= (2,)
