"""What a message costs, in exact counts: calls of functions of this package, which no machine's load changes.

The clients are bare sockets of aiohttp's, so that only the server is counted. See docs/speed.md.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.protocols.sockjs import codec as codecs
from realtime.testing import serve
from realtime.web import replies, sockets, straight
from realtime.web import streams as streams_of

from .history import HistoryRoom
from .patience import arrives, eventually

PACKAGE = str(Path(realtime.__file__).parent)
ROUNDS = 200
MEMBERS = 50
NONCES = (f"{number:022}" for number in itertools.count())
OPEN = {"gen": 1, "window": [10_000, 10_000_000]}


class Calls:
    """How often functions of this package were called or gone on with, while it counts."""

    def __init__(self) -> None:
        self.count = 0

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.count += 1

    def taken(self) -> int:
        """How many there were, from now on of what follows."""
        count, self.count = self.count, 0
        return count

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Counts within."""
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)


def server() -> realtime.Server:
    """An echo, a room of all who come, and one with a history."""
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/room")
    async def room(session: realtime.Session) -> None:
        await session.join("room")
        async for message in session:
            await rt.room("room").send(message)

    history = HistoryRoom("room")

    @rt.endpoint("/history")
    async def with_history(session: realtime.Session) -> None:
        history.members.append(session)
        async for message in session:
            history.send(message)

    return rt


@contextlib.asynccontextmanager
async def place() -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """The server on a port, and a client for it."""
    async with serve(server()) as running, aiohttp.ClientSession() as http:
        yield http, str(running.make_url("/realtime"))


async def websocket(
    http: aiohttp.ClientSession, url: str, opens: dict[str, Any] = OPEN
) -> aiohttp.ClientWebSocketResponse:
    """A session over a WebSocket, which has been used."""
    socket = await http.ws_connect(f"{url}/v1/websocket")
    await socket.send_str("o" + json.dumps(opens | {"nonce": next(NONCES)}))
    assert (await socket.receive_str()).startswith("o")
    await socket.send_str("a0,0")
    return socket


async def message(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The next message; acks are passed over."""
    while not (frame := await socket.receive_str()).startswith(("m", "h")):
        pass
    return frame


async def cost(rounds: int, once: Callable[[], Awaitable[object]]) -> float:
    """Calls for each of so many rounds, after some that warm up."""
    for _ in range(20):
        await once()
    calls = Calls()
    with calls.counted():
        for _ in range(rounds):
            await once()
    return calls.count / rounds


@pytest.mark.parametrize(("taking_over", "most"), [(True, 25), (False, 29)])
async def test_an_echo_over_a_websocket(taking_over: bool, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is taken over from aiohttp, or aiohttp goes on serving it."""
    monkeypatch.setattr(sockets, "TAKING_OVER", taking_over)
    async with place() as (http, url):
        socket = await websocket(http, f"{url}/echo")

        async def echo() -> None:
            await socket.send_str("mhello")
            assert await message(socket) == "mhello"

        assert await cost(ROUNDS, echo) <= most


async def streaming(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
    """A session on a stream, whose answer has begun."""
    body = json.dumps(["o" + json.dumps(OPEN | {"nonce": next(NONCES)})])
    answer = await http.post(f"{url}/v1/xhr_streaming", data=body)
    assert answer.status == 200
    return answer


@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming"])
async def test_a_delivery_of_a_broadcast(transport: str) -> None:
    async with place() as (http, url), contextlib.AsyncExitStack() as stack:
        speaker = await websocket(http, f"{url}/room")
        sockets = [speaker]
        streams: list[aiohttp.ClientResponse] = []
        for _ in range(1, MEMBERS):
            if transport == "websocket":
                sockets.append(await websocket(http, f"{url}/room"))
            else:
                streams.append(await stack.enter_async_context(await streaming(http, f"{url}/room")))

        async def broadcast() -> None:
            await speaker.send_str("mhello")
            for socket in sockets:
                assert await message(socket) == "mhello"
            for stream in streams:
                while await stream.content.readline() != b'["mhello"]\n':
                    pass

        assert await cost(40, broadcast) / MEMBERS <= 8


@pytest.mark.parametrize("native", [True, False], ids=["native", "SockJS"])
async def test_a_stream_is_framed_once_for_all_its_receivers(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each flush of a broadcast, and the chunk of HTTP that it is."""
    made: Counter[str] = Counter()

    def counted(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def count(parts: Any) -> Any:
            made[name] += 1
            return function(parts)

        return count

    codec: Any = replies.CODECS["xhr_streaming"] if native else codecs.CODECS["xhr_streaming"]
    rt = realtime.Server()

    @rt.endpoint("/room", sockjs=True)
    async def room(session: realtime.Session) -> None:
        await session.join("room")
        await session.wait_closed()

    async with serve(rt) as running, aiohttp.ClientSession() as http, contextlib.AsyncExitStack() as stack:
        streams = []
        for nonce in itertools.islice(NONCES, 10):
            path = "v1" if native else f"0/{nonce}"
            body = json.dumps(["o" + json.dumps(OPEN | {"nonce": nonce})]) if native else ""
            url = running.make_url(f"/realtime/room/{path}/xhr_streaming")
            stream = await stack.enter_async_context(http.post(url, data=body))
            assert stream.status == 200
            streams.append(stream)
        await eventually(lambda: len(rt.room("room")) == len(streams))
        monkeypatch.setattr(codec, "wrap", counted("laid", codec.wrap))
        monkeypatch.setattr(streams_of, "_chunks", counted("chunked", streams_of._chunks))
        for number in (1, 2):
            await rt.room("room").send("hello")
            await rt.room("room").send(f"number {number}")
            for stream in streams:
                while f"number {number}".encode() not in await arrives(stream.content.readline()):
                    pass
        assert made == {"laid": 2, "chunked": 2}


@pytest.mark.parametrize(("opens", "most"), [(OPEN, 11), (OPEN | {"rooms": {}}, 12)])
async def test_a_delivery_of_a_room_with_history(opens: dict[str, Any], most: int) -> None:
    """To who takes it with its position, and to who does not."""
    async with place() as (http, url):
        sockets = [await websocket(http, f"{url}/history", opens) for _ in range(MEMBERS)]

        async def broadcast() -> None:
            await sockets[0].send_str("mhello")
            for socket in sockets:
                assert (await message(socket)).endswith("mhello")

        assert await cost(40, broadcast) / MEMBERS <= most


@pytest.mark.parametrize(("answering", "most"), [(True, 56.1), (False, 59.1)])
async def test_an_echo_over_long_polling(answering: bool, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A send, and the poll that brings the answer; where they are answered straight aiohttp has no part in it."""
    monkeypatch.setattr(straight, "ANSWERING", answering)
    async with place() as (http, url):
        base = f"{url}/echo/v1"

        async def post(transport: str, *frames: str) -> list[str]:
            async with http.post(f"{base}/{transport}", data=json.dumps(frames)) as answer:
                assert answer.status == 200
                said: list[str] = json.loads(await answer.text())
                return said

        opened = json.loads((await post("long_polling", "o" + json.dumps(OPEN | {"nonce": next(NONCES)})))[0][1:])
        sid, key = opened["sid"], opened["key"]
        numbers = itertools.count(1)

        async def cycle() -> None:
            number = next(numbers)
            await post("send", f"u{sid},{number - 1},{number - 1},{number},{key}", "mhello")
            said = await post("long_polling", f"r{sid},{number + 1},{number - 1},{number - 1},{number + 1},{key}")
            assert said[-1] == "mhello"

        assert await cost(ROUNDS, cycle) <= most


async def test_an_ack_beside_a_stream() -> None:
    """A send that says nothing else, on a connection that is known."""
    async with place() as (http, url), await streaming(http, f"{url}/room") as stream:
        await stream.content.readline()  # padding
        opened = json.loads(json.loads(await stream.content.readline())[0][1:])
        batch = json.dumps([f"u{opened['sid']},0,0,1,{opened['key']}"])

        async def ack() -> None:
            async with http.post(f"{url}/room/v1/send", data=batch) as answer:
                assert await answer.text() == '["a0,0"]'

        assert await cost(ROUNDS, ack) <= 15.1


@pytest.mark.parametrize(("taking_over", "most"), [(True, 87.1), (False, 92.1)])
async def test_an_open_over_a_websocket(taking_over: bool, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the handshake to the first ack."""
    monkeypatch.setattr(sockets, "TAKING_OVER", taking_over)
    async with place() as (http, url):
        kept = []

        async def once() -> None:
            kept.append(await websocket(http, f"{url}/echo"))

        assert await cost(50, once) <= most


async def test_an_open_over_long_polling() -> None:
    async with place() as (http, url):

        async def once() -> None:
            opens = json.dumps(["o" + json.dumps(OPEN | {"nonce": next(NONCES)})])
            async with http.post(f"{url}/echo/v1/long_polling", data=opens) as answer:
                assert (await answer.text()).startswith('["o')

        assert await cost(50, once) <= 71.1


def test_counting_counts() -> None:
    calls = Calls()
    with calls.counted():
        realtime.Server()
    assert calls.count > 10
    with pytest.raises(ZeroDivisionError), calls.counted():
        raise ZeroDivisionError
    assert sys.getprofile() is None
