"""Shutting down takes its time and no more, whatever clients and handlers do; draining loses nothing."""

from __future__ import annotations

import asyncio

import pytest

import realtime
from realtime import Session
from realtime.gates.native_connection import NativeConnection
from realtime.web.native import NativeRoutes

from ..patience import arrives, bounded, leap
from .peer import Cut, HttpPeer, Peer, WebSocketPeer
from .place import Place, errors, eventually, native_routes, serving

TIMEOUT = 0.6


NEVER = 60.0
"""A shutdown_timeout of which not even a third may pass, in seconds."""


async def stop(place: Place) -> None:
    """Shuts down, in time: the application's on_shutdown, and then all that aiohttp does besides."""
    async with bounded(TIMEOUT + 2):
        await place.rt._service.shutdown()
    async with bounded(5):
        await place.stop()


# -- shutdown ----------------------------------------------------------------------------------------------------------


async def ends(peer: Peer) -> tuple[int, str]:
    """How a client is told of the end. One that polls acknowledges that at once."""
    told = await peer.end()
    if peer.transport == "polling":
        assert isinstance(peer, HttpPeer)
        await peer.confirm()
    return told


@pytest.mark.usefixtures("quiet_log")
async def test_clients_are_told_1001(transport: str) -> None:
    async with serving(shutdown_timeout=NEVER) as place:
        peer, session = await place.parked(transport)
        ending = asyncio.create_task(ends(peer))
        if transport in ("long_polling", "jsonp"):
            await eventually(lambda: session._machine.carrier is not None)
        async with bounded(10):  # nothing has to be waited for
            await place.rt._service.shutdown()
        assert await ending == (1001, "c")
        assert session.close_code == 1001
        if isinstance(peer, WebSocketPeer):
            assert await peer.closed() == 1001


@pytest.mark.parametrize("name", ["websocket", "polling"])
async def test_a_session_of_the_next_process_is_not_ended_by_the_one_that_goes(name: str) -> None:
    """Both are there for a while, and a proxy's kept connection brings a request to either."""
    following = realtime.Server()

    @following.endpoint("/echo")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with serving(prepare=lambda place: realtime.setup(place.app, following, prefix="/next")) as place:
        peer = place.peer(name)
        goes, peer.url = peer.url, f"{place.base}/next/echo"
        await peer.open()
        await place.rt.drain(timeout=TIMEOUT)
        stays, peer.url = peer.url, goes
        if isinstance(peer, HttpPeer):
            assert (await peer.post("send", [peer.uplink_frame(), "mx"])).refusal == (503, 4503, "carrier")
        else:
            await peer.drop()
            await peer.resume()
            assert str(await peer.read()).startswith("x4503,carrier,")
        peer.url = stays
        await peer.drop()
        await peer.resume()
        await peer.echo("hello")
        following._service.sessions.end(1001, "the test is over")


@pytest.mark.usefixtures("quiet_log")
async def test_a_clean_end_is_known_to_both_sides() -> None:
    async with serving(shutdown_timeout=NEVER) as place:
        peer, session = await place.parked("websocket")
        await session.send("last words")
        assert isinstance(peer, WebSocketPeer)
        ending = asyncio.create_task(peer.closed())
        async with bounded(10):
            await place.stop()  # as the runner does it: aiohttp has stopped reading by then
        assert await ending == 1001
        assert peer.received == 2
        assert session._machine.outcome is not None
        assert session._machine.outcome.clean
        assert session.unacknowledged == []


def _silent(routes: NativeRoutes) -> bool:
    """Whether there is a WebSocket that has not said yet what it wants."""
    return any(isinstance(each, NativeConnection) and each.silent for each in routes._sockets.served.values())


@pytest.mark.usefixtures("quiet_log")
async def test_clients_that_do_not_take_part() -> None:
    async with serving(shutdown_timeout=TIMEOUT, open_timeout=60, request_timeout=60) as place:
        deaf, _ = await place.parked("websocket")  # reads nothing, closes nothing
        assert isinstance(deaf, WebSocketPeer)
        deaf.socket.pause_reading()
        stuffed, session = await place.parked("websocket", window=(1000, 1 << 30))
        assert isinstance(stuffed, WebSocketPeer)
        stuffed.socket.pause_reading()
        for _ in range(60):
            session.send_nowait("x" * 65_000)
        silent = place.websocket()  # attached to nothing
        await silent.connect()
        held = place.polls("/park")
        await held.open()
        poll = asyncio.create_task(held.poll())
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(b"POST /realtime/echo/v1/send HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n[")
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", place.port)
        half_reader, half_writer = await asyncio.open_connection("127.0.0.1", place.port)
        half_writer.write(b"POST /realtime/ec")
        await eventually(
            lambda: len(place.rt) == 3 and place.rt._service.sessions.registry.sessions[held.sid].carrier is not None
        )
        routes = native_routes(place.rt)
        await eventually(lambda: routes._bodies._reading and _silent(routes))
        silent_end = asyncio.create_task(silent.end())
        await stop(place)
        assert (await poll).frames[-1] == "c1001,the server is going away"
        assert await silent_end == (4503, "x")
        answer = await arrives(reader.read())
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b'["x4503,carrier,,the server is shutting down; come back later"]')
        assert await arrives(idle_reader.read()) == b""
        assert await arrives(half_reader.read()) == b""
        for each in (writer, idle_writer, half_writer):
            each.close()


async def test_handlers_that_do_not_take_part(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(shutdown_timeout=TIMEOUT) as place:
        fates: list[str] = []

        @place.rt.endpoint("/ignores")
        async def ignores(session: Session) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                fates.append("cancelled")
                raise

        @place.rt.endpoint("/swallows")
        async def swallows(session: Session) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                fates.append("swallowed")
            await asyncio.Event().wait()

        for path in ("/ignores", "/swallows"):
            await place.polls(path).open()
        await stop(place)
        assert sorted(fates) == ["cancelled", "swallowed"]
        assert not place.rt._service.sessions.handlers.tasks
        assert errors(caplog.records) == []


async def test_a_handler_that_can_not_be_cancelled_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(shutdown_timeout=TIMEOUT) as place:
        release = asyncio.Event()

        @place.rt.endpoint("/immortal")
        async def immortal(session: Session) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        await place.polls("/immortal").open()
        try:
            async with bounded(TIMEOUT + 2):
                await place.rt._service.shutdown()
        finally:
            release.set()
        assert errors(caplog.records) == ["realtime handler /immortal ignores cancellation and is left behind"]
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "long_polling", "polling"])
async def test_nothing_new_is_taken(transport: str) -> None:
    async with serving(shutdown_timeout=TIMEOUT) as place:
        await place.rt._service.shutdown()
        peer = place.peer(transport)
        if isinstance(peer, HttpPeer):
            with pytest.raises(AssertionError, match="x4503,carrier"):
                await peer.open()
        else:
            with pytest.raises(AssertionError, match="x4503,carrier"):
                await peer.open()
            assert isinstance(peer, WebSocketPeer)
            assert await peer.closed() == 4503
        assert len(place.rt) == 0


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "long_polling", "polling"])
async def test_an_authorize_hook_that_does_not_answer_is_waited_for_no_longer(transport: str) -> None:
    """aiohttp would wait a minute for the request."""
    async with serving(shutdown_timeout=TIMEOUT) as place:
        asked = asyncio.Event()

        @place.rt.authorize
        async def authorize(request: realtime.SessionRequest) -> None:
            asked.set()
            await asyncio.Event().wait()

        peer = place.peer(transport)
        opening = asyncio.ensure_future(peer.open())
        await asked.wait()
        stopping = asyncio.create_task(stop(place))
        with pytest.raises(AssertionError, match="x4503,carrier"):
            await opening
        if isinstance(peer, WebSocketPeer):
            assert await peer.closed() == 4503
        await stopping


@pytest.mark.usefixtures("quiet_log")
async def test_a_body_whose_time_is_just_up() -> None:
    """Its timeout can't be moved any more; that must not keep the sessions from being told."""
    async with serving(shutdown_timeout=TIMEOUT, request_timeout=60) as place:
        _, session = await place.parked("polling")
        _, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(b"POST /realtime/echo/v1/send HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n[")
        routes = native_routes(place.rt)
        await eventually(lambda: routes._bodies._reading)
        (patience,) = routes._bodies._reading
        patience.end()
        await eventually(patience.expired)
        await place.rt._service.shutdown()
        assert session.close_code == 1001
        writer.close()


# -- drain -------------------------------------------------------------------------------------------------------------


class Chatter:
    """A client that sends as long as it may, and keeps what comes."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.sent = 0
        self.got: list[str] = []
        self.going: str | None = None
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> int:
        await self.peer.open()
        while True:
            if self.going is None and self.sent - self.peer.acked < 100:
                await self.peer.send(f"m{self.sent}")
                self.sent += 1
            frame = await self.peer.read()
            if not isinstance(frame, str):
                continue
            if frame[0] == "m":
                self.got.append(frame[1:])
            elif frame[0] == "g" and self.going is None:
                self.going = frame
                await self.peer.send(f"g{self.sent}")
            elif frame[0] in "cx":
                if isinstance(self.peer, HttpPeer):
                    await self.peer.confirm()
                return int(frame[1:].split(",")[0])


@pytest.mark.usefixtures("quiet_log")
async def test_drain_loses_nothing(transport: str) -> None:
    async with serving() as place:
        taken: dict[str, list[str]] = {}

        @place.rt.endpoint("/chat")
        async def chat(session: Session) -> None:
            mine = taken[session.id] = []
            async for message in session:
                assert isinstance(message, str)
                mine.append(message)
                await session.send("got " + message)

        chatters = [Chatter(place.peer(transport, "/chat")) for _ in range(3)]
        await eventually(lambda: all(len(chatter.got) > 20 for chatter in chatters))
        async with bounded(20):
            await place.rt.drain(timeout=NEVER, delay=2.5)
        for chatter in chatters:
            assert await chatter.task == 1012
            assert chatter.going == "g2.5"
            expected = [str(number) for number in range(chatter.sent)]
            assert taken[chatter.peer.sid] == expected
            assert chatter.got == [f"got {number}" for number in expected]
        assert len(place.rt) == 0
        fresh = place.polls()
        with pytest.raises(AssertionError, match="x4503,carrier"):
            await fresh.open()


@pytest.mark.usefixtures("quiet_log")
async def test_drain_closes_who_ignores_it_after_the_timeout(transport: str) -> None:
    async with serving() as place:
        peer, session = await place.parked(transport)
        draining = asyncio.create_task(place.rt.drain(timeout=40))
        frames = [str(await peer.news())]
        assert not draining.done()
        leap(40)
        while frames[-1][0] not in "cx":
            try:
                frames.append(str(await peer.news()))
            except Cut:
                break
        if isinstance(peer, HttpPeer):
            await peer.post("send", [peer.uplink_frame()])
        await arrives(draining)
        assert set(frames[:-1]) == {"g5.0"}
        assert frames[-1].startswith(("c1012,", "x1012,"))
        assert session.close_code == 1012


async def test_drain_ends_who_is_not_there_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as place:
        peer, session = await place.parked("websocket")
        await peer.drop()
        await eventually(lambda: session.state is realtime.State.DETACHED)
        with caplog.at_level("INFO", "realtime.server"):
            async with bounded(3):
                await place.rt.drain(timeout=0.1)
        assert session.close_code == 1012
        assert len(place.rt) == 0
    told, left = [record.getMessage() for record in caplog.records if record.name == "realtime.server"]
    assert told == "= 1 sessions are told to go, within 0.1 s"
    assert left.endswith("1 have not gone, and are ended")


async def test_drain_of_nobody_is_done_at_once() -> None:
    async with serving() as place, bounded(10):
        await place.rt.drain()
