"""Projects: what tasks are in. Contract: tcup sections 7.2, 7.5, 13.16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.errors import ConfigError, Conflict, NotFound
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.names import is_plain
from asyncconn.tcup.states import Project

if TYPE_CHECKING:
    from asyncconn.tcup.listing import Listing

__all__ = ["ProjectLike", "Projects", "named", "other_id"]

#: One of ours, or its id or name; an id wins over a name.
ProjectLike = Project | str


class Projects(Noun):
    """Make, find and delete projects. One is given as it came, or by its id or name, of which an id wins.

    >>> project = await tcup.projects.ensure("testProj")
    """

    async def create(self, name: str) -> Project:
        """Make one. Raises ``Conflict`` for a name that there is already."""
        return await self._one(Project, "projects.create", json={"projectName": named(name, "a project")})

    async def ensure(self, project: ProjectLike) -> Project:
        """The project of this id or name; made by that name if there is none, by whoever is first."""
        try:
            return await self.get(project)
        except NotFound:
            if isinstance(project, Project):
                raise
        try:
            return await self.create(project)
        except Conflict as error:
            if (there := other_id(error, "projectId")) is None:
                raise
        return await self._one(Project, "projects.get", ids={"project": there})

    async def get(self, project: ProjectLike) -> Project:
        """The project of this id or name, as it is now. Raises ``NotFound``."""
        if isinstance(project, Project):
            return await self._one(Project, "projects.get", ids={"project": project.project_id})
        try:
            return await self._one(Project, "projects.get", ids={"project": named(project, "a project")})
        except NotFound:
            async for one in self.list(name=project):
                if one.project_name == project:
                    return one
            raise

    def list(self, *, name: str | None = None) -> Listing[Project]:
        """All of them, or the one of that ``name``."""
        params = {} if name is None else {"projectName": name}
        return self._listing(Project, "projects.list", items="projects", params=params)

    async def delete(self, project: ProjectLike, *, force: bool = False) -> None:
        """Delete it with its tasks. Raises ``Conflict`` while one of those is under way, unless you ``force`` it."""
        await self._gone("projects.delete", ids={"project": await self.id_of(project)}, params={"force": force})

    async def id_of(self, project: ProjectLike) -> str:
        """The id; asked for, unless it is a project that came from there. Raises ``NotFound``."""
        return project.project_id if isinstance(project, Project) else (await self.get(project)).project_id


def named(name: object, what: str) -> str:
    """A name as it is. Raises ``ConfigError`` for what is none."""
    if not isinstance(name, str) or not is_plain(name):
        raise ConfigError(f"{what} is named by a text without control characters, not {name!r}")
    return name


def other_id(error: Conflict, member: str) -> str | None:
    """The id of the one that is there already, where a refusal tells it."""
    found = error.details.get(member) if isinstance(error.details, dict) else None
    return found if isinstance(found, str) and found else None
