"""Exchanges, topics and queues: where messages of a tenant go.

Contract: tcup sections 3.1, 3.4 and 13.24.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict, deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableSequence

__all__ = ["AMQ", "DIRECT", "REGISTER", "Broker", "Consumer", "Message", "Reader", "topic_pattern"]

#: Observations go to this direct exchange, registrations of sensors to the other one.
DIRECT, REGISTER = "Direct.Exchange", "Direct.Exchange.Register"
#: The topic exchange of MQTT: it was there before anybody came, and stays.
AMQ = "amq.topic"

T = TypeVar("T")


class Message(NamedTuple):
    """``topic`` is the routing key on a direct exchange, the queue's name in a queue; ``hops`` are the rules behind it.

    ``raw`` is ``body`` as it came, None where it was made here; ``number`` counts the tenant's messages. ``qos`` is
    MQTT's, and 1 for what came another way.
    """

    exchange: str
    topic: str
    body: object
    hops: int = 0
    raw: bytes | None = None
    qos: int = 1
    number: int = 0

    @property
    def payload(self) -> bytes:
        """The body as it travels."""
        if self.raw is not None:
            return self.raw
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


class Consumer(Protocol):
    """Takes messages."""

    def take(self, message: Message) -> None:
        """At once, or into its own buffer."""
        ...


class Reader(Consumer, Protocol):
    """One of those who compete for a queue."""

    @property
    def full(self) -> bool:
        """Whether it wants no more for now; :meth:`Broker.hand_out` is to be called when it does again."""
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
        self.topic_exchanges: dict[str, deque[Message]] = {AMQ: deque(maxlen=keep)}
        self.queues: dict[str, deque[Message]] = {}
        self._keep = keep
        self._numbers = itertools.count(1)
        self._direct: dict[str, list[tuple[str, Consumer]]] = {DIRECT: [], REGISTER: []}
        self._topics: defaultdict[str, list[_Bound]] = defaultdict(list)
        self._readers: defaultdict[str, deque[tuple[Reader, Callable[[], object]]]] = defaultdict(deque)
        self._filled: set[tuple[str, str]] = set()

    @property
    def created(self) -> list[str]:
        """The topic exchanges that the tenant made."""
        return [name for name in self.topic_exchanges if name != AMQ]

    def routed(self, exchange: str, topic: str = "#") -> list[Any]:
        """Bodies that went to the topics of an exchange that fit ``topic``, oldest first. Raises 404."""
        return [message.body for message in self.since(exchange, topic, 0)]

    def since(self, exchange: str, topic: str, number: int) -> list[Message]:
        """Messages to fitting topics of an exchange after a number, oldest first. Raises 404."""
        pattern = topic_pattern(topic)
        return [
            message
            for message in self._exchange(exchange)
            if message.number > number and pattern.fullmatch(f".{message.topic}")
        ]

    def topics(self, exchange: str) -> set[str]:
        """Those that messages went to. Raises 404."""
        return {message.topic for message in self._exchange(exchange)}

    # -- publishing ----------------------------------------------------------------------------------------------------

    def to_direct(self, exchange: str, key: str, body: object, *, raw: bytes | None = None) -> None:
        """To the consumers of this very key, be there any or not. Raises 404 for an exchange that nobody named."""
        if exchange not in self._direct:
            raise Refused(404, f"there is no direct exchange {exchange}")
        message = Message(exchange, key, body, 0, raw, number=next(self._numbers))
        for bound, consumer in tuple(self._direct[exchange]):
            if bound == key:
                consumer.take(message)

    def to_topic(
        self, exchange: str, topic: str, body: object, hops: int = 0, *, raw: bytes | None = None, qos: int = 1
    ) -> None:
        """A copy to each consumer. Raises 404."""
        message = Message(exchange, topic, body, hops, raw, qos, next(self._numbers))
        self._exchange(exchange).append(message)
        for bound in tuple(self._topics[exchange]):
            if bound.pattern.fullmatch(f".{topic}"):
                bound.consumer.take(message)

    def to_queue(self, queue: str, body: object, *, raw: bytes | None = None) -> None:
        """To one of the readers in turn, or kept until there is one; the queue comes to be."""
        self.declare(queue).append(Message("", queue, body, 0, raw, number=next(self._numbers)))
        self.hand_out(queue)

    # -- what there is -------------------------------------------------------------------------------------------------

    def create(self, exchange: str) -> None:
        """A topic exchange. Raises 400 for a twin."""
        if exchange in self.topic_exchanges:
            raise Refused(400, f"there is a topic exchange {exchange} already")
        self.topic_exchanges[exchange] = deque(maxlen=self._keep)

    def drop(self, exchange: str) -> None:
        """Forget a topic exchange, and what went there, and tell its consumers. Raises 404, and 400 for MQTT's own."""
        self._exchange(exchange)
        if exchange == AMQ:
            raise Refused(400, f"{AMQ} belongs to the platform")
        del self.topic_exchanges[exchange]
        for bound in tuple(self._topics.pop(exchange, ())):
            bound.dropped()

    def declare(self, queue: str) -> deque[Message]:
        """The queue, which comes to be."""
        return self.queues.setdefault(queue, deque(maxlen=self._keep))

    def drop_queue(self, queue: str) -> None:
        """Forget a queue, and what is in it, and tell its readers. Raises 404."""
        if queue not in self.queues:
            raise Refused(404, f"there is no queue {queue}")
        del self.queues[queue]
        for _, dropped in tuple(self._readers.pop(queue, ())):
            dropped()

    def knows_direct(self, exchange: str) -> bool:
        """Whether somebody named this direct exchange."""
        return exchange in self._direct

    def declare_direct(self, exchange: str) -> None:
        """A direct exchange exists once somebody names it."""
        self._direct.setdefault(exchange, [])

    # -- consuming -----------------------------------------------------------------------------------------------------

    def on_direct(self, exchange: str, key: str, consumer: Consumer) -> Callable[[], None]:
        """Give it what comes with this key; the returned function ends that."""
        return _bound(self._direct.setdefault(exchange, []), (key, consumer))

    def on_topic(
        self, exchange: str, pattern: str, consumer: Consumer, dropped: Callable[[], object] = lambda: None
    ) -> Callable[[], None]:
        """Give it copies of what comes to fitting topics, until the exchange is dropped. Raises 404."""
        self._exchange(exchange)
        return _bound(self._topics[exchange], _Bound(topic_pattern(pattern), consumer, dropped))

    def on_queue(self, queue: str, reader: Reader, dropped: Callable[[], object] = lambda: None) -> Callable[[], None]:
        """Let it compete for what is in the queue, and what will come, until the queue is dropped."""
        self.declare(queue)
        unbind = _bound(self._readers[queue], (reader, dropped))
        self.hand_out(queue)
        return unbind

    def fill(self, queue: str, exchange: str) -> None:
        """Put a copy of whatever comes to a topic exchange into the queue from now on. Raises 404."""
        if (queue, exchange) not in self._filled:
            unfilled = partial(self._filled.discard, (queue, exchange))
            self.on_topic(exchange, "#", _Filling(self, queue), unfilled)
            self._filled.add((queue, exchange))

    def put_back(self, queue: str, messages: Iterable[Message]) -> None:
        """What a reader took and could not use is the next to be read."""
        self.declare(queue).extendleft(reversed(list(messages)))
        self.hand_out(queue)

    def hand_out(self, queue: str) -> None:
        """Give the readers in turn what they have room for."""
        waiting, readers = self.declare(queue), self._readers[queue]
        while waiting and (reader := _next(readers)) is not None:
            reader.take(waiting.popleft())

    def _exchange(self, name: str) -> deque[Message]:
        if (found := self.topic_exchanges.get(name)) is None:
            raise Refused(404, f"there is no topic exchange {name}")
        return found


class _Filling(NamedTuple):
    """Moves messages into a queue."""

    broker: Broker
    queue: str

    def take(self, message: Message) -> None:
        self.broker.to_queue(self.queue, message.body, raw=message.raw)


class _Bound(NamedTuple):
    """A consumer of a topic exchange; ``dropped`` is called when that is gone."""

    pattern: re.Pattern[str]
    consumer: Consumer
    dropped: Callable[[], object]


def _next(readers: deque[tuple[Reader, Callable[[], object]]]) -> Reader | None:
    for _ in range(len(readers)):
        readers.rotate(-1)
        if not readers[-1][0].full:
            return readers[-1][0]
    return None


def _bound(bindings: MutableSequence[T], binding: T) -> Callable[[], None]:
    bindings.append(binding)
    return lambda: bindings.remove(binding)
