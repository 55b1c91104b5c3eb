"""What aiohttp's errors mean to a caller: surely not sent, perhaps sent, or not an answer at all; and why, in words.

One byte decides: what failed before the first one went out was not sent, whatever kind of error it is.
"""

from __future__ import annotations

import socket
import ssl

import aiohttp

from asyncconn.errors import (
    AsyncConnError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    HubClosed,
    MaybeSent,
    NotSent,
    PoolTimeout,
    ProtocolError,
    ReadTimeout,
    TransportError,
)

__all__ = ["translated", "with_doubt"]

# In this order: aiohttp's classes inherit from one another.
_SENT: tuple[tuple[type[Exception], type[AsyncConnError], str], ...] = (
    (aiohttp.ServerTimeoutError, ReadTimeout, "no complete answer in time from"),
    (aiohttp.ClientPayloadError, ConnectionLost, "the answer broke off, from"),
    (aiohttp.ServerDisconnectedError, ConnectionLost, "the connection was closed without an answer by"),
    (aiohttp.ClientConnectionError, ConnectionLost, "the connection broke to"),
    (aiohttp.ClientResponseError, ProtocolError, "the answer is not HTTP, from"),
    (aiohttp.ClientError, ConnectionLost, "the exchange failed with"),
    (TimeoutError, ReadTimeout, "no complete answer in time from"),
    (OSError, ConnectionLost, "the connection broke to"),
)

_UNKNOWN = {number for name in ("EAI_NONAME", "EAI_NODATA") if (number := getattr(socket, name, None)) is not None}
#: What a proxy says that it may not say of the next try.
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def translated(
    error: BaseException, what: str, *, host: str = "the server", sent: bool = True, full: bool = False
) -> AsyncConnError | None:
    """Our error for a stranger's; None for our own, and for what is not the network's.

    ``what`` names the call and ``host`` where it went. ``sent`` says whether anything was written, ``full`` whether all
    connections of the pool were taken.
    """
    if isinstance(error, AsyncConnError):
        return None
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return ConfigError(f"{what}: the URL is not valid")
    if isinstance(error, RuntimeError) and str(error) == "Session is closed":
        return HubClosed(f"{what}: the session was closed")
    if not isinstance(error, aiohttp.ClientError | OSError):  # TimeoutError is one of these
        return None
    if not sent:
        return _not_sent(error, what, host, full)
    if isinstance(error, aiohttp.ClientPayloadError) and "exceeds the configured limit" in str(error):
        # Some versions of aiohttp have a limit of their own for what comes out of a compressed answer.
        return ProtocolError(f"{what}: the answer is larger than max_answer_bytes once it is unpacked, from {host}")
    for theirs, ours, words in _SENT:
        if isinstance(error, theirs):
            # Their text stays in the cause: some of their errors quote headers or URLs.
            return ours(f"{what}: {_of_an_answer(error) or words} {host}")
    return None


def _of_an_answer(error: Exception) -> str | None:
    """What is wrong with an answer that could not be read, where that is known."""
    if not isinstance(error, aiohttp.ClientResponseError):
        return None
    if "more than" in error.message:
        return "a header is longer than an answer may have, from"
    if "many headers" in error.message.lower():
        return "more headers than an answer may have, from"
    if "\\x15\\x03" in error.message:  # the beginning of TLS's word for "what was that?"
        return "the address must begin with https://, for TLS is spoken by"
    return None


def with_doubt(error: AsyncConnError, unknown: bool, *, harmless: bool = False) -> AsyncConnError:
    """The error of a call, an earlier time of which is ``unknown``: then "nothing was sent" would not be true of it.

    Nor is what is advised for writes, where a repetition is ``harmless``.
    """
    if unknown and not error.maybe_sent:
        if isinstance(error, NotSent):
            error = ConnectionLost(f"{error.message}; an earlier attempt may have been carried out")
        error.maybe_sent = True
    if harmless and isinstance(error, MaybeSent):
        error.advice = "a repetition does no harm: it is safe to repeat the call"
    return error


# -- before the first byte ---------------------------------------------------------------------------------------------


def _not_sent(error: Exception, what: str, host: str, full: bool) -> TransportError:
    if isinstance(error, TimeoutError):
        if full:
            return PoolTimeout(f"{what}: no free connection to {host} in time: all of the pool were in use")
        return ConnectTimeout(f"{what}: no connection to {host} in time")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        host = f"the proxy {error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        why, permanent, remedy = f"the proxy answered {error.status}", error.status not in _PASSING_STATUS, "the proxy"
    else:
        why, permanent, remedy = _why(getattr(error, "os_error", None) or error)
    failed = ConnectFailed(f"{what}: no connection to {host}: {why}")
    if permanent:
        failed.permanent = True
        failed.advice = f"repeating does not help: check {remedy}"
    return failed


def _why(error: BaseException) -> tuple[str, bool, str]:
    """The cause in words; whether no repetition can cure it; and what to look at."""
    certificate = getattr(error, "certificate_error", error)
    if isinstance(certificate, ssl.CertificateError):
        said = getattr(certificate, "verify_message", "") or "it does not fit"
        return (
            f"its certificate is not trusted ({said})",
            True,
            "the address, or name the authority (ca_file, ASYNCCONN_CA_FILE)",
        )
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return "its certificate has another fingerprint", True, "the fingerprint"
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    if isinstance(error, socket.gaierror):
        if error.errno in _UNKNOWN:
            return "its name is unknown", True, "the spelling of the address"
        return f"its name could not be looked up ({error.strerror})", False, ""
    if isinstance(error, ConnectionRefusedError):
        return "refused; is it running, and is the port right?", False, ""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower(), False, ""
    return "it broke before anything was sent", False, ""


def _of_tls(error: ssl.SSLError) -> tuple[str, bool, str]:
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"):
        return "it does not speak TLS there", True, "whether the address begins with http://"
    words = reason.replace("_", " ").lower() or "the handshake failed"
    # The other side may break off, or fail, and do better the next time; on what TLS it speaks, it will not.
    passing = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "INTERNAL_ERROR" in reason
    return f"TLS: {words}", not passing, "certificates and TLS versions of both sides (client_cert)"
