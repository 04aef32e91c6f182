"""Cuts the connections of a server that aiohttp knows nothing of any more, as the death of its process would."""

from __future__ import annotations

from realtime.service import Service
from realtime.web.native import NativeRoutes
from realtime.web.routes import Routes
from realtime.web.streams import StreamLink

__all__ = ["cut_what_was_taken_over"]


def cut_what_was_taken_over(service: Service) -> None:
    """WebSockets, streams, and connections on which clients poll."""
    for owner in (getattr(stop, "__self__", None) for stop in service.on_shutdown):
        if isinstance(owner, Routes):
            for link in tuple(owner._sockets.served):
                link.abort()
            for taken in tuple(owner._sockets._taken):
                if isinstance(taken, StreamLink):
                    taken.abort()
        if isinstance(owner, NativeRoutes):
            for connection in tuple(owner.straight.connections):
                connection.transport.abort()
