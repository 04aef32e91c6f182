"""`GET <endpoint>/negotiate`: which transports this request would be offered, and why (docs/negotiation.md)."""

from __future__ import annotations

from aiohttp import web

from ..core.errors import Refusal
from ..protocols.native import VERSION
from .answers import bodiless
from .origins import cors_headers
from .replies import turned_away
from .routes import Routes, preflight

__all__ = ["NegotiateRoutes"]

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
METHODS = ("GET", "HEAD", "OPTIONS")
# So many names are looked at, of those that a client may run.
MAX_NAMES = 32


class NegotiateRoutes(Routes):
    """Serves `<endpoint>/negotiate` for all endpoints of a server."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """JSON; in a browser's window, lines for a person."""
        try:
            admission = self._check_page(request)
            endpoint = self._endpoint(request)
            if request.method not in METHODS:
                raise Refusal(4405, f"negotiate takes GET, not {request.method}")
        except Refusal as refusal:
            self._service.refused(refusal.code)
            return turned_away(request, refusal, "GET, HEAD")
        if request.method == "OPTIONS":
            return bodiless(204, preflight(request))
        named = [name for name in request.query.get("transports", "").split(",") if name][:MAX_NAMES]
        choices = self._service.networks.negotiate(endpoint, self._facts(request, "", admission), named)
        # Of several, which has answered: what its sids begin with.
        worker = {} if self._service.carrying is None else {"worker": self._service.sessions.worker}
        if "json" not in request.headers.get("Accept", "") and "text/html" in request.headers.get("Accept", ""):
            lines = [f"{choice.name:<14} {choice.verdict:<8}  {choice.reason}" for choice in choices]
            lines += [f"answered by worker {name}" for name in worker.values()]
            return web.Response(text="\n".join(lines) + "\n", headers=HEADERS)
        offered = [choice.as_dict() for choice in choices]
        told = {"endpoint": endpoint.path, "version": VERSION, "transports": offered} | worker
        response = web.json_response(told, headers=HEADERS)
        response.headers.update(cors_headers(request.headers))
        return response
