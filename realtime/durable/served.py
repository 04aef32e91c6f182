"""Which sessions a worker serves, and for how long the store keeps them. In a rolling deploy its workers differ: what
one has no endpoint for another may serve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..core.durable.opening import Opening
from ..core.durable.record import Record
from ..core.durable.takeover import unfinished
from ..endpoint import Endpoint
from ..sessions import Sessions

__all__ = ["Served"]


class Served:
    """`endpoints` has those that are served, by their paths."""

    def __init__(self, sessions: Sessions, endpoints: Mapping[str, Endpoint]) -> None:
        self._sessions = sessions
        self._endpoints = endpoints

    def __bool__(self) -> bool:
        """Whether any endpoint of this worker is durable."""
        return any(endpoint.durable for endpoint in self._endpoints.values())

    def endpoint(self, opening: Opening) -> Endpoint | None:
        """Where a session is served that was opened so, if it is at this worker."""
        endpoint = self._endpoints.get(opening.path)
        return endpoint if endpoint is not None and endpoint.durable else None

    def life(self, endpoint: Endpoint) -> float:
        """How long the store keeps a tombstone, and when it looks at a session of which nothing was written."""
        return endpoint.config.lifetime

    @property
    def longest(self) -> float:
        """The longest of these lives; infinity where there is none."""
        return max((self.life(one) for one in self._endpoints.values() if one.durable), default=math.inf)

    def due(self, life: float, record: Record) -> float:
        """The same, for what is written now: where something is to be done without its client, its owner has a lease to
        do it. (Where nobody has leases, there is none to tell that it is gone.)"""
        owners = self._sessions.owners
        lease = 0.0 if owners is None else owners.lease
        return min(life, lease) if lease and unfinished(record) else life
