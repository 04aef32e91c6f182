"""What stands for Metrics where prometheus-client is not installed."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Metrics"]


class Metrics:
    """Says what to install."""

    def __init__(self, server: object, *, registry: object = None) -> None:
        raise ImportError(
            "realtime.metrics needs prometheus-client: pip install 'aiohttp-realtime[metrics]'",
            name="prometheus_client",
        )

    async def handle(self, request: Any) -> NoReturn:
        """Never called: there is no instance."""
        raise NotImplementedError
