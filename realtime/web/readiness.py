"""The answer to a load balancer that asks whether to send requests here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ..core.settings import shown
from ..server import Server

__all__ = ["readiness"]


def readiness(server: Server) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler for a route of yours: `app.router.add_get("/ready", realtime.readiness(rt))`.

    It answers 200 while the server may be sent requests, else 503, with a line for each problem, of which none has
    credentials. See Server.health(). Raises TypeError for what is no Server.
    """
    if not isinstance(server, Server):
        raise TypeError(f"realtime.readiness(rt) takes a realtime.Server(), not {shown(server)}")

    async def ready(request: web.Request) -> web.Response:
        health = server.health()
        lines = ("ready" if health.ready else "not ready", *health.problems)
        return web.Response(
            text="\n".join(lines) + "\n", status=200 if health.ready else 503, headers={"Cache-Control": "no-store"}
        )

    return ready
