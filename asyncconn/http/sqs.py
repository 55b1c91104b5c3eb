"""AWS's SQS client on the hub's own connector, made ready without stopping the loop."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    ConfigError,
    ProtocolError,
    RateLimited,
    api_error_class,
)
from asyncconn.http.connections import forget_address, on_a_usable_connection, pool_is_full, unwatched, watched
from asyncconn.http.failures import translated
from asyncconn.http.redact import UnshownBytes
from asyncconn.http.response import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncconn.http.redact import Redactor
    from asyncconn.http.transport import Timeouts

__all__ = ["THROTTLES", "SqsClient"]

#: The names under which SQS says "slow down", with any status.
THROTTLES = frozenset({"RequestThrottled", "Throttling", "ThrottlingException", "ThrottledException", "OverLimit"})


class SqsClient(Unpicklable):
    """One SQS queue through aiobotocore.

    Sends unsigned unless ``credentials`` are given, or ``"default"`` asks for AWS's own chain (environment,
    profile, role).

    The connections, DNS cache, TLS settings and proxy are those of the session it is given, which it never closes. It
    does not retry; errors are of :mod:`asyncconn.errors`.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        *,
        queue_url: str,
        region: str,
        timeouts: Timeouts,
        redactor: Redactor,
        endpoint_url: str | None = None,
        credentials: tuple[str, str] | str | None = None,
        service: str = "sqs",
    ) -> None:
        self._session = session
        self._queue_url = queue_url
        self._region = region
        self._timeouts = timeouts
        self._redactor = redactor
        self._endpoint_url = endpoint_url
        self._host = URL(endpoint_url or queue_url).host or "the queue"
        self._credentials = credentials
        self._service = service
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._opening = asyncio.Lock()

    async def send_message(self, body: str, attributes: Mapping[str, str]) -> tuple[str, str | None]:
        """Send one message with text attributes; its id, and the queue's MD5 (hex) of the body if the answer has it."""
        client = await self._opened()
        way = _Way()
        token = _way.set(way)
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        try:
            async with asyncio.timeout(self._timeouts.total + self._timeouts.connect):
                answer = await client.send_message(QueueUrl=self._queue_url, MessageBody=body, MessageAttributes=typed)
        except Exception as error:
            ours = self._translated(error, way)
            if ours is None:
                raise
            # Their errors can quote the request with its attributes, so they do not travel along.
            raise ours from (None if _quotes_request(error) else error)
        finally:
            _way.reset(token)
        message_id = answer.get("MessageId") if isinstance(answer, dict) else None
        if not isinstance(message_id, str):
            raise ProtocolError(f"{self._service}: an answer without a MessageId")
        return message_id, answer.get("MD5OfMessageBody")

    async def aclose(self) -> None:
        """Close the client, not the connections."""
        await self._stack.aclose()
        self._client = None

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                # Importing and loading models takes more than a second: in a thread, the loop goes on meanwhile.
                try:
                    make = await asyncio.to_thread(self._prepared)
                    self._client = await self._stack.enter_async_context(make())
                except Exception as error:
                    from botocore.exceptions import BotoCoreError

                    if isinstance(error, BotoCoreError):
                        raise ConfigError(f"{self._service}: AWS's client cannot be made: {error}") from error
                    raise
                self._client.meta.events.register("before-call.sqs", _keep_body_out_of_logs)
            return self._client

    def _prepared(self) -> Callable[[], Any]:
        import botocore
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        session = get_session()
        session.get_scoped_config()  # reads and keeps ~/.aws, which would otherwise happen on the loop
        keys: dict[str, str] = {}
        unsigned = self._credentials is None
        if isinstance(self._credentials, tuple):
            keys = {"aws_access_key_id": self._credentials[0], "aws_secret_access_key": self._credentials[1]}
        config = AioConfig(
            http_session_cls=_on_connector_of(self._session),
            warm_up_loader_caches=True,
            signature_version=botocore.UNSIGNED if unsigned else None,
            connect_timeout=self._timeouts.connect,
            read_timeout=self._timeouts.total,
            retries={"total_max_attempts": 1, "mode": "standard"},  # repeating is our transport's business
            proxies={},  # nor does it look for one: the session knows the way
            parameter_validation=False,
        )
        return lambda: session.create_client(
            "sqs", region_name=self._region, endpoint_url=self._endpoint_url, config=config, **keys
        )

    def _translated(self, error: Exception, way: _Way) -> AsyncConnError | None:
        from botocore import exceptions as aws

        what = f"{self._service}: SendMessage"
        if isinstance(error, AsyncConnError):
            return None
        if isinstance(error, aws.ClientError):
            return self._answered(error)
        if isinstance(error, aws.HTTPClientError) and isinstance(inner := error.kwargs.get("error"), AsyncConnError):
            return inner
        if isinstance(error, aws.ReadTimeoutError | aws.ConnectTimeoutError):
            below: Exception = TimeoutError()  # which of the two it really is, the first byte tells
        elif isinstance(error, aws.HTTPClientError | aws.ConnectionError):
            inner = error.kwargs.get("error")
            below = inner if isinstance(inner, aiohttp.ClientError | OSError) else aiohttp.ClientConnectionError()
        else:
            below = error
        ours = translated(below, what, host=way.host or self._host, sent=way.sent, full=way.full)
        if ours is not None:
            return ours
        if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError | aws.ParamValidationError):
            return ConfigError(f"{what}: {error}")
        if isinstance(error, aws.BotoCoreError):
            return ProtocolError(f"{what}: the answer could not be read")
        # What its parsers raise over an odd answer is of any kind.
        return ProtocolError(f"{what}: the answer could not be read ({type(error).__name__})")

    def _answered(self, error: Any) -> AsyncConnError:
        details = error.response.get("Error", {})
        meta = error.response.get("ResponseMetadata", {})
        status = int(meta.get("HTTPStatusCode") or 500)
        code = str(details.get("Code", ""))
        kind = RateLimited if code.rpartition(".")[2] in THROTTLES else api_error_class(status)
        return kind(
            self._redactor.scrub(str(details.get("Message", "")))[:300],
            Answer(
                self._service,
                status,
                code=self._redactor.scrub(code) or None,
                request_id=meta.get("RequestId"),
                retry_after=retry_after({k.title(): v for k, v in meta.get("HTTPHeaders", {}).items()}),
            ),
        )


@dataclass(slots=True)
class _Way:
    """How far one message has come. Their client takes it along from here to the session in the same task."""

    sent: bool = False
    full: bool = False
    host: str = ""

    def begin(self) -> None:
        self.sent = True


_way: ContextVar[_Way] = ContextVar("asyncconn_sqs_way")


def _keep_body_out_of_logs(params: dict[str, Any], **_: Any) -> None:
    """AWS's client logs the whole request at DEBUG, by its repr; loggers are not ours to configure."""
    body = params["body"]
    params["body"] = UnshownBytes(body if isinstance(body, bytes) else body.encode())


def _quotes_request(error: Exception) -> bool:
    return hasattr(error, "kwargs") and "request" in error.kwargs


async def _one_message(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send it on a usable connection, know whether it went out, and follow no redirect: that would make it a GET."""
    way = _way.get()
    way.host = f"{request.url.host}:{request.url.port}"
    watched(request, way.begin)
    try:
        response = await on_a_usable_connection(handler, request)
    except BaseException:
        unwatched(request)
        if not way.sent:
            way.full = pool_is_full(request.session)
            forget_address(request.session, request)
        raise
    if 300 <= response.status < 400:
        response.close()
        error = ProtocolError(f"sqs: the request was redirected ({response.status}): refused")
        error.maybe_sent = False
        raise error
    return response


def _on_connector_of(session: Callable[[], aiohttp.ClientSession]) -> type[Any]:
    """An HTTP session class for aiobotocore that uses the connector of ``session`` and leaves it open.

    aiobotocore has no public way to be given a session; ``_get_session`` is where it makes its own.
    """
    from aiobotocore.httpsession import AIOHTTPSession

    class OnSharedConnector(AIOHTTPSession):  # type: ignore[misc] # the library has no types
        async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
            shared = session()
            known: aiohttp.ClientSession | None = self._sessions.get(proxy_url)
            if known is None:
                known = aiohttp.ClientSession(
                    connector=shared.connector,
                    connector_owner=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=self._timeout,
                    skip_auto_headers={"CONTENT-TYPE"},
                    auto_decompress=False,
                    proxy=getattr(shared, "_default_proxy", None),
                    trust_env=shared.trust_env,
                    # The hub's way out is one of these, and whatever else a borrowed session has.
                    middlewares=(*getattr(shared, "_middlewares", ()), _one_message),
                )
                self._sessions[proxy_url] = await self._exit_stack.enter_async_context(known)
            return known

    return OnSharedConnector
