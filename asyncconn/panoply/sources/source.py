"""The base class of data sources: what an author writes against.

Contract: panoply sections 5 (events), 6 (DataSource).
"""

from __future__ import annotations

import base64
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Self

from asyncconn.core.events import Events
from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.panoply.sources.driver import Runtime, SourceDriver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.hub import Hub

__all__ = ["DataSource"]

logger = logging.getLogger("asyncconn.panoply.sources.source")


class DataSource(ABC):
    """Reads rows from somewhere. Subclass it and write ``read``.

        >>> class Numbers(DataSource):
        ...     def __init__(self, source, options=None):
        ...         super().__init__(source, options)
        ...         self.left = [[{"n": 1}, {"n": 2}], [{"n": 3}]]
        ...     async def read(self, n=None):
        ...         return self.left.pop(0) if self.left else None

    ``source`` holds the parameters, ``options`` whatever else the surroundings know. ``read`` returns a list of rows
    (mappings), an empty list when there is nothing at the moment, None at the end; it may be a plain method, which
    then runs in a thread that belongs to this source alone. ``n`` is a hint and may be left out of the signature.
    A ``close`` method, plain or async, is optional.

    :func:`run_source` drives a source into a writer; ``async for rows in source`` gives its rows to you.
    """

    def __init__(self, source: MutableMapping[str, Any], options: Mapping[str, Any] | None = None) -> None:
        if not isinstance(source, MutableMapping):
            raise ConfigError(f"the parameters of a source are a dict, not {type(source).__name__}")
        self.source = source
        self.options: Mapping[str, Any] = {} if options is None else options
        self._events = Events()
        self._runtime: Runtime | None = None  # set while something drives it

    # -- what the author writes ----------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, n: int | None = None) -> Any:
        """The next rows, about ``n`` of them; ``[]`` for none yet; None at the end."""

    @classmethod
    def list_resources(cls, source: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Any:
        """The :class:`Resource` s there are. Optional."""
        raise NotImplementedError("`list_resources` method is not supported.")  # the contract's own words and type

    @classmethod
    def get_resource(cls, resource_id: str, source: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Any:
        """One :class:`Resource` with its fields. Optional."""
        raise NotImplementedError("`get_resource` method is not supported.")  # the contract's own words and type

    # -- what the author calls -----------------------------------------------------------------------------------------

    def log(self, *msgs: Any) -> None:
        """Say something to whoever looks after the source: ``options["logger"]``, which gets the tuple, or the log."""
        self._alive()
        tell = self.options.get("logger")
        if tell is not None:
            tell(msgs)
        else:
            logger.info("%s: %s", self.source.get("type") or type(self).__name__, " ".join(map(str, msgs)))

    def progress(self, loaded: int | None, total: int | None, msg: str = "") -> None:
        """Say how far it is: ``loaded`` of ``total``, of whatever is counted; None where unknown."""
        self.fire("progress", {"loaded": loaded, "total": total, "msg": msg})

    def state(self, state_id: str, state: Mapping[str, Any]) -> None:
        """Report how far it got, for a later run to go on from.

        Rows that this state covers carry its id as ``__state``. All states are merged, the later over the earlier;
        the whole comes back as ``source["state"]`` once those rows have been delivered.
        """
        self.fire("source-state", {"stateId": state_id, "state": state})

    def raw(
        self, tag: str, raw: bytes | bytearray | memoryview, metadata: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A row for bytes: ``raw`` as Base64 text, with its ``tag`` and ``metadata``.

        Raises ``InvalidRecord`` when ``raw`` is not bytes.
        """
        if not isinstance(raw, bytes | bytearray | memoryview):
            raise InvalidRecord(f"raw takes bytes, not {type(raw).__name__}: encode text first", path="raw")
        text = base64.b64encode(bytes(raw)).decode("ascii")
        return {"type": "raw", "tag": tag, "raw": text, "metadata": {} if metadata is None else metadata}

    def on(self, name: str, handler: Callable[..., Any]) -> Self:
        """Call ``handler(data)`` for each event of that name, or ``handler(name, data)`` for ``"*"``.

        Handlers run where the event is fired, which for a plain ``read`` is the source's own thread.
        """
        self._events.on(name, handler)
        return self

    def off(self, name: str, handler: Callable[..., Any]) -> Self:
        """Take a handler off again."""
        self._events.off(name, handler)
        return self

    def fire(self, type: str, data: Any = None) -> Self:  # noqa: A002 - the original's name
        """Tell the handlers of an event. ``source-change`` with a dict of changed parameters has them kept."""
        self._alive()
        self._events.emit(type, data)
        return self

    @property
    def hub(self) -> Hub | None:
        """The hub of the run that reads this source, for clients of its own; None outside of a run.

        It belongs to the event loop, so it is for an ``async read``. It is known from the first ``read`` on.
        """
        return None if self._runtime is None else self._runtime.hub

    # -- reading by hand -----------------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[list[Any]]:
        """Each group of rows up to the end, without retries; empty ones are passed over. ``close`` stays with you."""
        driver = SourceDriver(self)
        try:
            while (rows := await driver.read(None)) is not None:
                if rows:
                    yield rows
        finally:
            driver.release()

    def _alive(self) -> None:
        if self._runtime is not None:
            self._runtime.alive()
