"""What every request of a client to an endpoint has in common, a session's as well as the doctor's: its address, how a
stream begins, and what a failure means in words.

Which transports this client runs is not written here: all of TRANSPORTS, but those that need a page.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import aiohttp
from yarl import URL

from ..core.carrier import Shape
from ..core.choice import DUPLEX, HELD, POLL, STREAM
from ..core.errors import LocalProtocolError, RemoteProtocolError
from ..core.settings import shown
from ..protocols.native import NativeCodec
from ..transports import ALL_TRANSPORTS, TRANSPORTS, WEBTRANSPORT, Transport, WebSocketMessages
from ..transports.batch import join, quote

__all__ = [
    "BATCH",
    "FAILURES",
    "NOT_FOUND",
    "address",
    "begin_stream",
    "beginning_of",
    "browsers_only",
    "codec",
    "connect_error",
    "endpoint_url",
    "has_shape",
    "kind_of",
    "needs_url",
    "negotiation_url",
    "own_transports",
    "tls_error",
    "with_origin",
    "with_port_of_their_own",
    "words",
]

# What aiohttp raises where the network fails.
FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
# What a 404 means that is not in the protocol: the application answers, and nothing of ours is there.
NOT_FOUND = "HTTP 404, and not in the protocol: is setup() called with this prefix?"
# What OpenSSL calls an answer that is no TLS, in one version or another.
NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
# The headers of a request whose body is a batch.
BATCH = {"Content-Type": "text/plain;charset=UTF-8"}


# -- transports ------------------------------------------------------------------------------------------------------


def own_transports() -> tuple[str, ...]:
    """The names of the transports that this client runs, in the order of TRANSPORTS."""
    return tuple(name for name, transport in TRANSPORTS.items() if not _is_script(transport))


def with_port_of_their_own() -> tuple[str, ...]:
    """The names of those that this client runs where a server has opened a port for them."""
    return (WEBTRANSPORT.name,)


def browsers_only() -> tuple[str, ...]:
    """The names of the transports whose answers are scripts: they need a page that runs them."""
    return tuple(name for name, transport in TRANSPORTS.items() if _is_script(transport))


def _is_script(transport: Transport) -> bool:
    return transport.framing == "script"


def codec(name: str) -> NativeCodec:
    """How frames lie on a carrier of this transport, at the client."""
    transport = TRANSPORTS.get(name, WEBTRANSPORT)
    # A WebSocket library frames what it sends, so the server's framing is not for the client.
    by_messages = transport.shape is Shape.DUPLEX and transport is not WEBTRANSPORT
    return NativeCodec(WebSocketMessages() if by_messages else transport, "client")


def has_shape(name: str, shape: Shape) -> bool:
    """Whether carriers of a transport have this shape."""
    return ALL_TRANSPORTS[name].shape is shape


def kind_of(name: str) -> int:
    """What the policy takes carriers of a transport for."""
    transport = ALL_TRANSPORTS[name]
    return {Shape.DUPLEX: DUPLEX, Shape.STREAM: STREAM, Shape.POLL: HELD if transport.held else POLL}[transport.shape]


def needs_url(name: str) -> bool:
    """Whether the first frame of a carrier of this transport can only stand in the URL: of streams that are fetched."""
    return ALL_TRANSPORTS[name].method == "GET" and has_shape(name, Shape.STREAM)


# -- requests --------------------------------------------------------------------------------------------------------


def endpoint_url(url: str | URL) -> URL:
    """An endpoint's URL with a scheme for HTTP. Raises TypeError and LocalProtocolError for what is none."""
    if not isinstance(url, (str, URL)):
        raise TypeError(f"url={shown(url)}: takes an endpoint's URL, such as http://host/realtime/chat")
    try:
        parsed = URL(url)
        scheme = {"ws": "http", "wss": "https"}.get(parsed.scheme, parsed.scheme)
        if scheme in ("http", "https") and parsed.host:
            return parsed.with_scheme(scheme).with_fragment(None)
    except ValueError:
        pass
    raise LocalProtocolError(f"an endpoint's URL looks like http://host/realtime/chat, not {str(url)!r}")


def address(endpoint: URL, name: str) -> URL:
    """The URL of a transport of an endpoint, or of "send"."""
    return endpoint.with_path(f"{endpoint.path.rstrip('/')}/v1/{name}").with_query(endpoint.query)


def negotiation_url(endpoint: URL) -> URL:
    """Where a server says which transports there are."""
    return endpoint.with_path(f"{endpoint.path.rstrip('/')}/negotiate").with_query(endpoint.query)


def with_origin(http: aiohttp.ClientSession, endpoint: URL, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with the endpoint's own origin where there are cookies for it, or a log-in, and no Origin is given:
    no server shows these to its application without (docs/protocol.md §9)."""
    given = {name.lower() for name in headers}
    shows = not given.isdisjoint(("cookie", "authorization")) or http.auth is not None or endpoint.user is not None
    if "origin" in given or not (shows or http.cookie_jar.filter_cookies(endpoint)):
        return dict(headers)
    return {**headers, "Origin": str(endpoint.origin())}


def begin_stream(
    http: aiohttp.ClientSession,
    endpoint: URL,
    name: str,
    first: str,
    headers: Mapping[str, str],
    proxy: URL | None = None,
    more: Sequence[str] = (),
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """The request of a stream: its first frame in the body, and what follows it there; or that alone in the URL, where
    it can only be there."""
    url, timeout = address(endpoint, name), aiohttp.ClientTimeout(total=None)
    if needs_url(name):
        url = url.update_query(frame=first)
        return http.get(
            url, headers=headers, timeout=timeout, allow_redirects=False, raise_for_status=False, proxy=proxy
        )
    return http.post(
        url,
        data=join(list(map(quote, [first, *more]))),
        headers={**headers, **BATCH},
        timeout=timeout,
        allow_redirects=False,
        raise_for_status=False,
        proxy=proxy,
    )


async def beginning_of(response: aiohttp.ClientResponse, size: int) -> bytes:
    """An answer's body, of which no more is read when it has more than `size` bytes. Raises one of FAILURES."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > size:
            break
    return bytes(body)


# -- failures --------------------------------------------------------------------------------------------------------


def words(error: BaseException) -> str:
    """A failure in words."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status == 404:
            return NOT_FOUND
        return f"the WebSocket handshake was answered with HTTP {error.status}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the forward proxy refuses the connection with HTTP {error.status}"
    if isinstance(error, aiohttp.ClientResponseError):  # whose own words have the URL, and that has the sid
        return f"the answer is no HTTP: {error.message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientSSLError):
        return tls_error(error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {connect_error(error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "cut without an answer, as http: is at a port of TLS"
    if isinstance(error, RemoteProtocolError):
        return error.reason
    return str(error) or type(error).__name__


def connect_error(error: aiohttp.ClientConnectorError) -> str:
    """Where no connection could be made to, and why."""
    cause = error.os_error
    why = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror or str(cause)
    return f"{error.host} port {error.port}: {why}"


def tls_error(error: aiohttp.ClientSSLError) -> str:
    """Why no TLS connection could be made."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", None) or error.certificate_error
        return f"the certificate of {error.host} port {error.port} is not trusted: {why}"
    if getattr(error.os_error, "reason", None) in NO_TLS:
        return f"no TLS is spoken at {error.host} port {error.port}: the URL may have to begin with http:"
    return f"no TLS connection to {error.host} port {error.port}: {error.strerror or error}"
