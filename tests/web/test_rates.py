"""What is no message, in every protocol: each of them is counted, and too many end the session with 1008."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import unquote

import aiohttp
import pytest
from aiohttp import WSMsgType

import realtime
from realtime.testing import VirtualClock

from ..patience import arrives, eventually
from .peer import HttpPeer
from .place import Place, serving
from .test_handshake import OPENS, doors, opening

pytestmark = pytest.mark.usefixtures("quiet_log")

RATE: dict[str, Any] = {"max_message_rate": 2, "rate_burst": 1, "max_queue": 16}
BUDGET = 18  # a burst and a window
SOME, MANY = 10, 30


class Echo(NamedTuple):
    """A message as a protocol says it, and as it comes back."""

    path: str
    said: str
    answered: str


NATIVE = Echo(OPENS["native"][1], "mhello", "mhello")
RAW = Echo(OPENS["raw"][1], "hello", "hello")
SOCKJS = Echo(OPENS["sockjs"][1], '["hello"]', 'a["hello"]')
SOCKJS_RAW = Echo(OPENS["sockjs raw"][1], "hello", "hello")
ENGINE_3 = Echo("/engine.io/?EIO=3&transport=websocket", "4hello", "4hello")
ENGINE_4 = Echo("/engine.io/?EIO=4&transport=websocket", "4hello", "4hello")
PROTOCOLS = {
    "native": NATIVE,
    "raw": RAW,
    "sockjs": SOCKJS,
    "sockjs raw": SOCKJS_RAW,
    "engineio 3": ENGINE_3,
    "engineio 4": ENGINE_4,
}
# What says nothing, by the protocol: as messages, and as what a WebSocket says beside them.
NOTHING: dict[str, dict[str, str | bytes]] = {
    "native": {
        "a ping": "p",
        "a pong": "q",
        "unknown": "zwhat",
        "unknown from a client": "esuperseded",
        "a number": "n2",
        "an ack that tells nothing new": "a0,0",
        "going": "g1",
    },
    "raw": {},
    "sockjs": {"an empty frame": "", "no messages": "[]", "no messages, at length": f"[{' ' * 2000}]"},
    "sockjs raw": {},
    "engineio 3": {"a ping": "2", "a noop": "6", "a noop in bytes": b"\x06", "an upgrade": "5", "an open": "0"},
    "engineio 4": {"a pong": "3", "a noop": "6", "an upgrade": "5", "an open": "0"},
}
FLOODS: list[tuple[str, str, str | bytes | WSMsgType]] = [
    (protocol, name, flood)
    for protocol, kinds in NOTHING.items()
    for name, flood in {**kinds, "a WebSocket's ping": WSMsgType.PING, "a WebSocket's pong": WSMsgType.PONG}.items()
]


def left(session: realtime.Session) -> float:
    """How much may come yet that is no message."""
    meter = session._machine.inbox._meter
    assert meter is not None
    assert meter._others is not None
    return meter._others.level(session._now())


async def say(ws: aiohttp.ClientWebSocketResponse, flood: str | bytes | WSMsgType, times: int) -> None:
    """The same, so often; until the connection ends."""
    try:
        for _ in range(times):
            if flood is WSMsgType.PING:
                await ws.ping(b"there?")
            elif flood is WSMsgType.PONG:
                await ws.pong(b"here")
            elif isinstance(flood, bytes):
                await ws.send_bytes(flood)
            else:
                assert isinstance(flood, str)
                await ws.send_str(flood)
    except ConnectionError:
        pass


async def connected(place: Place, path: str) -> aiohttp.ClientWebSocketResponse:
    """A WebSocket whose client sees pings and pongs."""
    path = path.replace("OPEN", opening()).replace("NAME", "abcdefgh")
    ws: aiohttp.ClientWebSocketResponse = await place.http.ws_connect(place.base + path, autoping=False)
    return ws


async def pongs_before(ws: aiohttp.ClientWebSocketResponse, text: str) -> int:
    """Reads on to a text; how many pings were answered by then."""
    pongs = 0
    while (message := await arrives(ws.receive())).data != text:
        assert message.type in (WSMsgType.TEXT, WSMsgType.PONG), message
        if message.type is WSMsgType.PONG:
            assert message.data == b"there?"
            pongs += 1
    return pongs


@pytest.mark.parametrize(("protocol", "name", "flood"), FLOODS, ids=[": ".join(each[:2]) for each in FLOODS])
async def test_what_is_no_message_is_counted(protocol: str, name: str, flood: str | bytes | WSMsgType) -> None:
    echo = PROTOCOLS[protocol]
    async with doors(clock=VirtualClock(), **RATE) as (place, started):
        ws = await connected(place, echo.path)
        await eventually(lambda: started)
        (session,) = started
        assert left(session) == BUDGET
        await ws.send_str(echo.said)
        assert await pongs_before(ws, echo.answered) == 0
        assert left(session) == BUDGET  # a message costs nothing of it
        await say(ws, flood, SOME)
        await ws.send_str(echo.said)
        answered = await pongs_before(ws, echo.answered)
        assert answered == (SOME if flood is WSMsgType.PING else 0)
        assert left(session) == BUDGET - SOME
        await say(ws, flood, MANY)
        await arrives(session.wait_closed())
        assert session.close_code == 1008
        assert "max_message_rate=2" in str(session.close_reason)
        await ws.close()


async def test_what_has_come_before_is_counted_from_the_second_window_on() -> None:
    async with serving(clock=VirtualClock(), **RATE) as place:
        peer, session = await place.parked("websocket")
        await peer.send("mone", "n1", *["mone", "n1"] * 8)
        assert await session.receive() == "one"
        await peer.send("p")
        while (await arrives(peer.read())) != "q":
            pass
        await peer.send(*["mone", "n1"] * 20)
        assert await peer.end() == (1008, "x")


@pytest.mark.parametrize("transport", ["long_polling", "polling", "xhr_streaming", "sse"])
@pytest.mark.parametrize("flood", ["p", "q", "zunknown", "n1", "a0,0"])
async def test_in_a_send(transport: str, flood: str) -> None:
    async with serving(clock=VirtualClock(), **RATE) as place:
        peer, session = await place.parked(transport)
        assert isinstance(peer, HttpPeer)
        assert (await peer.send(*[flood] * SOME)).status == 200
        assert (await peer.send(*[flood] * MANY)).refusal == (410, 1008, "session")
        assert session.close_code == 1008


@pytest.mark.parametrize("empty", ["[]", f"[{' ' * 2000}]"])
async def test_posts_of_no_messages_to_sockjs(empty: str) -> None:
    async with doors(clock=VirtualClock(), **RATE) as (place, started):
        name = place.url("/all/0/abcdefgh")

        async def post(path: str, body: str = "") -> int:
            async with place.http.post(f"{name}/{path}", data=body) as answer:
                return answer.status

        assert await post("xhr") == 200
        await eventually(lambda: started)
        (session,) = started
        assert [await post("xhr_send", empty) for _ in range(BUDGET)] == [204] * BUDGET
        assert await post("xhr_send", '["a message"]') == 204
        assert not session.closed
        assert left(session) == 0
        assert await post("xhr_send", empty) == 410
        assert session.close_code == 1008


async def engine(place: Place, version: int) -> str:
    """An Engine.IO session over polls: its URL."""
    url = f"{place.base}/engine.io/?EIO={version}&transport=polling"
    async with place.http.get(url) as answer:
        text = await answer.text()
    return f"{url}&sid={json.loads(text[text.index('{') : text.rindex('}') + 1])['sid']}"


@pytest.mark.parametrize(("version", "packet"), [(4, "3"), (4, "6"), (4, "5"), (3, "1:2"), (3, "1:6"), (3, "1:5")])
async def test_posts_of_no_messages_to_engineio(version: int, packet: str) -> None:
    async with doors(clock=VirtualClock(), **RATE) as (place, started):
        url = await engine(place, version)
        between = "\x1e" if version == 4 else ""

        async def post(*packets: str) -> int:
            async with place.http.post(url, data=between.join(packets)) as answer:
                return answer.status

        await eventually(lambda: started)
        (session,) = started
        assert await post(*[packet] * SOME) == 200
        assert left(session) == BUDGET - SOME
        assert await post(*[packet] * (BUDGET - SOME)) == 200
        assert await post("4hello" if version == 4 else "6:4hello") == 200
        assert not session.closed
        assert await post(packet) == 400
        assert session.close_code == 1008


@pytest.mark.parametrize("flood", ["2probe", WSMsgType.PING], ids=["probes", "pings"])
async def test_a_websocket_that_engineio_tries_is_counted(flood: str | WSMsgType) -> None:
    async with doors(clock=VirtualClock(), **RATE) as (place, started):
        url = (await engine(place, 4)).replace("polling", "websocket")
        await eventually(lambda: started)
        (session,) = started
        ws = await place.http.ws_connect(url, autoping=False)
        await say(ws, flood, SOME)
        for _ in range(SOME):
            assert (await arrives(ws.receive())).data == ("3probe" if flood == "2probe" else b"there?")
        assert left(session) == BUDGET - SOME
        await say(ws, flood, MANY)
        await arrives(session.wait_closed())
        assert session.close_code == 1008
        await ws.close()


async def test_a_websockets_pings_are_answered_before_its_open() -> None:
    async with doors() as (place, started):
        ws = await connected(place, NATIVE.path.partition("?")[0])
        await say(ws, WSMsgType.PING, 3)
        await say(ws, WSMsgType.PONG, 3)
        for _ in range(3):
            message = await arrives(ws.receive())
            assert (message.type, message.data) == (WSMsgType.PONG, b"there?")
        assert not started
        await ws.send_str("o" + unquote(opening()))
        assert (await arrives(ws.receive())).data[0] == "o"
        await ws.close()


async def test_a_websockets_pings_are_no_sign_of_life() -> None:
    """A proxy may send them, or answer ours, whose client is gone."""
    async with doors(clock=VirtualClock(), close_timeout=0.05) as (place, started):
        ws = await connected(place, NATIVE.path)
        assert (await arrives(ws.receive())).data[0] == "o"
        await ws.send_str("a0,0")
        await eventually(lambda: started)
        (session,) = started
        await eventually(lambda: session._machine.used)
        place.tick(20.5)
        await pongs_before(ws, "p")
        await say(ws, WSMsgType.PING, 1)
        assert (await arrives(ws.receive())).type is WSMsgType.PONG
        assert session._machine.carrier is not None
        place.tick(20.5)
        assert session._machine.carrier is None
        assert (await arrives(ws.receive())).type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)
        assert not session.closed
        await session.close()
