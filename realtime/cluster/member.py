"""A server as a worker of a cluster: its port, and its place in the directory."""

from __future__ import annotations

import secrets
from contextlib import suppress

from ..brokers.base import Store
from ..clock import Patience
from ..core.errors import BrokerError
from ..core.leases import Peer
from ..owners import LEFT
from ..service import Service
from .base import Port
from .directory import Directory
from .settings import Cluster

__all__ = ["Member"]

# A claim outlives its worker by a tombstone's life: this is that, and the time between two renewals.
LIFE = 1.25
SETTLING = 1.0  # seconds
NOT_STARTED = "this worker has not started"


class Member:
    """See realtime.owners.Member."""

    def __init__(self, service: Service, store: Store, cluster: Cluster, port: Port) -> None:
        self.directory: Directory | None = None
        self._service = service
        self._store = store
        self._cluster = cluster
        self._port = port

    @property
    def drain_timeout(self) -> float:
        """For how many seconds its sessions may go to others."""
        return self._cluster.drain_timeout

    @property
    def problem(self) -> str:
        """Why it can take no sessions."""
        try:
            if self.directory is not None:
                self.directory.check()
        except BrokerError as error:
            return str(error)
        return "" if self.directory is not None else NOT_STARTED

    @property
    def note(self) -> str:
        """Why it takes no new sessions for a while, as no other worker does."""
        seconds = 0.0 if self.directory is None else self.directory.wait()
        why = "the store may have forgotten what was opened before, and so not every session is opened"
        return f"{why} for {seconds:.0f} s" if seconds else ""

    async def start(self) -> None:
        """Listens, and begins to register."""
        sessions, config = self._service.sessions, self._service.config
        incarnation = sessions.incarnation = secrets.token_urlsafe(12)
        address = await self._port.start(sessions.worker, incarnation)
        self.directory = sessions.owners = Directory(
            self._store,
            Peer(sessions.worker, incarnation, address),
            rename=sessions.rename,
            ends=sessions.ends,
            count=lambda key: sessions.registry.count(key),
            counted=lambda: sessions.registry.counted(),
            lease=self._cluster.lease,
            life=config.lifetime * LIFE,
            most=config.max_tombstones,
        )
        self.directory.start()

    async def settle(self) -> None:
        """Waits a moment until it is registered: where the store answers, the first opens are not turned away."""
        if self.directory is not None:
            with suppress(TimeoutError):
                async with Patience(SETTLING):
                    await self.directory.registered.wait()

    async def close(self) -> None:
        """Leaves word of its sessions, then the directory, and listens no more."""
        if self.directory is not None:
            await self.directory.leave()
            self.directory, self._service.sessions.owners = None, LEFT
        await self._port.close()

    def returned(self, run: str) -> None:
        """A run of the store answers that did not before."""
        if self.directory is not None:
            self.directory.returned(run)

    def failed(self) -> None:
        """The store does not answer."""
        if self.directory is not None:
            self.directory.failed()
