"""Which versions work together, as far as anybody has written it down.

Contract: limits section 14.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from asyncconn.atoti_limits.reports import CompatibilityReport, Rest
from asyncconn.atoti_limits.versions import Version
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "JAVA_AUTOCONFIG_ARTIFACTS",
    "KNOWN",
    "LIMITS_SERVER_JAVA",
    "SERVERS_BY_LIMITS",
    "SERVER_OF_PYTHON",
    "Known",
    "check_compatibility",
    "rest_version",
]


@dataclass(frozen=True, slots=True)
class Known:
    """Versions that are documented to work together. ``java`` and ``python`` are the least that is needed."""

    generation: int
    limits: str
    atoti_python: str
    rest: Rest
    plugin: str | None = None
    atoti_server: str | None = None
    java: str | None = None
    python: str | None = None


#: Every documented combination, of all three generations.
KNOWN = (
    Known(1, "1.1.0", "0.6.4", "v1", plugin="0.6.4", atoti_server="5.11.x"),
    Known(1, "2.0.0", "0.7.4", "v2", plugin="0.7.4", atoti_server="6.0.4"),
    Known(1, "3.2.0-beta", "0.8.10", "v2", plugin="0.8.10"),
    Known(1, "3.3.0", "0.8.11", "v2", plugin="0.8.11"),
    Known(1, "3.3.1", "0.8.13", "v2", plugin="0.8.13"),
    Known(1, "3.3.1", "0.8.14", "v2", plugin="0.8.14"),
    Known(2, "4.2.1", "0.9.12", "v2", java=">=21", python=">=3.10"),
    Known(3, "6.2.x", "6.2.x", "v2", python=">=3.12"),
)

#: The Atoti servers that a Limits line works with.
SERVERS_BY_LIMITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "1.0": ("5.9.x", "5.10.x", "5.11.x"),
        "1.1": ("5.9.x", "5.10.x", "5.11.x"),
        "2.0": ("5.9.x", "5.10.x", "5.11.x", "6.0.x"),
        "3.0": ("5.9.x", "5.10.x", "5.11.x", "6.0.x"),
        "3.1": ("5.9.x", "5.10.x", "5.11.x", "6.0.x"),
        "3.2": ("5.9.x", "5.10.x", "5.11.x", "6.0.x", "6.0.x-sb3"),
        "3.3": ("5.11.x", "6.0.x", "6.0.x-sb3"),
        "4.0": ("6.0.x", "6.0.x-sb3", "6.1.x"),
        "4.1": ("6.0.x", "6.0.x-sb3", "6.1.x"),
        "4.2": ("6.0.x", "6.0.x-sb3", "6.1.x"),
    }
)

#: The artifact with which a Java server connects, by the line of that server.
JAVA_AUTOCONFIG_ARTIFACTS: Mapping[str, str] = MappingProxyType(
    {
        "5.9.x": "limits-auto-config-ap59",
        "5.10.x": "limits-auto-config-ap510",
        "5.11.x": "limits-auto-config-ap511",
        "6.0.x": "limits-auto-config-ap60",
        "6.0.x-sb3": "limits-auto-config-ap60-sb3",
        "6.2.x": "limits-auto-config-62",
    }
)

#: The Java that a line of Limits servers is built for.
LIMITS_SERVER_JAVA: Mapping[str, str] = MappingProxyType({"4.0": "21"})

#: The Atoti server inside a release of Atoti Python.
SERVER_OF_PYTHON: Mapping[str, str] = MappingProxyType({"0.9.12": "6.1.16", "0.9.16": "6.1.23", "6.2.2": "6.2.2"})

#: What a release of Atoti Python insists on when it starts, whatever its guide says.
_EXACT_JAVA = {"0.9.12": 21}


def rest_version(limits: str | Version) -> Rest:
    """``v1`` for Limits before 2.0.0, else ``v2``. Raises ``ConfigError`` for what is no version."""
    return "v1" if Version.parse(limits, "limits").release[0] < 2 else "v2"


def check_compatibility(
    limits: str | None = None,
    plugin: str | None = None,
    atoti_python: str | None = None,
    atoti_server: str | None = None,
    java: str | None = None,
    python: str | None = None,
    *,
    generation: int | None = None,
    strict: bool = False,
) -> CompatibilityReport:
    """Judge the versions given against what is documented.

    A pair that nobody has documented is a warning; with ``strict`` it is an error. Always an error: a plugin of
    another version than Atoti Python, the plugin with Atoti Python 0.9 or later, and a Java or Python that is too old
    (or, for 0.9.12, another Java than 21).

        >>> check_compatibility("4.2.1", atoti_python="0.9.12").verdict
        'compatible'

    Raises ``ConfigError`` for what is no version or generation. Contract: limits section 14.
    """
    if generation not in (None, 1, 2, 3):
        raise ConfigError(f"generation must be 1, 2 or 3, not {generation!r}")
    given = _Given(
        *(
            None if text is None else Version.parse(text, what)
            for what, text in (
                ("limits", limits),
                ("plugin", plugin),
                ("atoti_python", atoti_python),
                ("atoti_server", atoti_server),
                ("java", java),
                ("python", python),
            )
        )
    )
    generation = generation or given.generation()
    errors = list(given.impossible(generation))
    unknown = list(given.undocumented(generation))
    if strict:
        errors, unknown = errors + unknown, []
    verdict: Literal["compatible", "unknown", "incompatible"] = "unknown" if unknown else "compatible"
    return CompatibilityReport(
        generation, "incompatible" if errors else verdict, tuple(unknown), tuple(errors), given.rest(generation)
    )


@dataclass(frozen=True, slots=True)
class _Given:
    limits: Version | None
    plugin: Version | None
    atoti_python: Version | None
    atoti_server: Version | None
    java: Version | None
    python: Version | None

    def generation(self) -> int | None:
        """What the versions say; the Limits server's has the last word, except against a plugin, which is only one."""
        if self.plugin is not None and self.plugin.release < (0, 9):
            return 1
        for version, second, third in (
            (self.limits, (4, 2), (6, 2)),
            (self.atoti_python, (0, 9), (6, 2)),
            (self.plugin, (0, 9), (6, 2)),
        ):
            if version is None or (version is self.limits and (4, 0) <= version.release < (4, 2)):
                continue  # Limits 4.0 and 4.1 have none of the three
            if version.release < second:
                return 1
            return 2 if version.release < third else 3
        return None

    def rest(self, generation: int | None) -> Rest | None:
        if self.limits is not None:
            return rest_version(self.limits)
        if generation in (2, 3):
            return "v2"
        plugin = self.plugin or self.atoti_python
        if plugin is None:
            return None
        found = {known.rest for known in _rows(generation) if plugin.within(known.plugin or known.atoti_python)}
        if not found and plugin >= Version.parse("0.7.4"):
            return "v2"
        return found.pop() if found else None

    def impossible(self, generation: int | None) -> Iterator[str]:
        """What is known not to work."""
        if generation == 1 and self.atoti_python is not None:
            if self.plugin is not None and not _may_equal(self.plugin, self.atoti_python):
                yield f"plugin {self.plugin} needs Atoti Python {self.plugin}, not {self.atoti_python}"
            if self.atoti_python >= Version.parse("0.9"):
                yield f"there is no plugin for Atoti Python {self.atoti_python}: use the extension (0.9.12) or 6.2"
        if generation in (2, 3):
            for known in _rows(generation):
                yield from _too_old("Java", self.java, known.java, generation)
                yield from _too_old("Python", self.python, known.python, generation)
        for release, exact in _EXACT_JAVA.items():
            given = self.atoti_python is not None and self.atoti_python.within(release)
            if given and self.java is not None and _major(self.java) > exact:
                yield f"Atoti Python {release} starts with Java {exact} only, not {self.java}"

    def undocumented(self, generation: int | None) -> Iterator[str]:
        """What nobody has written down."""
        yield from self._pairs(generation)
        if self.limits is not None:
            yield from self._server(self.limits)
            needed = LIMITS_SERVER_JAVA.get(self.limits.minor)
            if needed is not None and self.java is not None and _major(self.java) != int(needed):
                yield f"Limits {self.limits} is built for Java {needed}, not {self.java}"
        if self.atoti_python is not None and self.atoti_server is not None:
            inside = SERVER_OF_PYTHON.get(str(self.atoti_python))
            if inside is not None and not self.atoti_server.within(inside):
                yield f"Atoti Python {self.atoti_python} has the Atoti server {inside} inside, not {self.atoti_server}"

    def _pairs(self, generation: int | None) -> Iterator[str]:
        named = {"Limits": self.limits, "plugin": self.plugin, "Atoti Python": self.atoti_python}
        if generation != 1:
            named.pop("plugin")  # from the second generation on, it carries the number of something else
        found = {name: version for name, version in named.items() if version is not None}
        rows = [known for known in _rows(generation) if _fits(known, found)]
        what = " and ".join(f"{name} {version}" for name, version in found.items())
        if found and not rows:
            kind = "" if generation is None else f" of generation {generation}"
            yield f"no documented combination{kind} has {what}"
        elif rows and self.atoti_server is not None:
            servers = {known.atoti_server for known in rows if known.atoti_server is not None}
            if servers and not any(self.atoti_server.within(server) for server in servers):
                listed = ", ".join(sorted(servers))
                yield f"{what}: documented with the Atoti server {listed}, not {self.atoti_server}"

    def _server(self, limits: Version) -> Iterator[str]:
        servers = SERVERS_BY_LIMITS.get(limits.minor)
        if self.atoti_server is None or servers is None:
            return
        if not any(self.atoti_server.within(server) for server in servers):
            yield f"Limits {limits} is documented with the Atoti servers {', '.join(servers)}, not {self.atoti_server}"


def _rows(generation: int | None) -> list[Known]:
    return [known for known in KNOWN if generation in (None, known.generation)]


def _fits(known: Known, found: Mapping[str, Version]) -> bool:
    theirs = {"Limits": known.limits, "plugin": known.plugin, "Atoti Python": known.atoti_python}
    return all(version.within(theirs[name] or "") for name, version in found.items())


def _major(java: Version) -> int:
    return java.release[1] if java.release[0] == 1 and len(java.release) > 1 else java.release[0]


def _may_equal(one: Version, other: Version) -> bool:
    return one.same(other) or one.within(other) or other.within(one)


def _too_old(what: str, have: Version | None, need: str | None, generation: int) -> Iterator[str]:
    if have is None or need is None:
        return
    least = Version.parse(need.removeprefix(">="))
    if _major(have) < least.release[0] if what == "Java" else have < least:
        yield f"generation {generation} needs {what} {least} or later, not {have}"
