"""The sub-protocol of a WebSocket: what its client and an endpoint agree on in the handshake (RFC 6455 §1.9)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from aiohttp import web

__all__ = ["PROTOCOL", "agree"]

PROTOCOL = "Sec-WebSocket-Protocol"


def agree(request: web.Request, known: Sequence[str] = ()) -> tuple[web.Request, str | None]:
    """The sub-protocol for a handshake (RFC 6455 §4.2.2): of those that the client offers the one that is `known`
    first, if any; and the request to be prepared with it.

    aiohttp would look at one header only, prefer the client's order, and log a warning for each client that offers
    nothing known, which it is let in without. So what it sees is the choice.
    """
    if PROTOCOL not in request.headers:
        return request, None
    offered = {name.strip() for header in request.headers.getall(PROTOCOL) for name in header.split(",")}
    chosen = next((name for name in known if name in offered), None)
    headers = request.headers.copy()
    del headers[PROTOCOL]
    if chosen is not None:
        headers[PROTOCOL] = chosen
    with contextlib.suppress(RuntimeError):  # somebody has read a body, which no handshake has
        request = request.clone(headers=headers)
    return request, chosen
