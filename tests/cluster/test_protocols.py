"""SockJS and Engine.IO, where each request comes to the next worker: what their clients see is what they always see."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import realtime
from realtime import owners
from realtime.brokers.base import Refused
from realtime.brokers.memory_directory import MemoryDirectory
from realtime.transports.websocket import FIN_TEXT

from ..patience import arrives, eventually
from ..web.peer import HttpPeer
from ..web.sockets import masked
from .fleet import Fleet, fleet
from .workers import Worker

# -- SockJS ------------------------------------------------------------------------------------------------------------


async def ask(one: Fleet, method: str, path: str, data: Any = None, **options: Any) -> tuple[int, str]:
    """One request, and its answer."""
    async with one.http.request(method, URL(one.url + path, encoded=True), data=data, **options) as response:
        return response.status, await response.text()


async def test_sockjs_polls_and_their_sends() -> None:
    async with fleet() as one:
        base = "/realtime/echo/0/name"
        assert await ask(one, "POST", f"{base}/xhr") == (200, "o\n")
        for number in range(5):
            assert await ask(one, "POST", f"{base}/xhr_send", f'["{number}","é"]') == (204, "")
            assert await ask(one, "POST", f"{base}/xhr") == (200, f'a["{number}","é"]\n')
        status, text = await ask(one, "POST", f"{base}/xhr_send", "nonsense")
        assert (status, text) == (500, "Broken JSON encoding.\n")
        assert one.carried >= 6
        session = await arrives(one.sessions.get())
        closing = asyncio.ensure_future(session.close(3000, "Go away!"))
        assert await ask(one, "POST", f"{base}/xhr") == (200, 'c[3000,"Go away!"]\n')
        await arrives(closing)
        assert one.sessions.empty()  # one handler for that name
        for _ in range(3):  # what comes across our close is discarded
            assert await ask(one, "POST", f"{base}/xhr_send", '["x"]') == (204, "")
            assert await ask(one, "POST", f"{base}/xhr") == (200, 'c[3000,"Go away!"]\n')


async def test_sockjs_by_scripts() -> None:
    async with fleet() as one:
        base, query = "/realtime/echo/0/name", {"headers": {"Referer": f"{one.url}/page"}}
        for number in range(6):
            status, text = await ask(one, "GET", f"{base}/jsonp?c=take", **query)
            assert status == 200
            assert text == (f'/**/take("a[\\"{number}\\"]");\r\n' if number else '/**/take("o");\r\n')
            form = f"d=%5B%22{number + 1}%22%5D"
            kind = {"Content-Type": "application/x-www-form-urlencoded", **query["headers"]}
            assert await ask(one, "POST", f"{base}/jsonp_send", form, headers=kind) == (200, "ok")


@pytest.mark.parametrize("kind", ["xhr_streaming", "eventsource", "htmlfile?c=take"])
async def test_sockjs_streams(kind: str) -> None:
    async with fleet() as one:
        base = "/realtime/echo/0/name"
        method = "POST" if kind == "xhr_streaming" else "GET"
        headers = {"Referer": f"{one.url}/page"}
        assert await ask(one, "POST", f"{base}/xhr") == (200, "o\n")
        for number in range(4):
            async with one.http.request(method, f"{one.url}{base}/{kind}", headers=headers) as stream:
                assert stream.status == 200
                sent = await ask(one, "POST", f"{base}/xhr_send", json.dumps([f"{number}", "x" * 140_000]))
                assert sent == (204, "")
                seen = b""
                async with asyncio.timeout(90):  # which ends behind so much, and is taken up by the next
                    async for data in stream.content.iter_any():
                        seen += data
                assert b"x" * 140_000 in seen
                assert f"{number}".encode() in seen
        assert one.carried > 4


async def test_sockjs_where_the_worker_of_a_name_is_gone() -> None:
    async with fleet() as one:
        base = "/realtime/echo/0/name"
        assert await ask(one, "POST", f"{base}/xhr") == (200, "o\n")
        owner = one.owner(await arrives(one.sessions.get()))
        one.from_now_on(one.other(owner))
        owner.kill()
        assert await ask(one, "POST", f"{base}/xhr_send", '["x"]') == (404, "session not found\n")
        status, text = await ask(one, "POST", f"{base}/xhr")
        assert (status, json.loads(text[1:])[0]) == (200, 4404)


# -- Engine.IO ---------------------------------------------------------------------------------------------------------


async def opened(one: Fleet, version: int) -> str:
    """The address of a session by polls."""
    status, text = await ask(one, "GET", f"/engine.io/?EIO={version}&transport=polling")
    assert status == 200
    sid = json.loads(text[text.index("{") : text.rindex("}") + 1])["sid"]
    return f"/engine.io/?EIO={version}&sid={sid}&transport="


@pytest.mark.parametrize("version", [4, 3])
async def test_engineio_polls(version: int) -> None:
    async with fleet() as one:
        base = await opened(one, version)
        for number in range(5):
            said = f"4{number}é" if version == 4 else f"{len(f'4{number}é')}:4{number}é"
            assert await ask(one, "POST", f"{base}polling", said) == (200, "ok")
            assert await ask(one, "GET", f"{base}polling") == (200, said)
        assert one.carried >= 6


@pytest.mark.parametrize("version", [4, 3])
async def test_engineio_upgrades_by_another_worker(version: int) -> None:
    async with fleet() as one:
        base = await opened(one, version)
        session = await arrives(one.sessions.get())
        one.from_now_on(one.other(one.owner(session)))
        async with one.http.ws_connect(f"{one.url}{base}websocket") as ws:
            held = asyncio.create_task(ask(one, "GET", f"{base}polling"))
            await ws.send_str("2probe")
            assert (await arrives(ws.receive())).data == "3probe"
            await arrives(held)
            await ws.send_str("5")
            for data in ("hello", "x" * 70_000):
                await ws.send_str(f"4{data}")
                assert (await arrives(ws.receive())).data == f"4{data}"
            await ws.send_bytes(b"\1\2" if version == 4 else b"\4\1\2")
            assert (await arrives(ws.receive())).data == (b"\1\2" if version == 4 else b"\4\1\2")
            assert session._machine.transport == "websocket"
            await session.close(3000, "")
            last = await arrives(ws.receive())
            while last.type is aiohttp.WSMsgType.TEXT:
                last = await arrives(ws.receive())
            assert last.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_a_middleware_that_gives_a_carried_websocket_up_ends_it() -> None:
    limits: list[asyncio.Timeout] = []

    @web.middleware
    async def impatient(request: web.Request, handler: Any) -> web.StreamResponse:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            response: web.StreamResponse = await handler(request)
            return response

    def setup(app: web.Application, server: realtime.Server) -> None:
        app.middlewares.append(impatient)
        realtime.setup(app, server)

    async with fleet(setup=setup) as one:
        base = await opened(one, 4)
        session = await arrives(one.sessions.get())
        one.from_now_on(one.other(one.owner(session)))
        async with one.http.ws_connect(f"{one.url}{base}websocket") as ws:
            await ws.send_str("2probe")
            assert (await arrives(ws.receive())).data == "3probe"
            limits[-2].reschedule(0.0)  # the last is that of the worker that has the session
            await arrives(ws.receive())
            assert ws.closed
            await eventually(lambda: not one.other(one.owner(session)).forwarder.farewell.tunnels)


async def test_what_the_worker_refuses_comes_as_it_is() -> None:
    """A WebSocket of a session that has one already, at the worker that has it and at another."""
    async with fleet() as one:
        base = await opened(one, 4)
        session = await arrives(one.sessions.get())
        owner = one.owner(session)
        told = []
        for worker in (owner, one.other(owner)):
            one.from_now_on(worker)
            headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            answer = await ask(one, "GET", f"{base.replace('EIO=4', 'EIO=3')}websocket", headers=headers | key)
            told.append(answer)
        assert told[0] == told[1]
        assert told[0][0] == 400


async def test_a_client_that_the_handler_does_not_read_is_not_read_through_a_hop() -> None:
    async with fleet(max_queue=16, max_queue_size=100_000) as one:
        base = await opened(one, 4)
        session = await arrives(one.sessions.get())
        other = one.other(one.owner(session))
        one.from_now_on(other)
        async with one.http.ws_connect(f"{other.url}{base}websocket") as ws:
            held = asyncio.create_task(ask(one, "GET", f"{base}polling"))
            await ws.send_str("2probe")
            assert (await arrives(ws.receive())).data == "3probe"
            await arrives(held)
            await ws.send_str("5")
            # The handler waits for room in an outbox that nobody empties.
            transport: Any = ws._writer.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            payload = b"4" + b"x" * 60_000
            transport.write(700 * masked(FIN_TEXT, payload, b"\0\0\0\0"))
            before = 0
            while transport.get_write_buffer_size() != before:  # until nothing moves any more
                before = transport.get_write_buffer_size()
                for _ in range(50):
                    await asyncio.sleep(0.002)
            assert before > 2_000_000  # the rest is in the kernel's buffers
            assert session._machine.inbox.size <= 200_000
            assert sum(hop.transport.get_write_buffer_size() for hop in other.hops.open) < 1_000_000
            carrier: Any = session._machine.carrier
            transport.abort()
            await eventually(carrier.link.transport.is_closing)


# -- where nobody can say now who has a session ------------------------------------------------------------------------


class Away:
    """A directory that cannot be asked, so many times."""

    def __init__(self, worker: Worker, times: int) -> None:
        self.asked = 0
        self._times = times
        directory: Any = worker.service.sessions.owners
        self._owner, self._find = directory.owner, directory.find
        directory.owner, directory.find = self.owner, self.find

    def _ask(self) -> None:
        self.asked += 1
        if self.asked <= self._times:
            raise realtime.BrokerError("the store is away")

    async def owner(self, sid: str) -> Any:
        """See Owners."""
        self._ask()
        return await self._owner(sid)

    async def find(self, name: str) -> Any:
        """See Owners."""
        self._ask()
        return await self._find(name)


async def test_who_would_take_a_refusal_for_the_end_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """SockJS's clients and Engine.IO's do not ask again; the native protocol's do, and are told at once."""
    monkeypatch.setattr(owners, "PAUSE", 0.01)
    async with fleet() as one:
        base = await opened(one, 4)
        session = await arrives(one.sessions.get())
        through = one.other(one.owner(session))
        one.from_now_on(through)
        away = Away(through, 3)
        assert await ask(one, "POST", f"{base}polling", "4x") == (200, "ok")
        assert away.asked == 4
        one.balancer.workers[:] = [one.owner(session)]
        assert await ask(one, "POST", "/realtime/echo/0/name/xhr") == (200, "o\n")
        await arrives(one.sessions.get())
        one.from_now_on(through)
        away = Away(through, 3)
        assert await ask(one, "POST", "/realtime/echo/0/name/xhr_send", '["x"]') == (204, "")
        assert away.asked >= 4
        peer, session, owner = await one.opened("polling")
        through = one.other(owner)
        one.from_now_on(through)
        away = Away(through, 2)
        assert isinstance(peer, HttpPeer)
        assert (await arrives(peer.poll())).status == 503
        assert away.asked == 2  # of its beginning, and of all of it
        assert (await arrives(peer.poll())).status == 200


async def test_what_comes_by_a_name_is_carried_on_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of SockJS that is not heard for some seconds has lost its session."""

    async def away(*_: object) -> NoReturn:
        raise Refused("the store is away")

    async with fleet() as one:
        base = "/realtime/echo/0/name"
        assert await ask(one, "POST", f"{base}/xhr") == (200, "o\n")
        owner = one.owner(await arrives(one.sessions.get()))
        one.from_now_on(one.other(owner))
        assert await ask(one, "POST", f"{base}/xhr_send", '["before"]') == (204, "")
        for question in ("holder", "find"):
            monkeypatch.setattr(MemoryDirectory, question, away)
        assert await ask(one, "POST", f"{base}/xhr") == (200, 'a["before"]\n')
        assert await ask(one, "POST", f"{base}/xhr_send", '["meanwhile"]') == (204, "")
        assert await ask(one, "POST", f"{base}/xhr") == (200, 'a["meanwhile"]\n')
        monkeypatch.undo()


async def test_who_names_its_session_has_its_time_from_the_return_of_the_store_on() -> None:
    """Workers that have not served a client of SockJS cannot know whose it is meanwhile."""
    async with fleet() as one:
        assert await ask(one, "POST", "/realtime/echo/0/name/xhr") == (200, "o\n")
        session = await arrives(one.sessions.get())
        machine: Any = session._machine
        directory: Any = one.owner(session).service.sessions.owners
        directory.failed()
        for _ in range(3):
            machine.expire(machine.absent_at)
            assert not session.closed
        directory.returned("another run")
        machine.expire(machine.absent_at)
        assert not session.closed
        directory._standing._since -= machine.config.resume_window
        machine.expire(machine.absent_at)
        assert session.closed
        assert session.close_code == 4410
