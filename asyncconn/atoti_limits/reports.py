"""What a look at versions, cubes and servers has found: plain data, which errors carry, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CompatibilityReport", "CubeCheck", "PreflightReport", "Rest", "StatusReport", "StatusStep", "Verdict"]

Rest = Literal["v1", "v2"]
Verdict = Literal["ok", "ambiguous", "unverified", "missing"]


@dataclass(frozen=True, slots=True)
class CubeCheck:
    """Whether Limits can evaluate a cube at a date.

    ``status``: ``ok``; ``ambiguous``, when several hierarchies may be meant; ``unverified``, when there are slicing
    hierarchies and none looks like a date, which discovery cannot tell; ``missing``, with which connecting is in vain.
    ``candidates`` are written ``level@hierarchy@dimension``. A cube in several catalogs is reported once, under the
    first; the others are ``also_in``.
    """

    catalog: str
    cube: str
    status: Verdict
    candidates: tuple[str, ...]
    message: str
    also_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """What the preflight found. A step that was switched off leaves its field as it is here."""

    session_version: str | None = None
    ping: bool = False
    cubes: tuple[CubeCheck, ...] = ()
    limits: bool = False
    limits_version: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusStep:
    """``what`` was looked at, whether it is ``ok`` (None: it was not asked), and what was ``found``, in words."""

    what: str
    ok: bool | None
    found: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What works: session, credential, cubes, Limits server, known to Limits, connected, in this order."""

    steps: tuple[StatusStep, ...]

    @property
    def connected(self) -> bool:
        """Whether session and Limits server are connected."""
        return self.steps[-1].ok is True


@dataclass(frozen=True, slots=True)
class CompatibilityReport:
    """``verdict`` is ``incompatible`` with errors, ``unknown`` with warnings only, else ``compatible``.

    ``generation`` is the way of connecting that the versions belong to, ``rest_version`` that of the Limits server's
    paths; both None where nothing given tells.
    """

    generation: int | None
    verdict: Literal["compatible", "unknown", "incompatible"]
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    rest_version: Rest | None
