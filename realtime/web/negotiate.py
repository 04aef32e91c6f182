"""`GET <endpoint>/negotiate`: which transports a request would be offered, and why, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from ..core.negotiation import Choice
from ..endpoint import Endpoint
from ..protocols.native import VERSION
from .origins import cors_headers

__all__ = ["explained", "named"]

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def named(request: web.Request) -> list[str]:
    """The transports that the client says it has, most wanted first."""
    return [name for name in request.query.get("transports", "").split(",") if name][:32]


def explained(request: web.Request, endpoint: Endpoint, choices: Sequence[Choice]) -> web.Response:
    """The choices as a text for who asks for HTML, as browsers do, or else as JSON."""
    accepted = request.headers.get("Accept", "")
    if "json" not in accepted and "text/html" in accepted:
        lines = [f"{choice.name:<14} {choice.verdict:<8}  {choice.reason}" for choice in choices]
        return web.Response(text="\n".join(lines) + "\n", headers=HEADERS)
    told = {"endpoint": endpoint.path, "version": VERSION, "transports": [choice.as_dict() for choice in choices]}
    return web.json_response(told, headers=HEADERS | cors_headers(request.headers))
