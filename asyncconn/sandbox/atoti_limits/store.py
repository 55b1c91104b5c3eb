"""What a Limits server holds. A write is checked as a whole first: it is done for all its rows, or for none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.sandbox.atoti_limits.problems import Findings, Problem
from asyncconn.sandbox.atoti_limits.rules import (
    check_limit,
    check_structure,
    check_v1_limit,
    is_active,
    overlapping,
)
from asyncconn.sandbox.atoti_limits.workflows import Process, begin

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Store"]

Row = dict[str, Any]


@dataclass(slots=True)
class Store:
    """The live objects, by id, to look at and to change from a test.

    ``structures``, ``limits`` (deleted ones stay, with their status), ``incidents`` and ``connections`` are as a
    client sees them; ``v1_limits`` are those of Limits 1.x. ``now`` gives the time of a change, ``new_id`` the name of
    a process. ``inactive_overlap`` counts deleted and expired limits as overlapping, as before 4.1.2.
    """

    now: Callable[[], str]
    new_id: Callable[[], str]
    structures: dict[str, Row] = field(default_factory=dict)
    limits: dict[str, Row] = field(default_factory=dict)
    v1_limits: dict[str, Row] = field(default_factory=dict)
    incidents: dict[str, Row] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    connections: dict[str, Row] = field(default_factory=dict)
    inactive_overlap: bool = False

    # -- structures ----------------------------------------------------------------------------------------------------

    def save_structures(
        self, given: Sequence[Row], found: Findings, mode: Literal["save", "create", "update"] = "save"
    ) -> tuple[list[Row], int]:
        """Store all; returns them as stored, and how many are new. Raises :class:`Problem`."""
        structures = [check_structure(row, number, found) for number, row in enumerate(given)]
        found.refuse(422, "The structures are not valid")
        self._refuse_twice(structures, "structureId", found)
        for structure in structures:
            self.require_connected(structure["serverName"])
        for number, structure in enumerate(structures):
            known = structure["structureId"] in self.structures
            if mode == "create" and known:
                found.add(number, "structureId", f"{structure['structureId']} exists")
            elif mode == "update" and not known:
                found.add(number, "structureId", f"there is no structure {structure['structureId']}")
        found.refuse(409 if mode == "create" else 404, "Structures exist" if mode == "create" else "No such structure")
        created = sum(structure["structureId"] not in self.structures for structure in structures)
        for structure in structures:
            structure["timestamp"] = self.now()
            self.structures[structure["structureId"]] = structure
        return structures, created

    def delete_structure(self, structure_id: str) -> None:
        """Delete it. Raises 404, and 409 while it has live limits."""
        self.structure(structure_id)
        if live := [
            key for key, limit in self.limits.items() if limit["structureId"] == structure_id and limit["alive"]
        ]:
            raise Problem(409, f"The structure has live limits: {', '.join(live[:10])}")
        del self.structures[structure_id]

    def structure(self, structure_id: str) -> Row:
        """Raises 404."""
        if (structure := self.structures.get(structure_id)) is None:
            raise Problem(404, f"There is no structure {structure_id}")
        return structure

    # -- limits --------------------------------------------------------------------------------------------------------

    def save_limits(
        self, given: Sequence[Row], found: Findings, user: str, *, uploaded: bool = False
    ) -> tuple[list[Row], int]:
        """Store all; returns them as stored, and how many are new. Raises :class:`Problem`.

        Uploaded limits are approved at once; others go the way of their structure's workflow.
        """
        limits = [check_limit(row, number, found, self.structures) for number, row in enumerate(given)]
        found.refuse(422, "The limits are not valid")
        self._refuse_twice(limits, "limitId", found)
        for limit in limits:
            structure = self.structures[limit["structureId"]]
            workflow = "StraightThrough" if uploaded else structure["limitChangesWorkflow"]
            limit["limitStatus"] = begin(workflow)
        self._refuse_overlap(limits, found)
        created = sum(not self._is_known(limit["limitId"]) for limit in limits)
        for limit in limits:
            process = Process(self.new_id(), user)
            process.note(self.now(), user, "upload" if uploaded else "save", limit["limitStatus"])
            limit["processInstanceId"] = process.process_id
            self.processes[process.process_id] = process
            self.limits[limit["limitId"]] = limit
        return limits, created

    def delete_limit(self, limit_id: str, user: str) -> None:
        """Mark it as deleted. Raises 404, also the second time."""
        self.change(self.limit(limit_id), "DELETED", user, "delete")

    def change(self, limit: Row, status: str, user: str, action: str, comment: str = "") -> None:
        """Give a limit another status, and write it into its history."""
        limit["limitStatus"] = status
        limit["alive"] = limit["alive"] and status not in ("REJECTED", "EXPIRED", "DELETED")
        self.processes[limit["processInstanceId"]].note(self.now(), user, action, status, comment)

    def limit(self, limit_id: str) -> Row:
        """Raises 404, also for a deleted one."""
        if not self._is_known(limit_id):
            raise Problem(404, f"There is no limit {limit_id}")
        return self.limits[limit_id]

    def _is_known(self, limit_id: str) -> bool:
        return limit_id in self.limits and self.limits[limit_id]["limitStatus"] != "DELETED"

    def _refuse_overlap(self, limits: list[Row], found: Findings) -> None:
        replaced = {limit["limitId"] for limit in limits}
        others = [
            limit
            for limit in self.limits.values()
            if (self.inactive_overlap or is_active(limit))
            and limit["limitId"] not in replaced
            and limit["structureId"] in self.structures
        ]
        for number, limit in enumerate(limits):
            if not is_active(limit):
                continue
            if (other := overlapping(limit, others, self.structures)) is not None:
                found.add(number, "startDate", f"overlaps {other['limitId']}")
            others.append(limit)
        found.refuse(409, "Limit dates overlap")

    # -- Limits 1.x ----------------------------------------------------------------------------------------------------

    def save_v1_limits(self, given: Sequence[Row], found: Findings) -> tuple[list[Row], int]:
        """Store all; returns them as stored, and how many are new. Raises :class:`Problem`."""
        limits = [check_v1_limit(row, number, found) for number, row in enumerate(given)]
        found.refuse(422, "The limits are not valid")
        for limit in limits:
            if limit.get("serverName") is not None:
                self.require_connected(str(limit["serverName"]))
        created = 0
        for limit in limits:
            limit["id"] = str(limit.get("id") or self.new_id())
            created += limit["id"] not in self.v1_limits
            self.v1_limits[limit["id"]] = limit
        return limits, created

    # -- connections ---------------------------------------------------------------------------------------------------

    def require_connected(self, server_name: str) -> None:
        """Raise 422 unless a session of this name is connected."""
        if not self.connections.get(server_name, {}).get("connected"):
            raise Problem(422, f"Server Name {server_name} not in the list of current connections")

    @staticmethod
    def _refuse_twice(rows: list[Row], name: str, found: Findings) -> None:
        seen: set[str] = set()
        for number, row in enumerate(rows):
            if row[name] in seen:
                found.add(number, name, f"{row[name]} is there twice")
            seen.add(row[name])
        found.refuse(409, "The same id is there twice")
