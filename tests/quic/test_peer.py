"""A QUIC connection's clock: what is due by time waits where the process stood still."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.quic import peer as peer_module
from realtime.quic.peer import Peer

from ..patience import within


class Jumping:
    """An event loop whose clock is ahead of the real one."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self._loop.time() + self.ahead

    def call_at(self, when: float, callback: Any) -> asyncio.TimerHandle:
        return self._loop.call_at(when - self.ahead, callback)


class Due:
    """Of aioquic's connection what its clock needs: something is due at once, until it is served."""

    close_event = None

    def __init__(self) -> None:
        self.log: list[str] = []
        self.due: float | None = asyncio.get_running_loop().time()
        self.served = asyncio.Event()

    def get_timer(self) -> float | None:
        return self.due

    def handle_timer(self, now: float) -> None:
        self.log.append("timer")
        self.due = None
        self.served.set()

    def receive_datagram(self, data: bytes, address: Any, now: float) -> None:
        self.log.append("datagram")

    def next_event(self) -> None:
        return None

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        return []


async def test_what_came_while_the_process_stood_still_is_read_before_anything_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer_module, "CATCHING_UP", 0.02)
    quic: Any = Due()
    loop: Any = Jumping()
    peer = Peer(quic, lambda data, address: None)
    peer._loop = loop
    peer.transmit()
    loop.ahead = 60.0
    await asyncio.sleep(0)  # as event loops do, it makes the overdue call before it reads
    await asyncio.sleep(0)
    peer.received(b"a sign of life", None)
    peer.transmit()  # what is written meanwhile hurries nothing
    async with within():
        await quic.served.wait()
    assert quic.log == ["datagram", "timer"]
