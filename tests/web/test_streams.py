"""Streams byte by byte, over bare sockets: head, prelude, framing, every end, and clients that go or never read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import realtime
from realtime.testing import VirtualClock
from realtime.transports import TRANSPORTS, Facts
from realtime.transports.script import join, quote
from realtime.web import routes, sockets

from ..patience import within
from .peer import HttpPeer, StreamPeer
from .place import Place, eventually, native_routes, serving
from .proof import attach_frame, uplink_frame
from .raw import RawStream, frames_of, open_frame

pytestmark = pytest.mark.usefixtures("quiet_log")

STREAMS = ("sse", "xhr_streaming", "multipart", "htmlfile")
ALL = pytest.mark.parametrize("transport", STREAMS)
TYPES = {
    "sse": "text/event-stream; charset=utf-8",
    "xhr_streaming": "text/plain; charset=utf-8",
    "multipart": 'multipart/x-mixed-replace; boundary="realtime"',
    "htmlfile": "text/html; charset=utf-8",
}
PRELUDES = {
    "sse": b":" + b" " * 2048 + b"\n\n",
    "xhr_streaming": b" " * 2048 + b"\n",
    "multipart": b" " * 2048 + b"\r\n--realtime\r\n",
    "htmlfile": TRANSPORTS["htmlfile"].head(Facts(callback="take")).prelude,
}
ENDS = {
    "sse": b"]\n\n",
    "xhr_streaming": b'"]\n',
    "multipart": b"--realtime\r\n",
    "htmlfile": b"</script>\r\n",
}  # of a flush
TAILS = {"sse": [], "xhr_streaming": [], "multipart": [b"--realtime--\r\n"], "htmlfile": [b"</body></html>\r\n"]}


@pytest.fixture(autouse=True, params=[True, False], ids=["taken over", "aiohttp's"])
def taking_over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether connections are taken over from aiohttp."""
    monkeypatch.setattr(sockets, "TAKING_OVER", request.param)
    return bool(request.param)


# More than what lies in buffers between two sockets.
VAST: dict[str, Any] = {
    "max_outbox": 400,
    "max_outbox_size": 1 << 30,
    "max_stream_size": 1 << 30,
    "ping_interval": None,
}


def flush(transport: str, *frames: str) -> bytes:
    """What one flush of these frames must look like."""
    body = json.dumps(frames, separators=(",", ":"), ensure_ascii=False).encode()
    return {
        "sse": b"data: " + body + b"\n\n",
        "xhr_streaming": body + b"\n",
        "multipart": b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
        + b"\r\n--realtime\r\n",
        "htmlfile": b"<script>r(" + join([quote(frame) for frame in frames]) + b")</script>\r\n",
    }[transport]


async def attached(place: Place, raw: RawStream, **changes: Any) -> realtime.Session:
    """Opens with `raw` and confirms; the session."""
    await raw.start(open_frame(**changes))
    assert raw.status == 200
    await raw.frames()
    async with within():
        session = await place.sessions.get()
    await send(place, session)
    return session


async def send(place: Place, session: realtime.Session, *frames: str, received: int = 0, first: int = 1) -> list[str]:
    """One uplink batch."""
    post = HttpPeer(place.http, place.url("/park"))
    answer = await post.post("send", [uplink_frame(session, received, received, first), *frames])
    assert answer.status == 200, answer
    return answer.frames


# -- how it looks ------------------------------------------------------------------------------------------------------


@ALL
async def test_the_head_the_prelude_and_one_chunk_a_flush(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        await raw.start(open_frame())
        assert raw.status == 200
        del raw.headers["Date"], raw.headers["Server"]
        assert raw.headers == {
            "Content-Type": TYPES[transport],
            "Cache-Control": "no-store, no-transform",
            "X-Content-Type-Options": "nosniff",
            "X-Accel-Buffering": "no",
            "Transfer-Encoding": "chunked",
        }
        assert await raw.chunk() == PRELUDES[transport]
        first = await raw.chunk()
        opened, tickets = frames_of(first)
        assert first == flush(transport, opened, tickets)
        assert json.loads(opened[1:])["transport"] == transport
        session = await place.sessions.get()
        session.send_nowait("one \u2028 é")
        session.send_nowait(b"\x00\x07\xff")
        assert await raw.chunk() == flush(transport, "mone \u2028 é", "bAAf/")
        session.send_nowait("two")
        assert await raw.chunk() == flush(transport, "mtwo")
        assert await send(place, session, "mup", received=3) == ["a1,0"]
        assert await session.receive() == "up"


@ALL
async def test_http_1_0_gets_the_body_unchunked_to_the_end_of_the_connection(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        await raw.start(open_frame(), version="1.0", headers="Connection: keep-alive\r\n")
        assert raw.status == 200
        assert "Transfer-Encoding" not in raw.headers
        assert "Content-Length" not in raw.headers
        assert raw.headers.get("Connection", "close") == "close"
        async with within():
            assert await raw.reader.readexactly(len(PRELUDES[transport])) == PRELUDES[transport]
            session = await place.sessions.get()
            opened = await raw.reader.readuntil(ENDS[transport])
            assert opened == flush(transport, *frames_of(opened))
            await send(place, session)
            session.send_nowait("one")
            assert await raw.reader.readexactly(len(flush(transport, "mone"))) == flush(transport, "mone")
            session._machine.end(3000, "bye", place.rt._service.clock.now())
            rest = await raw.reader.read()
        assert rest == flush(transport, "a0,0", "x3000,session,0,bye") + b"".join(TAILS[transport])


@ALL
async def test_an_attach_begins_with_r_and_what_was_not_acked(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw, RawStream(place, transport) as again:
        session = await attached(place, raw)
        for text in ("one", "two"):
            session.send_nowait(text)
        assert await raw.frames() == ["mone", "mtwo"]
        await again.start(attach_frame(session, transport, 2, 1, 1, 1))
        assert await again.chunk() == PRELUDES[transport]
        assert await again.chunk() == flush(transport, "r0,0")
        assert await again.chunk() == flush(transport, "mtwo")
        assert await raw.chunks() == [flush(transport, "esuperseded"), *TAILS[transport]]
        # The same request once more, as an EventSource repeats it by itself: the latest arrival wins.
        await raw.start(attach_frame(session, transport, 2, 1, 1, 1))
        assert await raw.chunk() == PRELUDES[transport]
        assert await raw.frames() == ["r0,0"]
        assert await raw.frames() == ["mtwo"]
        assert await again.chunks() == [flush(transport, "esuperseded"), *TAILS[transport]]


@ALL
async def test_the_connection_can_be_used_again_after_the_end(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        for _ in range(3):
            session = await attached(place, raw)
            session._machine.end(3000, "", place.rt._service.clock.now())
            assert (await raw.chunks())[0] == flush(transport, "a0,0", "x3000,session,0,")


@ALL
async def test_what_the_client_closes_ends_with_the_ack_and_x(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        session = await attached(place, raw)
        assert await send(place, session, "mone", "c1000,bye") == ["x1000,session,2,bye"]
        assert await raw.chunks() == [flush(transport, "a2,0", "x1000,session,2,bye"), *TAILS[transport]]


@ALL
async def test_what_the_server_closes_is_a_c_that_a_send_acks(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        session = await attached(place, raw)
        closing = asyncio.create_task(session.close(3001, "done"))
        assert await raw.frames() == ["c3001,done"]
        assert await send(place, session, received=1) == ["x3001,session,0,done"]
        await closing
        assert (await raw.chunks())[0] == flush(transport, "a0,0", "x3001,session,0,done")


@ALL
async def test_an_attach_whose_ack_was_all_the_close_waited_for_is_answered_200(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw, RawStream(place, transport) as again:
        session = await attached(place, raw)
        closing = asyncio.create_task(session.close(3001, "done"))
        assert await raw.frames() == ["c3001,done"]
        await again.start(attach_frame(session, transport, 2, 1, 1, 1))
        assert again.status == 200
        assert await again.frames() == ["x3001,session,0,done"]
        await again.chunks()
        await closing


# -- refusals ----------------------------------------------------------------------------------------------------------

REFUSED = {
    "no head": ("", 400, "x4400,carrier,,"),
    "no session": ("rabc.def,1,0,0,1", 404, "x4404,session,,"),
    "an uplink head": ("uabc,0,0,1", 400, "x4400,carrier,,"),
    "a bad open": ("o{}", 400, "x4400,carrier,,"),
    "a message": ("mhello", 400, "x4400,carrier,,"),
}


@ALL
@pytest.mark.parametrize(("frame", "status", "told"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_is_readable(transport: str, place: Place, frame: str, status: int, told: str) -> None:
    async with RawStream(place, transport) as raw:
        await raw.start(frame)
        if transport == "xhr_streaming":
            assert raw.status == status
            async with within():
                (said,) = json.loads(await raw.reader.readexactly(int(raw.headers["Content-Length"])))
        else:
            assert (raw.status, raw.headers["Content-Type"]) == (200, TYPES[transport])
            prelude, first, *tail = await raw.chunks()
            (said,) = frames_of(first)
            assert [prelude, first, *tail] == [PRELUDES[transport], flush(transport, said), *TAILS[transport]]
        assert said.startswith(told)


@pytest.mark.parametrize("transport", ["sse", "multipart", "htmlfile"])
async def test_a_get_without_a_frame(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        await raw.start()
        assert (await raw.frames())[0].startswith("x4400,carrier,,the first frame")


@ALL
async def test_wrong_addresses(transport: str) -> None:
    async with serving(transports=("websocket", "polling")) as place:
        for path in ("/park", "/nowhere"):
            async with RawStream(place, transport, path) as raw:
                await raw.start(open_frame())
                if transport == "xhr_streaming":
                    assert raw.status == 404
                else:
                    assert raw.status == 200
                    assert (await raw.frames())[0].startswith("x4406,carrier,,")


@ALL
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE"])
async def test_other_methods(transport: str, place: Place, method: str) -> None:
    right = "POST" if transport == "xhr_streaming" else "GET"
    if method != right:
        async with RawStream(place, transport) as raw:
            await raw.start(open_frame(), method=method)
            assert (raw.status, raw.headers["Allow"]) == (405, right)
            assert "Transfer-Encoding" not in raw.headers
        assert len(place.rt) == 0


@ALL
async def test_a_forbidden_origin_learns_nothing(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        await raw.start(open_frame(), headers="Origin: https://evil.example\r\n")
        assert raw.status == 403
        assert "Access-Control-Allow-Origin" not in raw.headers
    assert len(place.rt) == 0


@ALL
async def test_an_allowed_origin_may_read(transport: str) -> None:
    async with serving(allowed_origins="https://friend.example") as place, RawStream(place, transport) as raw:
        await raw.start(open_frame(), headers="Origin: https://friend.example\r\n")
        assert raw.headers["Access-Control-Allow-Origin"] == "https://friend.example"
        assert raw.headers["Access-Control-Allow-Credentials"] == "true"


@ALL
async def test_a_late_stream(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw, RawStream(place, transport) as late:
        session = await attached(place, raw, gen=5)
        session.send_nowait("one")
        assert await raw.frames() == ["mone"]
        await late.start(attach_frame(session, transport, 4, 1, 1, 1))
        if transport == "xhr_streaming":
            assert session._machine.outbox.acked == 1  # what it brought counts
            assert await late.chunks() == [PRELUDES[transport], flush(transport, "esuperseded")]
        else:
            assert late.status == 204  # which also stops an EventSource
        session.send_nowait("two")
        assert await raw.frames() == ["mtwo"]


async def test_messages_in_the_request(place: Place) -> None:
    async with RawStream(place, "xhr_streaming") as raw:
        await raw.start(open_frame(), "mone", "p", "zunknown", "mtwo")
        assert (await raw.frames())[0][0] == "o"
        session = await place.sessions.get()
        assert [await session.receive(), await session.receive()] == ["one", "two"]
    async with RawStream(place, "xhr_streaming") as raw:
        await raw.start(
            attach_frame(session, "xhr_streaming", 2, 0, 0, 9), "mlate"
        )  # begins above a gap: changes nothing
        assert await raw.frames() == ["r2,2"]
    async with RawStream(place, "xhr_streaming") as raw:
        await raw.start(attach_frame(session, "xhr_streaming", 3, 0, 0, 3), "mthree", "c1000,")
        assert await raw.chunk() == PRELUDES["xhr_streaming"]
        assert raw.status == 200
        assert [await raw.frames() for _ in range(2)] == [["r2,2"], ["a4,2", "x1000,session,4,"]]


async def test_a_broken_frame_in_the_request_ends_the_session(place: Place) -> None:
    async with RawStream(place, "xhr_streaming") as raw, RawStream(place, "xhr_streaming") as again:
        session = await attached(place, raw)
        await again.start(attach_frame(session, "xhr_streaming", 2, 0, 0, 1), "mone", "b!")
        assert again.status == 400
        (said,) = json.loads(await again.reader.readexactly(int(again.headers["Content-Length"])))
        assert said.startswith("x1007,session,1,")
        assert (await raw.chunks())[0] == flush("xhr_streaming", "esuperseded")


# -- ends on purpose ---------------------------------------------------------------------------------------------------


@ALL
async def test_recycling(transport: str) -> None:
    async with serving(max_stream_size=4096) as place, RawStream(place, transport) as raw:
        session = await attached(place, raw, gen=1)
        changes: list[str] = []
        session.on_change(changes.append)
        received = 0
        for gen in (2, 3):
            session.send_nowait("x" * 4200)
            assert await raw.frames() == ["m" + "x" * 4200]
            received += 1
            assert await raw.chunks() == [flush(transport, "erecycled"), *TAILS[transport]]
            assert session.state == "open"
            session.send_nowait("meanwhile")
            await raw.start(attach_frame(session, transport, gen, received, received, 1))
            assert await raw.chunk() == PRELUDES[transport]
            assert await raw.frames() == ["r0,0"]
            assert await raw.frames() == ["mmeanwhile"]
            received += 1
        assert session.state == "open"


@ALL
async def test_a_recycled_client_that_does_not_come_back_is_detached_and_then_gone(transport: str) -> None:
    clock = VirtualClock()
    async with serving(max_stream_size=4096, clock=clock) as place, RawStream(place, transport) as raw:
        session = await attached(place, raw)
        session.send_nowait("x" * 4200)
        await raw.frames()
        await raw.chunks()
        place.tick(19)
        assert session.state == "open"
        place.tick(1.1)
        assert session.state == "detached"
        place.tick(120)
        assert session.close_code == 4410


@ALL
async def test_draining(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw, RawStream(place, transport) as again:
        session = await attached(place, raw)
        session.send_nowait("last words")
        assert await raw.frames() == ["mlast words"]
        draining = asyncio.create_task(place.rt.drain(delay=2.5))
        assert await raw.frames() == ["g2.5"]
        await again.start(attach_frame(session, transport, 2, 1, 1, 1))
        assert await again.frames() == ["r0,0"]
        assert await again.frames() == ["g2.5"]
        await send(place, session, "mlate", "g1", received=1)
        assert await session.receive() == "late"
        waiting = asyncio.create_task(session.receive())  # which ends the drain
        frames: list[str] = []
        while not frames or frames[-1][0] != "c":
            frames += await again.frames()
        assert frames[-1].startswith("c1012,")
        assert (await send(place, session, received=2, first=2))[0].startswith("x1012,session,1,")
        await draining
        with pytest.raises(realtime.SessionClosed):
            await waiting
        assert (await again.chunks())[0] == flush(transport, "a1,1", frames[-1].replace("c1012,", "x1012,session,1,"))


@ALL
async def test_shutting_down_while_streaming(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as raw:
        session = await attached(place, raw)
        stopping = asyncio.create_task(place.stop())
        frames: list[str] = []
        while not frames or frames[-1][0] != "x":
            frames += await raw.frames()
        assert frames[-1].startswith("x1001,session,0,")
        await raw.chunks()
        await stopping
        assert session.close_code == 1001


# -- liveness ----------------------------------------------------------------------------------------------------------


@ALL
async def test_pings_on_a_quiet_stream_and_a_client_that_stays_silent(transport: str) -> None:
    clock = VirtualClock()
    async with serving(clock=clock, ping_interval=10, ping_timeout=5) as place, RawStream(place, transport) as raw:
        session = await attached(place, raw)
        place.tick(10)
        assert await raw.chunk() == flush(transport, "p")
        await send(place, session)
        place.tick(9.9)
        place.tick(0.1)
        assert await raw.chunk() == flush(transport, "p")
        place.tick(4.9)
        assert session.state == "open"
        place.tick(0.2)
        assert session.state == "detached"
        with pytest.raises(asyncio.IncompleteReadError):
            await raw.chunk()  # cut: no end of the body


@pytest.mark.parametrize("transport", [*STREAMS, "long_polling"])
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_connection_that_closes_detaches_its_session_within_a_second(transport: str, reset: bool) -> None:
    clock = VirtualClock()
    async with serving(clock=clock) as place, RawStream(place, transport) as raw:
        if transport == "long_polling":
            peer, session = await place.parked(transport)
            asking = asyncio.create_task(raw.start(peer.attach_frame(), method="POST"))
            await eventually(lambda: session._machine.carrier is not None)
        else:
            session = await attached(place, raw)
            place.tick(1)
        place.tick(1)
        assert session.state == "open"
        routes = native_routes(place.rt)
        is_told = bool(routes._sockets._taken)  # which it is not by every aiohttp
        if reset:
            raw.reset()
        else:
            raw.writer.close()
        if transport == "long_polling":
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asking
        if not is_told:
            (link,) = routes._watch._held
            await eventually(lambda: link.gone)
            place.tick(1)
        await eventually(lambda: session.state == "detached")
        assert len(routes._watch) == 0


@ALL
async def test_a_client_that_never_reads_is_bounded_and_disturbs_nobody(transport: str) -> None:
    async with serving(**VAST) as place, RawStream(place, transport) as raw:
        peer = place.websocket("/echo")
        await peer.open()
        session = await attached(place, raw, window=[100_000, 1 << 40])
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined] # of asyncio.ReadTransport
        payload = "x" * 50_000
        carrier = session._machine.carrier
        assert carrier is not None
        while carrier.link.writable:  # until every buffer in between is full
            session.send_nowait(payload)
            await peer.echo("meanwhile")
        with pytest.raises(realtime.SendBufferFull):
            while True:
                session.send_nowait(payload)
        await peer.echo("still here")
        assert len(session._machine.outbox) == 400
        link = carrier.link
        buffered = link.transport.get_write_buffer_size()  # type: ignore[attr-defined] # a StreamLink
        assert buffered < 65_536 + 2 * 50_000
        raw.writer.transport.resume_reading()  # type: ignore[attr-defined] # of asyncio.ReadTransport
        received = 0
        async with within():
            while received < 400:
                received += len(await raw.frames())
                await send(place, session, received=received)
        session.send_nowait("and on")
        while "mand on" not in await raw.frames():
            pass


@ALL
async def test_a_stream_that_has_ended_does_not_wait_for_ever_for_its_reader(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "END_PATIENCE", 0.05)
    async with serving(**VAST) as place, RawStream(place, transport) as raw:
        session = await attached(place, raw, window=[100_000, 1 << 40])
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined] # of asyncio.ReadTransport
        carrier = session._machine.carrier
        assert carrier is not None
        while carrier.link.writable:
            session.send_nowait("x" * 50_000)
            await asyncio.sleep(0)
        session._machine.end(3000, "", place.rt._service.clock.now())
        await eventually(lambda: carrier.link.gone)  # type: ignore[attr-defined] # a StreamLink
        raw.writer.transport.resume_reading()  # type: ignore[attr-defined] # of asyncio.ReadTransport
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await raw.chunks()


@ALL
async def test_a_room_reaches_streams_with_the_same_bytes(transport: str, place: Place) -> None:
    async with RawStream(place, transport) as one, RawStream(place, transport) as two:
        for raw in (one, two):
            await (await attached(place, raw)).join("lobby")
        await place.rt.room("lobby").send("hello")
        assert await one.chunk() == await two.chunk() == flush(transport, "mhello")


@ALL
async def test_a_session_moves_between_streams_and_polls(transport: str, place: Place) -> None:
    peer = place.peer(transport, "/echo")
    assert isinstance(peer, StreamPeer)
    await peer.open()
    await peer.echo("on the stream")
    poll = place.polls("/echo")
    poll.sid, poll.key, poll.gen, poll.received = peer.sid, peer.key, peer.gen, 1
    poll.sent, poll.acked = list(peer.sent), peer.acked
    await poll.echo("by polls")
    peer.acking = False
    while await peer.read() != "esuperseded":
        pass
    peer.acking = True
    peer.gen, peer.received, peer.sent, peer.acked = poll.gen, poll.received, poll.sent, poll.acked
    await peer.resume()
    await peer.echo("and back")
