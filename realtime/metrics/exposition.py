"""Metrics: a server's tally in a registry of prometheus-client, and behind a route."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..server import Server
from ..web.carried import Counts, carrying
from . import families
from .tally import Tally

__all__ = ["Metrics"]


class Metrics(Collector):
    """Counts what happens at a server from now on, and shows it in a registry (docs/metrics.md).

    `registry` is where it is registered, prometheus_client.REGISTRY for instance; None for one of its own, which
    `.registry` is in any case. Raises ValueError when the registry has the metrics of a server already.
    """

    def __init__(self, server: Server, *, registry: CollectorRegistry | None = None) -> None:
        self.registry: CollectorRegistry = CollectorRegistry() if registry is None else registry
        self._service = server._service
        self._tally = Tally(session._machine for session in server.sessions)
        self.registry.register(self)
        self._service.observe(self._tally)

    def describe(self) -> Iterator[Metric]:
        """The metrics there are: what a registry asks for when it takes this in."""
        return families.describe()

    def collect(self) -> Iterator[Metric]:
        """The metrics as they stand. May be called from any thread."""
        cluster = carrying(self._service)
        counts = Counts() if cluster is None else cluster.counts()
        return families.collect(self._tally, self._service, counts)

    async def handle(self, request: web.Request) -> web.Response:
        """Answers a scrape with all that is in the registry, in the format that the scraper accepts."""
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(self.registry), headers={"Content-Type": content_type})
