"""Servers that are workers of a cluster, without ports: nothing is carried between them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

import realtime
from realtime.brokers.base import Refused, Store, Stores
from realtime.cluster.directory import Directory
from realtime.cluster.member import Member
from realtime.cluster.settings import Cluster
from realtime.core.errors import Refusal
from realtime.core.frames import Window
from realtime.core.proof import Key, Proof
from realtime.service import Service
from realtime.session import Session

from ..patience import arrives, eventually

__all__ = ["Worker", "Workers", "proof_of", "refused"]

SECRET = "0123456789abcdef0123456789abcdef"


class Nowhere:
    """A port at which nobody comes."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.closed = False

    async def start(self, worker: str, incarnation: str) -> str:
        self.started.append((worker, incarnation))
        return f"unix:/nowhere/{incarnation}"

    async def close(self) -> None:
        self.closed = True


class Workers:
    """What servers are told to be workers of."""

    def __init__(self, lease: float = 10.0, drain_timeout: float = 0.0) -> None:
        self.cluster = Cluster(secret=SECRET, lease=lease, drain_timeout=drain_timeout)
        self.ports: list[Nowhere] = []

    def check_broker(self, broker: Stores) -> None:
        self.cluster.check_broker(broker)

    def member(self, service: Service, store: Store) -> Member:
        self.ports.append(Nowhere())
        return Member(service, store, self.cluster, self.ports[-1])


class Worker:
    """A server that was started."""

    def __init__(self, broker: Stores, workers: Workers, **settings: Any) -> None:
        self.rt = realtime.Server(broker=broker, max_sessions=3, max_sessions_per_identity=2, **settings)
        self.service = self.rt._service
        self.service.cluster = workers
        self.sessions = self.service.sessions
        self.handled = 0

        @self.rt.endpoint("/x")
        async def handler(session: Session) -> None:
            self.handled += 1
            await session.wait_closed()

    @property
    def directory(self) -> Directory:
        owners = self.sessions.owners
        assert isinstance(owners, Directory)
        return owners

    async def start(self) -> Worker:
        self.service.start()
        await self.service.start_rooms()
        await eventually(self.registered)
        return self

    def registered(self) -> bool:
        try:
            self.directory.check()
        except Refused:
            return False
        return True

    async def open(self, nonce: str, binding: object = "bound", *, handed: str = "", **more: Any) -> Session:
        request = realtime.SessionRequest()
        request._handed = handed
        facts = {"window": Window(16, 65_536), "identity": None} | more
        return await arrives(
            self.sessions.open(self.service.endpoints["/x"], nonce=nonce, binding=binding, request=request, **facts)
        )


async def refused(call: Awaitable[object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value


def proof_of(session: Session) -> Proof:
    """What its client shows."""
    return Proof(Key(session._machine.secret))
