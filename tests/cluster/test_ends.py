"""Whichever end of a carried request ends, the other does; what a session's client is told when its worker is gone, or
cannot be reached; and nothing is kept for whoever does not read.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.cluster import hops as hops_module
from realtime.cluster import places
from realtime.cluster.forward import BROKE_OFF
from realtime.cluster.places import place_at
from realtime.web.links import HIGH_WATER

from ..patience import arrives, eventually
from ..web.peer import Cut, HttpPeer, StreamPeer, WebSocketPeer
from .fleet import fleet
from .workers import Worker


def buffered(worker: Worker) -> int:
    """How many bytes a worker keeps for clients and for others."""
    hops = sum(hop.transport.get_write_buffer_size() + len(hop._buffer) for hop in worker.hops.open)
    clients = 0
    for hop in worker.hops.open:
        partner: Any = getattr(hop.full, "__self__", None)
        if partner is not None:
            clients += partner._transport.get_write_buffer_size()
    return hops + clients


@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_a_client_that_leaves_is_missed(transport: str) -> None:
    async with fleet() as one:
        peer, session, owner = await one.opened(transport, "/park")
        one.from_now_on(one.other(owner))
        held: asyncio.Task[Any] | None = None
        if isinstance(peer, HttpPeer) and not isinstance(peer, StreamPeer):
            held = asyncio.create_task(peer.poll())
        else:
            await arrives(peer.resume())
        await eventually(lambda: one.other(owner).hops.open)
        await eventually(lambda: session._machine.carrier is not None)
        if held is not None:
            held.cancel()
        await peer.drop()
        await eventually(lambda: session._machine.carrier is None)
        await eventually(lambda: len(one.other(owner).hops.open) == one.other(owner).hops.idle)


@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_the_worker_of_a_session_is_gone(transport: str) -> None:
    async with fleet() as one:
        peer, session, owner = await one.opened(transport, "/park")
        one.from_now_on(one.other(owner))
        held: asyncio.Task[Any] | None = None
        if isinstance(peer, HttpPeer) and not isinstance(peer, StreamPeer):
            held = asyncio.create_task(peer.poll())
        else:
            await arrives(peer.resume())
        await eventually(lambda: one.other(owner).hops.open)
        await eventually(lambda: session._machine.carrier is not None)
        owner.kill()
        if held is not None:  # which may be tried again
            answer = await arrives(held)
            assert (answer.status, answer.frames[0].split(",")[:2]) == (503, ["x4503", "carrier"])
        else:
            with pytest.raises((Cut, aiohttp.ClientPayloadError)):
                while True:
                    await arrives(peer.read())
        # Its client comes again, and is told at once that the session is gone.
        await arrives(peer.drop())
        if isinstance(peer, WebSocketPeer):
            await arrives(peer.resume())
            assert await arrives(peer.end()) == (4404, "x")
        else:
            assert isinstance(peer, HttpPeer)
            await arrives(peer.ask()) if transport == "sse" else None
            told = await arrives(peer.refused(peer.attach_frame()))
            assert told.frames[0].split(",")[:2] == ["x4404", "session"]
            assert told.status == (200 if transport == "sse" else 404)


async def test_a_worker_that_cannot_be_reached_and_has_a_lease_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[asyncio.StreamWriter] = []
    async with fleet() as one:
        peer, session, owner = await one.opened("polling", "/park")
        assert isinstance(peer, HttpPeer)
        other = one.other(owner)
        one.from_now_on(other)
        other.hops.close()
        place = Path(place_at(owner.peer.address)[0].path)
        away = f"{place}.aside"
        await asyncio.to_thread(place.rename, away)
        silent = await asyncio.start_unix_server(lambda reader, writer: came.append(writer), place)
        with monkeypatch.context() as impatient:
            impatient.setattr(hops_module, "HANDSHAKE_PATIENCE", 0.05)
            told = await arrives(peer.poll())
        assert (told.status, told.frames[0].split(",")[:2]) == (503, ["x4503", "carrier"])
        silent.close()
        await asyncio.to_thread(Path(away).replace, place)
        assert (await arrives(peer.poll())).status == 200
        assert not session.closed
    for writer in came:
        writer.close()


async def test_a_worker_on_another_machine_is_not_dead_for_want_of_its_socket_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet() as one:
        peer, session, owner = await one.opened("polling", "/park")
        assert isinstance(peer, HttpPeer)
        other = one.other(owner)
        one.from_now_on(other)
        other.hops.close()
        monkeypatch.setattr(places, "this_machine", lambda: "another")
        place = Path(place_at(owner.peer.address)[0].path)
        away = f"{place}.aside"
        await asyncio.to_thread(place.rename, away)
        told = await arrives(peer.poll())
        assert (told.status, told.frames[0].split(",")[:2]) == (503, ["x4503", "carrier"])
        await asyncio.to_thread(Path(away).replace, place)
        assert (await arrives(peer.poll())).status == 200
        assert not session.closed


@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming"])
async def test_who_does_not_read_stops_the_sender(transport: str) -> None:
    async with fleet(max_outbox=100_000, max_outbox_size=64 * 2**20, max_stream_size=2**30) as one:
        peer, session, owner = await one.opened(transport, "/park", window=[100_000, 100 * 2**20])
        other = one.other(owner)
        peer.url = f"{other.url}/realtime/park"
        await arrives(peer.resume())
        await eventually(lambda: session._machine.carrier is not None)
        if isinstance(peer, WebSocketPeer):
            peer.socket.pause_reading()
        total = 500
        for _ in range(total):
            session.send_nowait("x" * 50_000)
        carrier = session._machine.carrier
        assert carrier is not None
        await eventually(lambda: not carrier.link.writable)
        before = -1
        while carrier.written != before:  # until nothing moves any more
            before = carrier.written
            for _ in range(50):
                await asyncio.sleep(0.002)
        assert carrier.written < total * 40_000  # what the kernel keeps, of a connection and of a hop
        assert buffered(other) < 6 * HIGH_WATER
        if isinstance(peer, WebSocketPeer):
            peer.socket.resume_reading()
        for _ in range(total):
            assert await arrives(peer.news()) == "m" + "x" * 50_000


async def test_whether_an_open_was_taken_that_a_worker_broke_off_nobody_says() -> None:
    """A refusal would say that nothing behind it was: so it is none."""
    asked = asyncio.Event()

    async def at_once(request: realtime.SessionRequest) -> str:
        return "ada"

    async def never(request: realtime.SessionRequest) -> str:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with fleet(2) as one:
        owner, other = one.workers
        for worker in one.workers:
            worker.server.authorize(at_once)
        frames = ["o" + json.dumps({"nonce": "n" * 22, "gen": 1, "window": [16, 65_536]}), "mtaken, perhaps"]

        async def post(worker: Worker) -> tuple[int, str]:
            url = f"{worker.url}/realtime/echo/v1/long_polling"
            async with one.http.post(url, data=json.dumps(frames)) as answer:
                return answer.status, await answer.text()

        assert (await arrives(post(owner)))[0] == 200
        owner.server.authorize(never)
        again = asyncio.create_task(post(other))
        await arrives(asked.wait())
        assert other.forwarder.count == 1
        owner.kill()
        assert await arrives(again) == (502, BROKE_OFF)  # and no batch
