"""A QUIC connection's clock: what is due by time waits where the process stood still."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.quic import peer as peer_module
from realtime.quic.peer import Peer

from ..patience import within


class Overdue:
    """Of aioquic's connection what its clock needs: something is due since long ago, until it is served."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.due: float | None = asyncio.get_running_loop().time() - 60
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
    quic: Any = Overdue()
    peer = Peer(quic, lambda data, address: None)
    peer.transmit()
    await asyncio.sleep(0)  # as event loops do, it makes the overdue call before it reads
    await asyncio.sleep(0)
    peer.received(b"a sign of life", None)
    peer.transmit()  # what is written meanwhile hurries nothing
    async with within():
        await quic.served.wait()
    assert quic.log == ["datagram", "timer"]
