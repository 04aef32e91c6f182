"""When the application shuts down, clients between two polls are told as well; other requests are left alone."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.testing import VirtualClock
from realtime.web.lingering import LEAST, Lingering
from realtime.web.lingering import serving as served_on

from ..patience import arrives, eventually
from .place import Place, serving

CLIENTS = 9
# Generous: none of it passes when all are told.
TIMEOUT = 30.0
SEND = b"POST /realtime/echo/v1/send HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]"
DEPLOYMENT = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
LOOKS = b"GET /realtime/echo/negotiate HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("kind", ["/flood", "/crowd", "/talk"])
async def test_a_busy_server_tells_its_long_polls(kind: str) -> None:
    """Each poll is answered at once, so hardly any client ever has one parked."""
    async with serving(shutdown_timeout=TIMEOUT) as place:

        @place.rt.endpoint("/flood")
        async def flood(session: realtime.Session) -> None:
            number = 0
            while True:
                await session.send(f"{number}" + "x" * 1000)
                number += 1

        @place.rt.endpoint("/crowd")
        async def crowd(session: realtime.Session) -> None:
            await session.join("crowd")
            async for message in session:
                await place.rt.room("crowd").send(message)

        @place.rt.endpoint("/talk")
        async def talk(session: realtime.Session) -> None:
            async for message in session:
                await session.send(message)

        clients = [
            await realtime.connect(place.url(kind), transports="long_polling", http=place.http) for _ in range(CLIENTS)
        ]
        taken = [0] * CLIENTS

        async def takes(number: int, session: realtime.ClientSession) -> None:
            if kind != "/flood":
                await session.send("hello")
            async for _ in session:
                taken[number] += 1
                if kind != "/flood" and not session.closed:
                    await session.send("and again")

        taking = [asyncio.create_task(takes(number, session)) for number, session in enumerate(clients)]
        await eventually(lambda: min(taken) > 20)
        await arrives(place.stop())
        for session in clients:
            await arrives(session.wait_closed())
            assert session.close_code == 1001
        await asyncio.wait(taking)


async def test_who_polls_again_in_time_is_told_between_two_polls() -> None:
    assert "`poll_interval=(0.1, 0.7)`" in DEPLOYMENT
    async with serving(shutdown_timeout=3.0, poll_interval=(0.1, 0.7)) as place:
        clients = [
            await realtime.connect(place.url("/park"), transports="polling", http=place.http) for _ in range(CLIENTS)
        ]
        sessions = [await arrives(place.sessions.get()) for _ in clients]
        await eventually(lambda: all(session._machine.carrier is None for session in sessions))
        for session in sessions:
            session.send_nowait("the last")
        await arrives(place.stop())
        for client in clients:
            assert [message async for message in client] == ["the last"]
            assert client.close_code == 1001


async def test_who_pauses_for_longer_is_not_waited_for() -> None:
    clock = VirtualClock()
    async with serving(clock=clock, poll_interval=(0.1, 5.0)) as place:
        _, session = await place.parked("polling")
        assert not session._returns(clock.now(), 9.0)  # there is nothing to tell
        session.send_nowait("news")
        expected = []
        for seconds in (3.9, 0.2, 1.8, 0.2):
            clock.advance(seconds)
            expected.append(session._returns(clock.now(), 1.0))
        assert expected == [False, True, True, False]  # the last is late, and may be gone
        polls, held = await place.parked("long_polling")
        held.send_nowait("news")
        assert held._returns(clock.now(), 0.0)
        await polls.drop()


async def test_other_requests_on_such_a_connection_are_left_alone() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def page(request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.Response(text="a page")

    def prepare(place: Place) -> None:
        place.app.router.add_get("/page", page)

    async with serving(prepare=prepare) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(SEND)
        assert b" 400 " in await arrives(reader.readline())
        writer.write(b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n")
        await arrives(asked.wait())
        stopping = asyncio.create_task(place.rt._service.shutdown())
        lingering: Lingering = place.rt._service.on_shutdown[0].__self__.lingering  # type: ignore[attr-defined] # a bound method
        await lingering.go_on()
        assert lingering._server is None
        await stopping
        go_on.set()
        assert (await arrives(reader.readuntil(b"a page"))).endswith(b"a page")
        writer.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What aiohttp was given."""
    read: list[bytes] = []
    receive = web.RequestHandler.data_received

    def note(handler: web.RequestHandler, data: bytes) -> None:
        receive(handler, data)
        read.append(data)

    monkeypatch.setattr(web.RequestHandler, "data_received", note)
    return read


async def ends(
    place: Place, stopping: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """A connection ends without an answer to the rest of a request, which looks like one."""
    await eventually(lambda: place.rt._service.closing)
    writer.write(LOOKS)
    with contextlib.suppress(ConnectionError):
        assert await arrives(reader.read()) == b""
    await arrives(stopping)
    writer.close()


async def test_the_rest_of_a_request_is_no_request(read: list[bytes]) -> None:
    """Whose beginning aiohttp had read when the application shut down, and that may look like one."""
    async with serving() as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(SEND)
        assert b" 400 " in await arrives(reader.readuntil(b"]"))
        before = len(read)
        writer.write(b"POST /nothing HTTP/1.1\r\nHost: h\r\nX-Looks: ")
        await eventually(lambda: len(read) > before)
        stopping = asyncio.create_task(place.stop())
        await ends(place, stopping, reader, writer)


async def test_a_connection_of_which_something_was_thrown_away_ends(read: list[bytes]) -> None:
    """By aiohttp, while somebody was told of the shutdown first who takes his time, as an application of which ours
    is a part. The rest may look like a request, too."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def neighbour(app: web.Application) -> None:
        begun.set()
        await go_on.wait()

    async with serving(prepare=lambda place: place.app.on_shutdown.insert(0, neighbour)) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(SEND)
        assert b" 400 " in await arrives(reader.readuntil(b"]"))
        stopping = asyncio.create_task(place.stop())
        await arrives(begun.wait())
        before = len(read)
        writer.write(SEND.replace(b": 2", b": %d" % len(LOOKS)).removesuffix(b"[]"))
        await eventually(lambda: len(read) > before)
        go_on.set()
        await ends(place, stopping, reader, writer)


async def test_a_connection_that_aiohttp_overlooks_ends_when_all_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was accepted in the turn in which it looks for those without a request."""
    look, looks = web.Server.pre_shutdown, 0

    def overlook(server: web.Server) -> None:
        nonlocal looks
        looks += 1
        if looks > 1:
            look(server)

    monkeypatch.setattr(web.Server, "pre_shutdown", overlook)
    async with serving() as place:
        place.runner._shutdown_timeout = 3600.0
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(SEND)
        assert b" 400 " in await arrives(reader.readuntil(b"\r\n\r\n"))
        # The last request comes by another of aiohttp's servers, as by a cluster's inner port.
        inner = await asyncio.get_running_loop().create_server(within := served_on(place.app), "127.0.0.1", 0)
        far, other = await asyncio.open_connection(*inner.sockets[0].getsockname())
        other.write(SEND)
        assert b" 400 " in await arrives(far.readuntil(b"\r\n\r\n"))
        await arrives(place.stop())
        assert looks > 1
        await arrives(reader.read())  # up to the end
        writer.close()
        other.close()
        inner.close()
        await within.shutdown(0)


async def test_only_open_connections_are_kept_in_mind() -> None:
    async with serving() as place:
        lingering: Lingering = place.rt._service.on_shutdown[0].__self__.lingering  # type: ignore[attr-defined] # a bound method
        for _ in range(3 * LEAST):
            async with (
                aiohttp.ClientSession() as http,
                http.post(place.url("/echo/v1/send"), data=b"[]") as answer,
            ):
                assert answer.status == 400
            assert len(lingering.connections) <= LEAST + 1
        # Nobody is there any more: nothing is served on.
        await eventually(lambda: all(transport.is_closing() for transport in lingering.connections))
        await lingering.go_on()
        assert lingering._server is None
        await lingering.stop()
