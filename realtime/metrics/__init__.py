"""Metrics for Prometheus, by the extra `pip install 'aiohttp-realtime[metrics]'` (docs/metrics.md).

realtime.metrics.setup(app, rt, path="/metrics")           a route to scrape
realtime.metrics.Metrics(rt, registry=REGISTRY)            or a registry that is scraped already
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ..server import Server

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from .exposition import Metrics
else:
    try:
        from .exposition import Metrics
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        from .absent import Metrics

__all__ = ["Metrics", "setup"]


def setup(
    app: web.Application, server: Server, *, path: str = "/metrics", registry: CollectorRegistry | None = None
) -> Metrics:
    """Counts what happens at `server` from now on, and answers GET `path` of `app` with it; returns the Metrics.

    `registry` is taken instead of a new one, and shown as a whole. The application need not be the server's own: one
    that listens on an inner port keeps the figures private. Raises ImportError without prometheus-client, ValueError
    for a path that does not start with "/" and for a registry that has the metrics of a server already.
    """
    if not path.startswith("/"):
        raise ValueError(f'a path starts with "/": {path!r}')
    metrics = Metrics(server, registry=registry)
    app.router.add_get(path, metrics.handle)
    return metrics
