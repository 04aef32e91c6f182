"""Streams whose connection was taken over from aiohttp: what else a client says on it, and who has it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

import realtime
from realtime.web import sockets, streams
from realtime.web.bodies import Handle

from ..patience import within
from .peer import HttpPeer
from .place import Place, eventually, native_routes, serving
from .raw import RawStream, is_read, open_frame
from .sockets import LOOPS, contexts

pytestmark = pytest.mark.usefixtures("quiet_log")

STREAMS = ("sse", "xhr_streaming", "multipart", "htmlfile")
ALL = pytest.mark.parametrize("transport", STREAMS)
NEXT = b"GET /realtime/park/negotiate HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True, params=[True, False], ids=["taken over", "aiohttp's"])
def taking_over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether connections are taken over from aiohttp."""
    monkeypatch.setattr(sockets, "TAKING_OVER", request.param)
    return bool(request.param)


async def begun(place: Place, raw: RawStream) -> realtime.Session:
    """A session on its stream."""
    known = set(place.rt.sessions)
    await raw.start(open_frame())
    assert (await raw.frames())[0].startswith("o")
    (session,) = set(place.rt.sessions) - known
    return session


def kept(place: Place) -> set[object]:
    """What was taken over and is still there."""
    return set(native_routes(place.rt)._sockets._taken)


async def ended(raw: RawStream) -> None:
    """The stream has come to its end."""
    while await raw.chunk():
        pass


async def status(raw: RawStream) -> int:
    """Of the next answer, which is read to its end."""
    async with within():
        head = await raw.reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"Content-Length: (\d+)", head)
        assert found is not None
        await raw.reader.readexactly(int(found[1]))
        return int(head.split(b" ")[1])


@ALL
async def test_whose_the_connection_is(transport: str, taking_over: bool, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        session = await begun(place, raw)
        assert len(kept(place)) == taking_over
        session._machine.end(3000, "", place.rt._service.clock.now())
        await ended(raw)
        await eventually(lambda: not kept(place))
        raw.writer.write(NEXT)
        assert await status(raw) == 200


@ALL
async def test_a_connection_that_its_client_will_not_use_again_ends_with_the_stream(
    transport: str, taking_over: bool, place: Place
) -> None:
    async with RawStream(place, transport) as raw:
        known = set(place.rt.sessions)
        await raw.start(open_frame(), headers="Connection: close\r\n")
        assert (await raw.frames())[0].startswith("o")
        (session,) = set(place.rt.sessions) - known
        assert len(kept(place)) == taking_over
        session._machine.end(3000, "", place.rt._service.clock.now())
        await ended(raw)
        async with within():
            assert await raw.reader.read() == b""
        await eventually(lambda: not kept(place))


@pytest.mark.parametrize("transport", ["sse", "xhr_streaming"])
async def test_where_aiohttp_keeps_no_connection_open_none_outlives_its_stream(transport: str) -> None:
    """As under `gunicorn --keep-alive 0`. What has been asked by then is answered."""

    def prepare(place: Place) -> None:
        place.runner = web.AppRunner(place.app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=0)

    async with serving(prepare=prepare) as place:
        for asked in (False, True):
            async with RawStream(place, transport) as raw:
                session = await begun(place, raw)
                if asked:
                    raw.writer.write(NEXT)
                    await is_read(raw.writer)
                    session.send_nowait("meanwhile")
                    assert await raw.frames() == ["mmeanwhile"]
                session._machine.end(3000, "", place.rt._service.clock.now())
                await ended(raw)
                if asked:
                    assert await status(raw) == 200
                async with within():
                    assert await raw.reader.read() == b""


@ALL
@pytest.mark.parametrize("at", [0, 1, 20, len(NEXT)], ids=["later", "its first byte", "its beginning", "at once"])
async def test_a_request_behind_a_stream_is_answered_behind_it(
    transport: str, at: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of it came together with the stream's."""
    async with RawStream(place, transport) as raw:
        write = raw.writer.write
        monkeypatch.setattr(raw.writer, "write", lambda data: write(data + NEXT[:at]))
        session = await begun(place, raw)
        monkeypatch.undo()
        raw.writer.write(NEXT[at : at + 30])
        raw.writer.write(NEXT[at + 30 :])
        session.send_nowait("meanwhile")
        assert await raw.frames() == ["mmeanwhile"]
        session._machine.end(3000, "", place.rt._service.clock.now())
        await ended(raw)
        if 0 < at < len(NEXT):
            # Only aiohttp's parser has its beginning: the connection may end, but nothing is made of the rest alone.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                assert await status(raw) == 200
        else:
            assert await status(raw) == 200


@ALL
async def test_a_stream_on_a_connection_on_which_was_polled(transport: str, place: Place, taking_over: bool) -> None:
    """Whoever answered polls there steps aside; and has it again when the stream is over, and is polled there."""
    straight = native_routes(place.rt).straight
    async with RawStream(place, transport) as raw:
        for _ in range(2):
            raw.transport = "long_polling"
            for _ in range(2):
                await raw.start(open_frame(), method="POST")
                async with within():
                    await raw.reader.readuntil(b"]")  # two tickets, and the rest of `o`
                    await raw.reader.readuntil(b'"]')
            assert len(straight.connections) == 1
            raw.transport = transport
            session = await begun(place, raw)
            assert len(kept(place)) == taking_over
            assert len(straight.connections) == (not taking_over)
            session._machine.end(3000, "", place.rt._service.clock.now())
            await ended(raw)


@pytest.mark.parametrize("taking_over", [True], indirect=True)  # aiohttp has bounds of its own
async def test_what_is_said_behind_a_stream_is_kept_in_bounds(place: Place, taking_over: bool) -> None:
    async with RawStream(place, "xhr_streaming") as raw:
        session = await begun(place, raw)
        (link,) = kept(place)
        assert isinstance(link, streams.StreamLink)
        requests = 2 * streams.MOST_SAID // len(NEXT)
        raw.writer.write(NEXT * requests)
        await eventually(lambda: link.transport is not None and not link.transport.is_reading())
        assert len(link._said) <= streams.MOST_SAID + 262_144  # and what one read brings
        session.send_nowait("still")
        assert await raw.frames() == ["mstill"]
        session._machine.end(3000, "", place.rt._service.clock.now())
        await ended(raw)
        for _ in range(requests):  # all the same
            assert await status(raw) == 200


async def ends_while_its_client_does_not_read(tls: Callable[[], tuple[ssl.SSLContext, ssl.SSLContext]] | None) -> None:
    async with serving(max_outbox_size=1 << 30, max_outbox=400, max_stream_size=1 << 30) as place:
        client_side = None
        if tls is not None:
            server_side, client_side = tls()
            await web.TCPSite(place.runner, "127.0.0.1", 0, ssl_context=server_side).start()
            place.port = place.runner.addresses[1][1]
        async with RawStream(place, "xhr_streaming", tls=client_side) as raw:
            await raw.start(open_frame(window=[100_000, 1 << 40]))
            (session,) = place.rt.sessions
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined] # of asyncio.ReadTransport
            carrier = session._machine.carrier
            assert carrier is not None
            sent = 0
            while carrier.link.writable:
                session.send_nowait("x" * 50_000)
                sent += 1
                await asyncio.sleep(0)
            session._machine.end(3000, "", place.rt._service.clock.now())
            raw.writer.transport.resume_reading()  # type: ignore[attr-defined] # of asyncio.ReadTransport
            assert b"".join(await raw.chunks()).count(b'"mx') == sent
            raw.writer.write(NEXT)
            assert await status(raw) == 200


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "aiofastnet"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_stream_that_ends_while_its_client_does_not_read_keeps_the_connection(
    loop: str, tls: bool, tmp_path: Path
) -> None:
    """All that was written comes, and the connection is for the next request."""
    with asyncio.Runner(loop_factory=LOOPS.get(loop, asyncio.new_event_loop)) as runner:
        runner.run(ends_while_its_client_does_not_read(partial(contexts, tmp_path) if tls else None))


async def test_an_application_with_middlewares_sees_its_request_to_the_end() -> None:
    over: list[str] = []

    @web.middleware
    async def watching(request: web.Request, handler: Handle) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            over.append(request.path)

    async with (
        serving(prepare=lambda place: place.app.middlewares.append(watching)) as place,
        RawStream(place, "xhr_streaming") as raw,
    ):
        session = await begun(place, raw)
        assert not kept(place)
        assert not over
        session._machine.end(3000, "", place.rt._service.clock.now())
        await ended(raw)
        await eventually(lambda: len(over) == 1)


@ALL
async def test_a_shutdown_ends_streams_and_waits_for_them(transport: str) -> None:
    async with serving() as place, RawStream(place, transport) as raw:
        await begun(place, raw)
        stopping = asyncio.create_task(place.stop())
        assert any("1001" in frame for frame in await raw.frames())
        await ended(raw)
        async with within():
            await stopping
            assert await raw.reader.read() == b""


async def test_a_shutdown_answers_who_polls_where_a_stream_was(place: Place) -> None:
    """On its connection, which aiohttp has again."""
    async with RawStream(place, "xhr_streaming") as raw:
        session = await begun(place, raw)
        session._machine.end(3000, "", place.rt._service.clock.now())
        await ended(raw)
        peer, _ = await place.parked("long_polling")
        assert isinstance(peer, HttpPeer)
        (polling,) = place.rt.sessions
        raw.transport = "long_polling"
        asking = asyncio.create_task(raw.start(peer.attach_frame(), method="POST"))
        await eventually(lambda: polling._machine.carrier is not None)
        stopping = asyncio.create_task(place.stop())
        async with within():
            await asking
            assert b"1001" in await raw.reader.readuntil(b"]")
            await stopping
