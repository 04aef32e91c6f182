"""What an application gives its server to make it one worker of several; and what that starts."""

from __future__ import annotations

import dataclasses

from ..brokers.base import Store
from ..service import Service
from . import settings
from .bridge import Bridges
from .forward import Forwarder
from .hops import Hops
from .member import Member
from .port import InnerPort

__all__ = ["Cluster"]


class Ways:
    """The ways between this worker and the others, out and in: a cluster.base.Port."""

    def __init__(self, service: Service, forwarder: Forwarder, port: InnerPort) -> None:
        self._service = service
        self._forwarder = forwarder
        self._port = port

    async def start(self, worker: str, incarnation: str) -> str:
        """Listens."""
        return await self._port.start(worker, incarnation)

    async def close(self) -> None:
        """Neither brings nor takes anything any more."""
        self._service.carrying = self._service.bridges = self._service.reach = None
        await self._forwarder.close()
        await self._port.close()


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Cluster(settings.Cluster):
    """What makes a server one worker of a cluster, for `realtime.Server(broker=…, cluster=…)` (docs/scaling.md).

    `secret` signs what workers tell each other: at least 32 characters, the same at all of them. Of several the first
    signs, and all are taken, so that it can be changed without a break. Without one it is read from the environment
    variable REALTIME_SECRET.

    `listen` is where the other workers reach this one: "unix:/run/chat/", a folder in which each worker makes a socket
    of its own; "unix:/run/chat/1.sock"; or "tcp://10.0.0.5:7000" (port 0: any). Without it each worker makes a folder
    below the system's for temporary files that only its user may enter: for workers on one machine. `advertise` is what
    the others are told, where that differs: it has to be given where `listen` is every address of the machine
    (0.0.0.0, [::]). With `tls`, an ssl.SSLContext each for the listening and the connecting side, what goes over TCP
    is encrypted. `lease` is for how many seconds a worker counts as alive that is not heard of: at least
    twice the broker's `timeout`.
    `drain_timeout` is for how many seconds its sessions may go to the others when its application shuts down; 0: they
    end at once.

    Raises LocalProtocolError for what these can't be, TypeError for a value of the wrong type.
    """

    def member(self, service: Service, store: Store) -> Member:
        """Makes a server's service a worker, over this store. Called in its event loop, by the server."""
        port = InnerPort(self, service)
        hops = Hops(self.secrets[0], None if self.tls is None else self.tls[1])
        service.carrying = forwarder = Forwarder(service, hops, port)
        service.reach = forwarder.tries
        service.bridges = Bridges(service, forwarder, port)
        return Member(service, store, self, Ways(service, forwarder, port))
