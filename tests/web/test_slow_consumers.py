"""Clients that do not read: what each policy does to them, and to nobody else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import realtime
from realtime import SendBufferFull, SessionClosed
from realtime.testing import VirtualClock

from ..patience import arrives
from .peer import Cut, Peer, WebSocketPeer
from .place import Place, eventually, serving

pytestmark = pytest.mark.usefixtures("quiet_log")

LARGE = "x" * 60_000


@asynccontextmanager
async def stuffed(place: Place, transport: str) -> AsyncIterator[tuple[Peer, realtime.Session]]:
    """A client that reads nothing: over WebSocket with full TCP buffers, or between two polls."""
    peer, session = await place.parked(transport, window=(10_000, 1 << 30))
    if isinstance(peer, WebSocketPeer):
        peer.socket.pause_reading()
        carrier = session._machine.carrier
        assert carrier is not None
        link = carrier.link
        # Or the system would take more of it later, whenever it finds room for larger buffers.
        sock = link.transport.get_extra_info("socket")  # type: ignore[attr-defined]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        peer.socket.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        peer.acking = False
        while link.writable:
            session.send_nowait(LARGE)
            await asyncio.sleep(0)
    yield peer, session


def start_reading(peer: Peer) -> None:
    """The client wakes up."""
    if isinstance(peer, WebSocketPeer):
        peer.acking = True
        peer.socket.resume_reading()


async def messages(peer: Peer, last: str) -> list[str]:
    """What comes up to `last`, without the stuffing."""
    frames: list[str] = []
    while not frames or frames[-1] != last:
        frame = await peer.news()
        assert isinstance(frame, str)
        if frame != "m" + LARGE:
            frames.append(frame)
    return frames


@pytest.mark.parametrize("transport", ["websocket", "long_polling"])
async def test_wait(transport: str) -> None:
    async with serving(max_outbox=200, max_outbox_size=1 << 30) as place, stuffed(place, transport) as (peer, session):
        kept = len(session._machine.outbox)
        assert kept < 200
        for number in range(200 - kept):
            await arrives(session.send(str(number)), "room for one more")
        with pytest.raises(SendBufferFull):
            session.send_nowait("too much")
        waiting = [asyncio.create_task(session.send(f"waits {number}")) for number in range(3)]
        done, _ = await asyncio.wait(waiting, timeout=0.02)
        assert not done
        start_reading(peer)
        expected = [f"m{number}" for number in range(200 - kept)] + [f"mwaits {number}" for number in range(3)]
        assert await messages(peer, "mwaits 2") == expected
        await asyncio.gather(*waiting)


@pytest.mark.parametrize("transport", ["websocket", "long_polling"])
async def test_drop_oldest(transport: str) -> None:
    async with (
        serving(max_outbox=200, max_outbox_size=1 << 30, on_full="drop_oldest") as place,
        stuffed(place, transport) as (peer, session),
    ):
        machine = session._machine
        numbered = machine.outbox.last
        stuffing = machine.outbox.unnumbered  # in the outbox, and not written
        for number in range(500):
            await session.send(str(number))
        assert len(machine.outbox) == 200
        room = 200 - numbered - 1  # but for the note
        start_reading(peer)
        frames = await messages(peer, "m499")
        assert frames == [f"d{500 + stuffing - room}", *(f"m{number}" for number in range(500 - room, 500))]
        assert machine.outbox.dropped == 500 + stuffing - room


@pytest.mark.parametrize("transport", ["websocket", "long_polling"])
async def test_close(transport: str) -> None:
    async with (
        serving(max_outbox=200, max_outbox_size=1 << 30, on_full="close") as place,
        stuffed(place, transport) as (peer, session),
    ):
        with pytest.raises(SessionClosed) as caught:
            for number in range(500):
                await session.send(str(number))
        assert caught.value.code == 1008
        assert session.close_code == 1008
        assert "on_full" in (session.close_reason or "")
        if transport == "long_polling":
            assert await peer.end() == (1008, "x")
            return
        start_reading(peer)
        with pytest.raises(Cut) as cut:
            while True:
                frame = await peer.news()
                assert frame == "m" + LARGE or str(frame).startswith("x1008,session")
        assert cut.value.code in (1008, 1006)


async def test_a_full_connection_is_written_to_when_it_has_drained() -> None:
    async with (
        serving(max_outbox=1000, max_outbox_size=1 << 30) as place,
        stuffed(place, "websocket") as (
            peer,
            session,
        ),
    ):
        carrier = session._machine.carrier
        assert carrier is not None
        for number in range(100):
            await session.send(str(number))
        await asyncio.sleep(0)
        assert not carrier.link.writable
        assert session._machine.outbox.unnumbered == 100
        start_reading(peer)
        assert await messages(peer, "m99") == [f"m{number}" for number in range(100)]
        await session.flush()
        assert carrier.link.writable


async def test_one_that_never_reads_is_cut_off_in_the_end() -> None:
    async with (
        serving(clock=VirtualClock(), max_outbox=200, max_outbox_size=1 << 30) as place,
        stuffed(place, "websocket") as (_, session),
    ):
        await eventually(lambda: session._machine.used)
        place.tick(20.1)
        place.tick(20.1)
        assert session.state is realtime.State.DETACHED
        place.tick(120.1)
        assert session.close_code == 4410
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


async def test_what_a_client_sends_while_its_session_does_not_take_it(transport: str) -> None:
    async with serving(max_queue=16) as place:
        peer, session = await place.parked(transport)
        await peer.send(*(f"m{number}" for number in range(16)))
        await eventually(lambda: session._machine.inbox.received == 16)
        assert [await session.receive() for _ in range(4)] == ["0", "1", "2", "3"]
        await peer.send(*(f"m{number}" for number in range(16, 20)))
        assert [await session.receive() for _ in range(16)] == [str(number) for number in range(4, 20)]
        await peer.send("q", "p")
        await peer.send("mlast")
        assert await session.receive() == "last"
