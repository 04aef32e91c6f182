"""WebSockets: handshakes that go where they were sent and nowhere else, and reading one whose server never pauses.

aiohttp follows a redirect of a handshake. What comes behind it (auth data, a session's key) and the headers that the
application gave are for the server that was named, so no request of this client's is redirected.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from ..pace import Pace

__all__ = ["connect_websocket", "messages", "no_redirects"]


def no_redirects() -> aiohttp.TraceConfig:
    """For a session of our own: a request that is redirected fails with WSServerHandshakeError, and is not repeated."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_redirected)
    return trace


async def _redirected(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    params.response.close()
    raise _failure(params.response)


async def connect_websocket(http: aiohttp.ClientSession, url: URL, **options: Any) -> aiohttp.ClientWebSocketResponse:
    """A WebSocket to just this URL. Raises what ws_connect() does, and WSServerHandshakeError for a redirect.

    In a session of the application's own, which has no no_redirects(), aiohttp has made the handshake with the other
    server by then: nothing more is said to that.
    """
    ws: aiohttp.ClientWebSocketResponse
    try:
        ws = await http.ws_connect(url, **options)
    except aiohttp.ClientResponseError as error:
        if isinstance(error, aiohttp.WSServerHandshakeError) or error.headers is None:
            raise
        # The application's session raises for a status itself.
        raise aiohttp.WSServerHandshakeError(
            error.request_info, error.history, status=error.status, message=error.message, headers=error.headers
        ) from None
    history = ws._response.history
    if history:
        ws._response.close()
        raise _failure(history[0])
    return ws


async def messages(ws: aiohttp.ClientWebSocketResponse) -> AsyncIterator[aiohttp.WSMessage]:
    """What comes on a WebSocket, until it ends; however much has come already, others have their turn."""
    connection = ws._response.connection
    pace = Pace(None if connection is None else connection.transport)
    async for message in ws:
        await pace.step()
        yield message


def _failure(response: aiohttp.ClientResponse) -> aiohttp.WSServerHandshakeError:
    return aiohttp.WSServerHandshakeError(
        response.request_info,
        (),
        status=response.status,
        message="a handshake is not redirected",
        headers=response.headers,
    )
