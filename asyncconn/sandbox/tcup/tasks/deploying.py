"""What comes with a deployment, and tasks as zip files.

Contract: tcup sections 7.2, 7.3 and 13.4.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.asking import read_json
from asyncconn.sandbox.tcup.contents import Gathering
from asyncconn.sandbox.tcup.multipart import parts
from asyncconn.sandbox.tcup.tasks.archives import check_zip, is_plain
from asyncconn.sandbox.tcup.tasks.jobs import Deployed
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.tcup.tasks.jobs import Task

__all__ = ["exported", "imported", "read_all", "read_deployment"]

_RUNTIMES = ("java", "cpp", "c", "py", "js", "spark")
_MOST_BYTES = 512 * 1024**2
_KEEP_BYTES = 64 * 1024**2
_DESCRIPTION = "task.json"


async def read_deployment(call: Call) -> tuple[Deployed, bool]:
    """The parts of a deployment, and whether it may replace one. Raises 400 and 413."""
    files: dict[str, bytes | None] = {}
    texts: dict[str, str] = {}
    name: str | None = None
    left = _MOST_BYTES
    async for part in parts(call):
        if part.name not in ("file", "dependentFiles", "inputFiles"):
            texts[part.name] = await part.text()
            continue
        gathering = Gathering(_KEEP_BYTES)
        async for piece in part:
            gathering.add(piece)
            if gathering.size > left:
                raise Refused(413, f"a deployment must have at most {_MOST_BYTES} bytes")
        left -= gathering.size
        chunks = gathering.done().chunks
        files[part.name] = None if chunks is None else b"".join(chunks)
        if part.name == "file":
            name = part.filename
    if name is None or not is_plain(name) or "/" in name:
        raise Refused(400, "the part file is missing, or its name is none")
    overwrite = texts.get("overwrite", "false").lower()
    if overwrite not in ("true", "false"):
        raise Refused(400, "overwrite must be true or false")
    for zipped in ("dependentFiles", "inputFiles"):
        if (data := files.get(zipped)) is not None:
            check_zip(data)
    deployed = Deployed(
        _runtime(texts.get("runTime", "")),
        name,
        files["file"],
        files.get("dependentFiles"),
        files.get("inputFiles"),
        _arguments(texts.get("arguments", "[]")),
        _nodes(texts.get("noOfNodes", "1")),
    )
    return deployed, overwrite == "true"


def _runtime(text: str) -> str:
    if text.lower() not in _RUNTIMES:
        raise Refused(400, f"runTime must be one of {', '.join(_RUNTIMES)}")
    return text.lower()


def _arguments(text: str) -> tuple[str, ...]:
    value = read_json(text.encode())
    if not isinstance(value, list) or not all(isinstance(one, str) and "\0" not in one for one in value):
        raise Refused(400, "arguments must be a JSON list of texts")
    return tuple(value)


def _nodes(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text[:9]) < 1:
        raise Refused(400, "noOfNodes must be a whole number, 1 or more")
    return int(text[:9])


async def read_all(call: Call) -> bytes:
    """A body that comes in pieces. Raises 413."""
    gathering = Gathering(_KEEP_BYTES)
    if call.pieces is not None:
        async for piece in call.pieces:
            gathering.add(piece)
            if gathering.size > _KEEP_BYTES:
                raise Refused(413, f"this sandbox takes at most {_KEEP_BYTES} bytes")
    return b"".join(gathering.done().chunks or ())


def exported(task: Task) -> bytes:
    """The task as a zip. Raises 409 for one that was not kept."""
    deployed = task.deployed
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        about: dict[str, Any] = {
            "jobName": task.name,
            "jobType": task.type,
            "schedule": None if task.schedule is None else task.schedule.document,
            "description": task.description,
        }
        if deployed is not None:
            if deployed.code is None:
                raise Refused(409, "this sandbox did not keep so large a program")
            about |= {
                "runTime": deployed.runtime,
                "fileName": deployed.name,
                "arguments": list(deployed.arguments),
                "noOfNodes": deployed.nodes,
            }
            archive.writestr("file", deployed.code)
            for name, data in (("dependentFiles.zip", deployed.dependents), ("inputFiles.zip", deployed.inputs)):
                if data is not None:
                    archive.writestr(name, data)
        archive.writestr(_DESCRIPTION, json.dumps(about))
    return made.getvalue()


def imported(data: bytes) -> tuple[dict[str, Any], Deployed | None]:
    """What :func:`exported` made: the task's description, and what was deployed. Raises 400."""
    check_zip(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = read_json(members.get(_DESCRIPTION, b""))
    if not isinstance(about, dict) or not isinstance(about.get("jobName"), str):
        raise Refused(400, "the zip holds no task")
    if "file" not in members:
        return about, None
    name = about.get("fileName")
    if not isinstance(name, str) or not is_plain(name) or "/" in name:
        raise Refused(400, "the name of the task's file is none")
    for zipped in ("dependentFiles.zip", "inputFiles.zip"):
        if zipped in members:
            check_zip(members[zipped])
    deployed = Deployed(
        _runtime(str(about.get("runTime"))),
        name,
        members["file"],
        members.get("dependentFiles.zip"),
        members.get("inputFiles.zip"),
        _arguments(json.dumps(about.get("arguments", []))),
        _nodes(str(about.get("noOfNodes", 1))),
    )
    return about, deployed
