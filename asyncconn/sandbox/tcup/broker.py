"""Exchanges, topics and queues: where messages of a tenant go.

Contract: tcup sections 3.1, 3.4 and 13.24.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence

__all__ = ["DIRECT", "REGISTER", "Broker", "Consumer", "Message", "topic_pattern"]

#: Observations go to this direct exchange, registrations of sensors to the other one.
DIRECT, REGISTER = "Direct.Exchange", "Direct.Exchange.Register"

T = TypeVar("T")


class Message(NamedTuple):
    """``topic`` is the routing key on a direct exchange, empty for a queue; ``hops`` are the rules behind it."""

    exchange: str
    topic: str
    body: object
    hops: int = 0


class Consumer(Protocol):
    """Takes messages."""

    def take(self, message: Message) -> None:
        """At once, or into its own buffer."""
        ...


def topic_pattern(pattern: str) -> re.Pattern[str]:
    """Words between dots; ``*`` is any one of them, ``#`` none, one or several. To be matched with a dot before it.

    >>> [bool(topic_pattern("#.hot").fullmatch(text)) for text in (".hot", ".a.b.hot", ".cold")]
    [True, True, False]
    """
    words = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}
    return re.compile("".join(words.get(word) or rf"\.{re.escape(word)}" for word in pattern.split(".")))


class Broker:
    """A tenant's. ``keep`` bounds what is remembered of each topic exchange, and what a queue holds."""

    def __init__(self, keep: int) -> None:
        self.topic_exchanges: dict[str, deque[Message]] = {}
        self.queues: dict[str, deque[Message]] = {}
        self._keep = keep
        self._direct: dict[str, list[tuple[str, Consumer]]] = {DIRECT: [], REGISTER: []}
        self._topics: defaultdict[str, list[tuple[re.Pattern[str], Consumer]]] = defaultdict(list)
        self._readers: defaultdict[str, deque[Consumer]] = defaultdict(deque)

    def routed(self, exchange: str, topic: str = "#") -> list[Any]:
        """Bodies that went to the topics of an exchange that fit ``topic``, oldest first. Raises 404."""
        pattern = topic_pattern(topic)
        return [message.body for message in self._exchange(exchange) if pattern.fullmatch(f".{message.topic}")]

    def topics(self, exchange: str) -> set[str]:
        """Those that messages went to. Raises 404."""
        return {message.topic for message in self._exchange(exchange)}

    # -- publishing ----------------------------------------------------------------------------------------------------

    def to_direct(self, exchange: str, key: str, body: object, hops: int = 0) -> None:
        """To the consumers of this very key, be there any or not. Raises 404 for an exchange that nobody named."""
        if exchange not in self._direct:
            raise Refused(404, f"there is no direct exchange {exchange}")
        message = Message(exchange, key, body, hops)
        for bound, consumer in tuple(self._direct[exchange]):
            if bound == key:
                consumer.take(message)

    def to_topic(self, exchange: str, topic: str, body: object, hops: int = 0) -> None:
        """A copy to each consumer. Raises 404."""
        message = Message(exchange, topic, body, hops)
        self._exchange(exchange).append(message)
        for pattern, consumer in tuple(self._topics[exchange]):
            if pattern.fullmatch(f".{topic}"):
                consumer.take(message)

    def to_queue(self, queue: str, body: object, hops: int = 0) -> None:
        """To one of the readers in turn, or kept until there is one; the queue comes to be."""
        self.declare(queue).append(Message("", queue, body, hops))
        self._hand_out(queue)

    # -- what there is -------------------------------------------------------------------------------------------------

    def create(self, exchange: str) -> None:
        """A topic exchange. Raises 400 for a twin."""
        if exchange in self.topic_exchanges:
            raise Refused(400, f"there is a topic exchange {exchange} already")
        self.topic_exchanges[exchange] = deque(maxlen=self._keep)

    def drop(self, exchange: str) -> None:
        """Forget a topic exchange, and what went there. Raises 404."""
        self._exchange(exchange)
        del self.topic_exchanges[exchange]

    def declare(self, queue: str) -> deque[Message]:
        """The queue, which comes to be."""
        return self.queues.setdefault(queue, deque(maxlen=self._keep))

    def declare_direct(self, exchange: str) -> None:
        """A direct exchange exists once somebody names it."""
        self._direct.setdefault(exchange, [])

    # -- consuming -----------------------------------------------------------------------------------------------------

    def on_direct(self, exchange: str, key: str, consumer: Consumer) -> Callable[[], None]:
        """Give it what comes with this key; the returned function ends that."""
        return _bound(self._direct.setdefault(exchange, []), (key, consumer))

    def on_topic(self, exchange: str, pattern: str, consumer: Consumer) -> Callable[[], None]:
        """Give it copies of what comes to fitting topics. Raises 404."""
        self._exchange(exchange)
        return _bound(self._topics[exchange], (topic_pattern(pattern), consumer))

    def on_queue(self, queue: str, consumer: Consumer) -> Callable[[], None]:
        """Let it compete for what is in the queue, and what will come."""
        self.declare(queue)
        unbind = _bound(self._readers[queue], consumer)
        self._hand_out(queue)
        return unbind

    def _hand_out(self, queue: str) -> None:
        waiting, readers = self.queues[queue], self._readers[queue]
        while waiting and readers:
            readers.rotate(-1)
            readers[-1].take(waiting.popleft())

    def _exchange(self, name: str) -> deque[Message]:
        if (found := self.topic_exchanges.get(name)) is None:
            raise Refused(404, f"there is no topic exchange {name}")
        return found


def _bound(bindings: MutableSequence[T], binding: T) -> Callable[[], None]:
    bindings.append(binding)
    return lambda: bindings.remove(binding)
