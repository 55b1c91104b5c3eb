"""What the data lake knows: files, directories, links and people. Contract: tcup sections 6.5 to 6.7, 13.13, 13.34."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from asyncconn.errors import Answer, ConfigError, ProtocolError, api_error_class
from asyncconn.http.models import Flag, Int, Text, leniently
from asyncconn.tcup import fields
from asyncconn.tcup.models import Model, Moment

if TYPE_CHECKING:
    from asyncconn.http.response import Response

__all__ = [
    "Comment",
    "Directory",
    "Entry",
    "LakeFile",
    "LakeUser",
    "Link",
    "Metadata",
    "MetadataRule",
    "Outcome",
    "Outcomes",
    "Permission",
    "Relation",
    "Share",
    "answered_uri",
    "outcomes",
]

_FAILED = 400


class LakeModel(Model):
    """An object of the data lake: its members have hyphens there, and underscores here."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))


class Metadata(LakeModel):
    """A pair of a file's metadata; of somebody else's private one the value is ``***``."""

    name: str
    value: Text = None
    privacy: Text = None
    updated_by: Text = None


Pairs = Annotated[list[Metadata], leniently]


class LakeFile(LakeModel):
    """A file of the catalogue. ``uri`` is what every other call knows it by; nothing is to be read out of that."""

    name: Text = None
    path: Text = None
    file_uri: Text = None
    savepoint: Text = None
    directory: Text = None
    size_bytes: Int = None
    created_on: Moment = None
    created_by: Text = None
    transferred: Flag = None
    external: Flag = None
    deleted: Flag = None
    locked: Flag = None
    metadata: Pairs = Field(default_factory=list)

    @property
    def uri(self) -> str:
        """The file's URI. Raises ``ProtocolError`` for an entry without one."""
        found = self.file_uri or self.path
        if not found:
            raise ProtocolError(f"tcup: the catalogue's entry of {self.name!r} has no file-uri")
        return found


class Entry(LakeModel):
    """A directory, or a file in one, as a look into a directory shows it. Only directories have a ``file_count``."""

    name: Text = None
    path: Text = None
    parent: Text = None
    size_bytes: Int = None
    file_count: Int = None
    subdir_count: Int = None
    created_on: Moment = None
    created_by: Text = None
    metadata: Pairs = Field(default_factory=list)
    is_directory: bool = False


class Relation(LakeModel):
    """A kind of link, such as ``derivedFrom``."""

    name: str
    description: Text = None


class Link(LakeModel):
    """That one file has a relation to another.

    >>> Link(source_uri="user1/a/raw.csv", relation="derivedFrom", target_uri="user1/a/all.csv").wire()["relation"]
    'derivedFrom'
    """

    source_uri: str
    relation: str
    target_uri: str


class Share(LakeModel):
    """That ``users`` may read (``R``), write (``W``) or delete (``D``) a file of somebody else."""

    file_uri: str
    users: list[str]
    action: str = "R"


class Comment(LakeModel):
    """What somebody said of a file."""

    comment: Text = None
    commented_on: Moment = None
    file_uri: Text = None
    user: Text = None


class LakeUser(LakeModel):
    """A user of the data lake, as the list of roles shows one."""

    user_name: Text = None
    admin_user: Flag = None
    org_pos: Text = None


@dataclass(frozen=True, slots=True)
class Permission:
    """What ``users`` may do with a directory's files (``action``) and with itself: some of ``RWD``, in that order."""

    users: Sequence[str]
    action: str = "R"
    directory_action: str = "R"

    def wire(self) -> dict[str, Any]:
        """As it is sent. Raises ``ConfigError``."""
        return {
            "users": [fields.user(one) for one in self.users],
            "action": fields.action(self.action),
            "directory-action": fields.action(self.directory_action, "directory-action"),
        }


@dataclass(frozen=True, slots=True)
class MetadataRule:
    """A key that the files of a directory have; ``default`` is what it is where a file does not say."""

    name: str
    type: Literal["TEXT", "NUMERIC"] = "TEXT"
    default: str | float | None = None

    def wire(self) -> dict[str, Any]:
        """As it is sent. Raises ``ConfigError``."""
        made = {"name": fields.metadata_key(self.name), "type": self.type}
        if self.default is not None:
            made["default-value"] = fields.metadata_value(self.default, self.name)
        return made


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that is to be made, with its parents.

    ``enforcement`` of its ``rules`` is ``STANDARD`` (what is missing gets its default) or ``STRICT`` (what is missing,
    or more than there should be, is refused).

    >>> Directory("d1", rules=[MetadataRule("colour", default="blue")], metadata={"team": "red"}).wire()["meta-data"]
    'team=red'
    """

    path: str
    enforcement: Literal["STANDARD", "STRICT"] = "STANDARD"
    permissions: Sequence[Permission] = ()
    rules: Sequence[MetadataRule] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """As it is sent. Raises ``ConfigError`` naming the field that cannot be."""
        made: dict[str, Any] = {"directory": fields.directory(self.path), "enforcement": self.enforcement}
        if self.permissions:
            made["permissions"] = [one.wire() for one in self.permissions]
        if self.rules:
            made["metadata-rule"] = [one.wire() for one in self.rules]
        if self.metadata:
            made["meta-data"] = fields.metadata(self.metadata)
        return made


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one ``item`` of a call: the ``code`` is a status, the ``messages`` are the server's words."""

    item: Any
    code: int
    messages: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was carried out."""
        return self.code < _FAILED

    def says(self, word: str) -> bool:
        """Whether the server said so: ``created``, ``already exists``; case does not count."""
        return any(word.lower() == one.lower() for one in self.messages)


class Outcomes(list[Outcome]):
    """One for each item of a call, in the order of the items."""

    @property
    def failed(self) -> list[Outcome]:
        """Those that were refused."""
        return [one for one in self if not one.ok]

    def raise_for_failed(self) -> None:
        """Raise what the first refusal means, with all outcomes as its ``details``."""
        if failed := self.failed:
            first = failed[0]
            said = f"{', '.join(first.messages) or 'refused'} ({len(failed)} of {len(self)} items)"
            raise api_error_class(first.code)(said, Answer("tcup", first.code, details=tuple(self)))


def answered_uri(answer: Response) -> str:
    """The URI that an answer's text is. Raises ``ProtocolError`` for a text that no other call could be given."""
    try:
        return fields.file_uri(answer.text.strip())
    except ConfigError as error:
        raise ProtocolError(
            f"{answer.service}: {answer.method} {answer.path} answered no URI of a file: {error}"
        ) from None


def outcomes(found: Any, items: Sequence[Any]) -> Outcomes:
    """What a 207 says of each item: they come in the same order, whatever they call themselves."""
    if not isinstance(found, list) or len(found) != len(items):
        count = len(found) if isinstance(found, list) else "no"
        error = ProtocolError(f"tcup: the answer has {count} results for {len(items)} items: their outcome is unknown")
        error.maybe_sent = True
        raise error
    return Outcomes(_outcome(one, item) for one, item in zip(found, items, strict=True))


def _outcome(found: Any, item: Any) -> Outcome:
    code = found.get("code") if isinstance(found, dict) else None
    said = found.get("messages") if isinstance(found, dict) else None
    if type(code) is not int:
        raise ProtocolError("tcup: a result has no code: the outcome of its item is unknown")
    return Outcome(item, code, tuple(map(str, said)) if isinstance(said, list) else ())
