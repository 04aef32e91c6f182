"""aiohttp's access log: a line for a request of the protocol has its path, and not the query, which holds the open or
names a session and is longer than all else in the line.

An access logger of the application's own is left alone: it is shown every request as it came. Knows no sessions.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.web_log import AccessLogger

__all__ = ["PathLogger", "log_path_only"]


class PathLogger(AbstractAccessLogger):
    """In the place of aiohttp's access logger, for one connection, whose requests come one after another."""

    def __init__(self, logger: AccessLogger) -> None:
        self._all = logger
        self._request: web.BaseRequest | None = None  # the one that is logged otherwise
        self._shown: web.BaseRequest

    def note(self, request: web.Request) -> None:
        """This request will be logged without its query."""
        self._request = request
        # Now, since its connection and what was read of it may be gone by then.
        self._shown = request.clone(rel_url=request.rel_url.with_query(None))

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Called by aiohttp, when a request has been answered."""
        if request is self._request:
            self._request = None
            request = self._shown
            del self._shown
        self._all.log(request, response, time)


def log_path_only(request: web.Request) -> None:
    """Keeps the query of a request out of aiohttp's access log. To be called before its body is read."""
    protocol = request.protocol
    logger = getattr(protocol, "access_logger", None)
    if type(logger) is AccessLogger and logger.enabled:
        logger = protocol.access_logger = PathLogger(logger)
    if type(logger) is PathLogger:
        logger.note(request)
