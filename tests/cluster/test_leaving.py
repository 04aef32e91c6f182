"""A worker goes away that only carries: the clients of others' sessions come again by another, without a fault."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.transports import TRANSPORTS

from ..patience import arrives, eventually
from ..web.peer import HttpPeer, StreamPeer
from .fleet import Fleet, fleet
from .test_protocols import ask, opened
from .workers import Worker


@pytest.mark.parametrize("transport", [name for name in TRANSPORTS if name != "polling"])
async def test_native_clients_are_told_to_come_again(transport: str) -> None:
    async with fleet() as one:
        peer, session, owner = await one.opened(transport)
        through = one.other(owner)
        one.from_now_on(through)
        held: asyncio.Task[Any] | None = None
        if isinstance(peer, HttpPeer) and not isinstance(peer, StreamPeer):
            held = asyncio.create_task(peer.poll())
        else:
            await arrives(peer.resume())
        await eventually(lambda: session._machine.carrier is not None and through.hops.busy())
        machine = session._machine
        going = asyncio.create_task(through.stop())
        if held is not None:
            answer = await arrives(held)
            assert answer.status == 200
            assert answer.frames[0][0] == "r"
        else:
            assert await arrives(peer.news()) == "erecycled"
            await arrives(peer.drop())
        assert machine.state.value == "open"  # nothing was lost
        await arrives(going)
        one.workers.remove(through)
        one.from_now_on(one.other(owner))
        await arrives(peer.resume())
        await arrives(peer.echo("and on"))


async def test_sockjs_clients_come_again() -> None:
    async with fleet() as one:
        base = "/realtime/echo/0/name"
        assert await ask(one, "POST", f"{base}/xhr") == (200, "o\n")
        session = await arrives(one.sessions.get())
        owner = one.owner(session)
        for kind in ("xhr", "xhr_streaming"):
            through = one.other(owner)
            one.from_now_on(through)
            held = asyncio.create_task(ask(one, "POST", f"{base}/{kind}"))
            await eventually(lambda: session._machine.carrier is not None)
            await arrives(through.stop())
            status, text = await arrives(held)
            assert (status, text.lstrip("h")) == (200, "\n")
            one.workers.remove(through)
            one.from_now_on(owner)
        assert await ask(one, "POST", f"{base}/xhr_send", '["x"]') == (204, "")
        assert await ask(one, "POST", f"{base}/xhr") == (200, 'a["x"]\n')


async def test_engineio_clients_poll_again() -> None:
    async with fleet() as one:
        base = await opened(one, 4)
        session = await arrives(one.sessions.get())
        owner = one.owner(session)
        through = one.other(owner)
        one.from_now_on(through)
        held = asyncio.create_task(ask(one, "GET", f"{base}polling"))
        await eventually(lambda: session._machine.carrier is not None)
        await arrives(through.stop())
        assert await arrives(held) == (200, "6")
        one.workers.remove(through)
        one.from_now_on(owner)
        assert await ask(one, "POST", f"{base}polling", "4x") == (200, "ok")
        assert await ask(one, "GET", f"{base}polling") == (200, "4x")
        assert not session.closed


@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_they_come_again_when_the_drain_begins_and_may_be_brought_by_it_meanwhile(transport: str) -> None:
    async with fleet() as one:
        peer, session, owner = await one.opened(transport)
        through = one.other(owner)
        one.from_now_on(through)
        stays, own, _ = await one.opened("websocket", "/park")  # what the drain waits for
        held: asyncio.Task[Any] | None = None
        if isinstance(peer, HttpPeer) and not isinstance(peer, StreamPeer):
            held = asyncio.create_task(peer.poll())
        else:
            await arrives(peer.resume())
        await eventually(lambda: session._machine.carrier is not None and through.hops.busy())
        going = asyncio.create_task(through.service.drain(30.0, None))
        if held is not None:
            answer = await arrives(held)
            assert (answer.status, answer.frames[0][0]) == (200, "r")
        else:
            assert await arrives(peer.news()) == "erecycled"
            await arrives(peer.drop())
        await arrives(peer.resume())
        await arrives(peer.echo("by the one that drains"))
        assert not going.done()
        one.from_now_on(owner)
        await arrives(peer.resume())
        await arrives(peer.echo("and by another"))
        own._machine.end(3000, "", through.service.clock.now())
        await arrives(stays.drop())
        await arrives(going)
        assert not session.closed


@contextlib.asynccontextmanager
async def upgraded(one: Fleet) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, realtime.Session, Worker]]:
    """An Engine.IO session's WebSocket, by another worker than has the session: which that is."""
    base = await opened(one, 4)
    session = await arrives(one.sessions.get())
    through = one.other(one.owner(session))
    one.from_now_on(through)
    async with one.http.ws_connect(f"{one.url}{base}websocket") as ws:
        await ws.send_str("2probe")
        assert (await arrives(ws.receive())).data == "3probe"
        await ws.send_str("5")
        await ws.send_str("4before")
        assert (await arrives(ws.receive())).data == "4before"
        yield ws, session, through


async def test_an_engineio_websocket_is_closed_last_and_cleanly() -> None:
    async with fleet(drain_timeout=30.0) as one, upgraded(one) as (ws, session, through):
        stays, own, _ = await one.opened("websocket", "/park")
        going = asyncio.create_task(through.stop())
        await eventually(lambda: own._machine.state.value == "draining")
        await ws.send_str("4while it drains")
        assert (await arrives(ws.receive())).data == "4while it drains"
        assert not going.done()
        for number in range(100):
            session.send_nowait(str(number))
        own._machine.end(3000, "", through.service.clock.now())
        await arrives(stays.drop())
        got = []
        while (message := await arrives(ws.receive())).type is aiohttp.WSMsgType.TEXT:
            got.append(message.data)
        assert got == [*(f"4{number}" for number in range(100)), "1"]  # which closes the session
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        await eventually(lambda: session.closed)
        assert session.close_code == 1012
        await arrives(going)
        one.workers.remove(through)


async def test_an_engineio_websocket_whose_session_does_not_go_is_cut_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet(drain_timeout=0.1) as one, upgraded(one) as (ws, session, through):
        monkeypatch.setattr(type(session._machine), "drain", lambda self, delay: None)
        await arrives(through.stop())
        assert (await arrives(ws.receive())).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        one.workers.remove(through)
        await eventually(lambda: session.closed)


@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_the_python_client_goes_on_and_holds_nothing_against_the_transport(transport: str) -> None:
    async with fleet() as one:
        options: dict[str, Any] = {"transports": [transport], "backoff": (0.01, 0.1)}
        async with realtime.connect(f"{one.url}/realtime/echo", **options) as client:
            owner = one.owner(await arrives(one.sessions.get()))
            through = one.other(owner)
            one.from_now_on(through)
            for session in owner.server.sessions:
                session._machine.recycle(owner.service.clock.now())  # it comes by the other from here
            await eventually(lambda: through.hops.busy())
            await client.send("before")
            assert await arrives(client.receive()) == "before"
            one.from_now_on(owner)
            await arrives(through.stop())
            one.workers.remove(through)
            await client.send("behind")
            assert await arrives(client.receive()) == "behind"
            assert client.attempts == {}
            assert client.transport == transport


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_worker_that_has_left_says_of_no_session_that_it_is_gone(transport: str) -> None:
    """On a connection that was kept a request may still come to it."""
    async with fleet() as one:
        peer, session, owner = await one.opened(transport)
        through = one.other(owner)
        await arrives(through.service.shutdown())
        one.from_now_on(through)
        if isinstance(peer, HttpPeer):
            told = await arrives(peer.refused(peer.attach_frame()))
            assert told.frames[0].split(",")[:2] == ["x4503", "carrier"]
        else:
            await arrives(peer.resume())
            assert await arrives(peer.end()) == (4503, "x")
        one.from_now_on(owner)
        await arrives(peer.resume())
        await arrives(peer.echo("and on"))
        assert not session.closed


async def test_a_worker_that_has_left_says_of_no_name_that_it_is_free() -> None:
    async with fleet() as one:
        base = "/realtime/echo/0/name"
        assert await ask(one, "POST", f"{base}/xhr") == (200, "o\n")
        owner = one.owner(await arrives(one.sessions.get()))
        through = one.other(owner)
        await arrives(through.service.shutdown())
        one.from_now_on(through)
        status, text = await ask(one, "POST", f"{base}/xhr")
        assert (status, text[:7]) == (200, "c[4503,")
        assert (await ask(one, "POST", f"{base}/xhr_send", '["x"]'))[0] == 503
        one.from_now_on(owner)
        assert await ask(one, "POST", f"{base}/xhr_send", '["x"]') == (204, "")
        assert await ask(one, "POST", f"{base}/xhr") == (200, 'a["x"]\n')
