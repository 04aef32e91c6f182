"""A worker goes away that only carries: the clients of others' sessions come again by another, without a fault."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.transports import TRANSPORTS

from ..patience import arrives, eventually
from ..web.peer import HttpPeer, StreamPeer
from .fleet import fleet
from .test_protocols import ask, opened


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
