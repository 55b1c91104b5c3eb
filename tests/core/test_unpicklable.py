"""What belongs to this process refuses to be pickled or copied, and says what to hand over instead."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import AtotiLimits, Connector, Datorama, Hub, Panoply, Platform
from asyncconn.atoti_limits.credentials import Discreet
from asyncconn.core.buffer.memory import BatchBuffer
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.polling import Poller
from asyncconn.core.rates.limiter import RateLimiter, Window
from asyncconn.errors import LifecycleError, NotPicklable
from asyncconn.http.auth import BasicAuth, HeaderKey, NoAuth, TokenAuth
from asyncconn.panoply.sdk import SDK
from asyncconn.panoply.wire import parse_credentials
from asyncconn.settings import HubSettings

if TYPE_CHECKING:
    from collections.abc import Callable

KEY, SECRET = "acct/rand", "cmFuZC91dWlkLzEyMzQ1Njc4OTAxMi91cy1lYXN0LTE="


class Own(Connector):
    platform = Platform("own", base_url="https://own.example")


async def _nothing(*given: Any) -> Any:
    return given


MAKERS: dict[str, Callable[[], Any]] = {
    "Panoply": lambda: Panoply(KEY, SECRET),
    "Datorama": lambda: Datorama("t0ken"),
    "AtotiLimits": lambda: AtotiLimits(auth=("u", "p")),
    "Own": Own,
    "SDK": lambda: SDK(KEY, SECRET),
    "Hub": Hub,
    "Transport": lambda: Own().http,
    "NoAuth": NoAuth,
    "HeaderKey": lambda: HeaderKey("X", "key"),
    "BasicAuth": lambda: BasicAuth("u", "p"),
    "TokenAuth": lambda: TokenAuth("t0ken"),
    "Discreet": lambda: Discreet(NoAuth(), NoAuth()),
    "Credentials": lambda: parse_credentials(KEY, SECRET),
    "RateLimiter": lambda: RateLimiter(Window(1, 1.0)),
    "BatchBuffer": lambda: BatchBuffer(_nothing, size=len),
    "Spool": lambda: Spool("records.spool"),
    "Poller": lambda: Poller(_nothing, done=lambda state: False, result=lambda state: state),
}


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("name", MAKERS)
def test_it_is_refused(name: str, way: Callable[[Any], Any]) -> None:
    made = MAKERS[name]()
    with pytest.raises(NotPicklable, match=f"{name} can be neither pickled nor copied: ") as caught:
        way(made)

    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, LifecycleError)
    if name == "SDK":
        made.close()


@pytest.mark.parametrize(("name", "words"), [("Datorama", "from_env"), ("Hub", "HubSettings"), ("Poller", "token()")])
def test_it_is_said_what_to_hand_over_instead(name: str, words: str) -> None:
    with pytest.raises(NotPicklable, match=words.replace("(", r"\(").replace(")", r"\)")):
        pickle.dumps(MAKERS[name]())


def test_settings_can_be_handed_over() -> None:
    settings = HubSettings(max_connections=7)

    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own
