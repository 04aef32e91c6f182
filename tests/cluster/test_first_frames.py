"""Where a WebSocket's first frames end, where a stream does, and what is no answer; in whatever pieces they come."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from realtime.cluster.answers import Answer, Chunks
from realtime.cluster.hops import Broken
from realtime.transports.websocket import FIN_CLOSE, FIN_PING, FIN_PONG, FIN_TEXT
from realtime.web import sockets
from realtime.web.handshake import AHEAD_SIZE
from realtime.web.lean import LeanLink
from realtime.web.parsing import Shared
from realtime.web.reframed import framed
from realtime.web.threshold import Threshold, frame_size

from ..patience import arrives, eventually
from ..web.sockets import masked
from .fleet import Fleet, fleet

HANDSHAKE = (
    "GET /realtime/echo/v1/websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@given(st.integers(0, 200_000), st.booleans())
def test_how_long_a_frame_is(size: int, mask: bool) -> None:
    frame = masked(FIN_TEXT, b"x" * size) if mask else b"\x81\x05hello"
    for cut in range(min(len(frame), 14)):
        assert frame_size(frame[:cut]) in (0, len(frame))
    assert frame_size(frame) == frame_size(frame + b"more") == len(frame)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.randoms(use_true_random=False))
def test_where_a_body_in_chunks_ends(parts: list[bytes], dice: random.Random) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    whole = body + b"0\r\n\r\n"
    chunks, passed, at = Chunks(), b"", 0
    while at < len(whole) and not chunks.ended:
        step = dice.randrange(1, 30)
        passed += chunks.feed(whole[at : at + step])
        at += step
    assert chunks.ended
    assert passed == body


@pytest.mark.parametrize("said", [b"x\r\n", b"-\r\n", b"\r\n\r\n", b"1" * 40])
def test_chunks_that_make_no_sense(said: bytes) -> None:
    with pytest.raises(Broken):
        Chunks().feed(said)


def test_the_head_of_an_answer() -> None:
    answer = Answer.read(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\nServer: x\r\nSet-Cookie: a=b\r\nset-cookie: c"
    )
    assert (answer.status, answer.reason, answer.length, answer.keeps) == (404, "Not Found", 12, True)
    assert list(answer.own.items()) == [("Set-Cookie", "a=b"), ("set-cookie", "c")]
    assert Answer.read(b"HTTP/1.0 200 OK").keeps is False
    assert Answer.read(b"HTTP/1.0 200 OK\r\nConnection: keep-alive").keeps
    assert Answer.read(b"HTTP/1.1 200 OK\r\nConnection: close").keeps is False
    assert Answer.read(b"HTTP/1.1 204 No Content").length == 0
    assert Answer.read(b"HTTP/1.1 200 OK").length is None


def test_an_answer_that_middlewares_have_compressed() -> None:
    for body in (zlib.compress(b"hello"), gzip.compress(b"hello")):
        answer = Answer.read(b"HTTP/1.1 200 OK\r\nContent-Encoding: GZip\r\nSet-Cookie: a=b")
        headers, whole = answer.unpacked(body, 5)
        assert (dict(headers), whole) == ({"Set-Cookie": "a=b"}, b"hello")
        with pytest.raises(Broken, match="larger"):
            answer.unpacked(body, 4)
        with pytest.raises(Broken, match="cut"):
            answer.unpacked(body[:-1], 5)
    assert answer.unpacked(b"", 5)[1] == b""  # of a HEAD
    with pytest.raises(Broken):
        answer.unpacked(b"hello", 5)
    other = Answer.read(b"HTTP/1.1 200 OK\r\nContent-Encoding: br")
    assert other.unpacked(b"hello", 5) == (other.own, b"hello")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1", b"HTTP/1.1 OK", b"SSH-2.0-OpenSSH 1 x", b"\xff\xfe"])
def test_what_is_no_answer(head: bytes) -> None:
    with pytest.raises(Broken):
        Answer.read(head)


def test_messages_as_frames_again() -> None:
    none = b"\0\0\0\0"
    assert framed(WSMessage(WSMsgType.TEXT, "é" * 100, "")) == masked(FIN_TEXT, "é".encode() * 100, none)
    assert framed(WSMessage(WSMsgType.BINARY, b"x" * 70_000, "")) == masked(0x82, b"x" * 70_000, none)
    assert framed(WSMessage(WSMsgType.PING, b"p", "")) == masked(FIN_PING, b"p", none)
    assert framed(WSMessage(WSMsgType.PONG, b"q", "")) == masked(FIN_PONG, b"q", none)
    assert framed(WSMessage(WSMsgType.CLOSE, 3000, "why")) == masked(FIN_CLOSE, b"\x0b\xb8why", none)
    assert framed(WSMessage(WSMsgType.CLOSE, 0, "")) == masked(FIN_CLOSE, b"", none)


class Told:
    """A Connection that knows at once what becomes of it; of which nothing else is asked."""

    def __init__(self) -> None:
        self.told: list[str | bytes] = []

    @property
    def settled(self) -> bool:
        return bool(self.told)

    def connected(self) -> None:
        """It stands."""

    def message(self, data: str | bytes) -> None:
        self.told.append(data)


class Nothing:
    """A transport, and who keeps its link: of neither is anything to be seen here."""

    def __init__(self) -> None:
        self.shared = Shared(1000)

    def parser(self, max_size: int) -> Shared:
        return self.shared

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def test_what_comes_with_the_frame_that_settles_it_is_told_once() -> None:
    connection: Any = Told()
    nothing: Any = Nothing()
    link = LeanLink(nothing, 1000, nothing)
    threshold = Threshold(link, connection, nothing.carry, 1000)
    link.start(threshold, None)
    threshold.data_received(b"".join(masked(FIN_TEXT, text) for text in (b"a", b"b", b"c")))
    assert connection.told == ["a", "b", "c"]


async def test_a_message_in_fragments_is_bounded_however_empty_they_are() -> None:
    failed: list[int] = []
    connection: Any = Told()
    connection.failed, connection.lost = failed.append, lambda: None
    nothing: Any = Nothing()
    link = LeanLink(nothing, 1000, nothing)
    threshold = Threshold(link, connection, nothing.carry, 1000)
    link.start(threshold, None)
    threshold.data_received(masked(0x01, b"x"))
    empty = masked(0x00) * 1000
    for _ in range(20):
        if not failed:
            threshold.data_received(empty)
            assert len(threshold._kept) <= 1000 + AHEAD_SIZE
    assert failed == [1009]
    assert not threshold._kept


async def attached(one: Fleet, before: bytes, dice: random.Random) -> tuple[bytes, Any]:
    """A session whose WebSocket is attached by another worker, in pieces: what came, up to an echo behind it."""
    peer, session, owner = await one.opened("websocket")
    await peer.drop()
    through = one.other(owner)
    reader, writer = await asyncio.open_connection("127.0.0.1", through.port)
    writer.write(HANDSHAKE.encode())
    await arrives(reader.readuntil(b"\r\n\r\n"))
    head = peer.attach_frame().encode()
    said = before + masked(FIN_TEXT, head) + masked(FIN_PING, b"behind") + masked(FIN_TEXT, b"mhello")
    said += masked(0x01, b"m" + b"x" * 10_000) + masked(FIN_PONG) + masked(0x80, b"end")
    while said:
        size = dice.choice((1, 2, 7, 100, 5000, 20_000))
        writer.write(said[:size])
        said = said[size:]
        await asyncio.sleep(0)
    came = b""
    async with asyncio.timeout(90):
        while not came.endswith(b"xend"):
            data = await reader.read(65_536)
            assert data, came[:200]
            came += data
    writer.transport.abort()
    await eventually(lambda: session._machine.carrier is None)
    return came, session


@pytest.mark.parametrize("taken", [True, False], ids=["taken over", "read by aiohttp"])
async def test_first_frames_in_pieces(taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe, a ping and a message in fragments before the one that names the session; all that is behind goes on."""
    monkeypatch.setattr(sockets, "TAKING_OVER", taken)
    dice = random.Random(5)
    before = masked(FIN_TEXT, b"pprobe") + masked(FIN_PING, b"early") + masked(0x01, b"z") + masked(0x80, b"unknown")
    async with fleet(2) as one:
        for _ in range(6):
            came, _ = await attached(one, before, dice)
            assert came.startswith(b"\x81\x06qprobe\x8a\x05early\x81")
            assert came.count(b"\x8a\x06behind") == 1
            assert came.count(b"mhello") == 1
        assert one.carried == 6


async def test_what_is_no_frame_behind_the_head_fails_the_session_as_anywhere() -> None:
    async with fleet(2) as one:
        for broken, code in ((masked(FIN_TEXT, b"m\xff"), 1007), (masked(FIN_TEXT, b"", size=2**40), 1009)):
            peer, session, owner = await one.opened("websocket")
            await peer.drop()
            reader, writer = await asyncio.open_connection("127.0.0.1", one.other(owner).port)
            writer.write(HANDSHAKE.encode() + masked(FIN_TEXT, peer.attach_frame().encode()) + broken)
            async with asyncio.timeout(90):
                came = await reader.read()
            assert code.to_bytes(2, "big") in came
            await arrives(session.wait_closed())
            assert session.close_code == code
            writer.close()


async def test_who_leaves_while_its_worker_is_asked_for_is_nobodys() -> None:
    async with fleet(2) as one:
        peer, session, owner = await one.opened("websocket")
        await peer.drop()
        through = one.other(owner)
        going = asyncio.Event()
        reach = through.hops.reach

        async def slow(other: Any, **how: Any) -> Any:
            await going.wait()
            return await reach(other, **how)

        through.hops.reach = slow  # type: ignore[method-assign, assignment]
        _, writer = await asyncio.open_connection("127.0.0.1", through.port)
        writer.write(HANDSHAKE.encode() + masked(FIN_TEXT, peer.attach_frame().encode()))
        await eventually(lambda: through.links)
        writer.transport.abort()
        await asyncio.sleep(0)
        going.set()
        await eventually(lambda: not through.links and len(through.hops.open) == through.hops.idle)
        await eventually(lambda: session._machine.carrier is None)
