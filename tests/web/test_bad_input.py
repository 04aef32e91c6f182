"""Whatever comes in, the answer is the documented one (docs/protocol.md §9), nobody else notices, and nothing is left.

Every test runs beside a healthy session, and with a log that has to stay quiet.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import WSMsgType

import realtime
from realtime.testing import VirtualClock
from realtime.transports import TRANSPORTS
from realtime.web.lean import LeanLink

from ..patience import arrives
from .peer import Answer, Cut, HttpPeer, Peer, StreamPeer, WebSocketPeer, batch
from .place import Place, eventually, serving
from .proof import attach_frame, uplink_frame

pytestmark = pytest.mark.usefixtures("quiet_log")

POLLS = ("long_polling", "polling")
GETS = ("sse", "multipart", "htmlfile", "jsonp")  # answered 200, whatever there is to say
SMALL: dict[str, Any] = {
    "max_size": 2000,
    "max_batch": 20,
    "max_batch_size": 4000,
    "max_queue": 16,
    "max_queue_size": 65_536,
}


def over_all(name: str, cases: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Each case over a WebSocket and a long poll, and two of them over each other transport, not always the same two.

    One reader reads what all of them bring (tests/protocols has its cases), so what can differ is only how it is
    brought, and what the answer is put into.
    """
    labels = list(cases)
    pairs: list[tuple[str, str]] = []
    for number, transport in enumerate(TRANSPORTS):
        two = (labels[2 * number % len(labels)], labels[(2 * number + 1) % len(labels)])
        pairs += [(transport, label) for label in (labels if transport in ("websocket", "long_polling") else two)]
    params = [pytest.param(transport, cases[label], id=f"{transport}-{label}") for transport, label in pairs]
    return pytest.mark.parametrize(("transport", name), params)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A server with small limits and a healthy session, which is well until the end."""
    async with serving(**SMALL) as place, healthy(place):
        yield place


class healthy:  # noqa: N801 # used like a function
    """A session beside the test: it answers before and after."""

    def __init__(self, place: Place) -> None:
        self.peer = place.websocket()

    async def __aenter__(self) -> None:
        await self.peer.open()
        await self.peer.echo("before")

    async def __aexit__(self, *exc_info: object) -> None:
        await self.peer.echo("after")


async def refused(peer: Peer, *frames: str | bytes) -> tuple[int, int, str]:
    """What an open or attach that says this is told: HTTP status (0 for a WebSocket), code, scope."""
    if isinstance(peer, HttpPeer):
        return (await peer.refused(*[frame for frame in frames if isinstance(frame, str)])).refusal
    assert isinstance(peer, WebSocketPeer)
    ws = await peer.connect()
    for frame in frames:
        await (ws.send_str(frame) if isinstance(frame, str) else ws.send_bytes(frame))
    return (0, *await x_of(peer))


async def x_of(peer: WebSocketPeer) -> tuple[int, str]:
    """The `x` on a WebSocket, which then closes with the same code."""
    frame = ""
    while frame[:1] != "x":
        frame = str(await arrives(peer.read()))
    code, scope, _, _ = frame[1:].split(",", 3)
    assert await peer.closed() == int(code)
    return int(code), scope


async def ends(peer: Peer, session: realtime.Session, *frames: str | bytes, where: str = "") -> tuple[int, int, str]:
    """What a session is told that ends by these frames."""
    if isinstance(peer, HttpPeer):
        texts = [frame for frame in frames if isinstance(frame, str)]
        if where == "poll":
            answer = await peer.poll(*texts)
        else:
            answer = await peer.send(*texts)
        told = answer.refusal
        late = await peer.post("send", [peer.uplink_frame()])
        assert late.frames[-1].split(",")[:2] == [f"x{told[1]}", "session"]  # the tombstone says the same
    else:
        assert isinstance(peer, WebSocketPeer)
        await peer.send(*frames)
        told = (0, *await x_of(peer))
    assert session.closed
    assert session.close_code == told[1]
    return told


def status(transport: str, http: int) -> int:
    """A WebSocket's refusal has no HTTP status."""
    return 0 if transport == "websocket" else http


def at_first(transport: str, http: int) -> int:
    """The status of a carrier that is refused: what can only read a successful answer gets one."""
    return 200 if transport in GETS else status(transport, http)


# -- who is asked for --------------------------------------------------------------------------------------------------


async def test_an_unknown_session(transport: str, place: Place) -> None:
    peer = place.peer(transport)
    peer.sid = "abc.defghijklmnopqrstuvwx"
    assert await refused(peer, peer.attach_frame()) == (at_first(transport, 404), 4404, "session")
    if isinstance(peer, HttpPeer):
        assert (await peer.post("send", [peer.uplink_frame(), "mlost"])).refusal == (404, 4404, "session")


async def test_a_session_that_has_ended(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    await peer.send("mone", "mtwo", "c3210,bye")
    await eventually(lambda: session.closed)
    late = place.polls("/park", "polling")
    late.join(session, 8)
    told = await late.post("polling", [late.attach_frame()])
    assert told == (410, ["x3210,session,3,bye"])
    assert await late.post("send", [late.uplink_frame()]) == told
    again = place.websocket("/park")
    again.join(session, 9)
    assert await refused(again, again.attach_frame()) == (0, 3210, "session")


async def test_a_session_of_another_endpoint(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    thief = place.peer(transport, "/echo")
    thief.join(session, 8)
    assert await refused(thief, thief.attach_frame()) == (at_first(transport, 404), 4404, "session")
    if isinstance(thief, HttpPeer):
        assert (await thief.post("send", [thief.uplink_frame(), "mstolen"])).refusal == (404, 4404, "session")
    assert not session.closed
    await peer.send("mmine")
    assert await session.receive() == "mine"


# -- opens -------------------------------------------------------------------------------------------------------------

NONCE = "abcdefghijklmnopqrstuv"
FINE: dict[str, Any] = {"nonce": NONCE, "gen": 1, "window": [16, 65536], "transports": []}

BAD_OPENS: dict[str, str] = {
    "nothing": "",
    "no json": "{",
    "a number": "1",
    "an array": "[]",
    "null": "null",
    "empty": "{}",
    "deep": "[" * 30_000,
    "deep object": '{"a":' * 4000,
    "a huge integer": '{"gen":' + "9" * 5000 + "}",
    "no nonce": json.dumps(FINE | {"nonce": None}),
    "a short nonce": json.dumps(FINE | {"nonce": "abc"}),
    "a long nonce": json.dumps(FINE | {"nonce": "a" * 65}),
    "a nonce of other characters": json.dumps(FINE | {"nonce": "ä" * 22}),
    "a nonce with a line feed": json.dumps(FINE | {"nonce": NONCE + "\n"}),
    "gen 0": json.dumps(FINE | {"gen": 0}),
    "gen true": json.dumps(FINE | {"gen": True}),
    "gen 1.0": json.dumps(FINE | {"gen": 1.0}),
    "gen -1": json.dumps(FINE | {"gen": -1}),
    "gen 2**53": json.dumps(FINE | {"gen": 2**53}),
    "gen NaN": json.dumps(FINE | {"gen": float("nan")}),
    "no window": json.dumps(FINE | {"window": None}),
    "a window of one": json.dumps(FINE | {"window": [16]}),
    "a window of strings": json.dumps(FINE | {"window": ["16", "65536"]}),
    "an empty window": json.dumps(FINE | {"window": [0, 65536]}),
    "a vast window": json.dumps(FINE | {"window": [16, 10**40]}),
    "transports of numbers": json.dumps(FINE | {"transports": [1]}),
    "transports as a string": json.dumps(FINE | {"transports": "websocket"}),
    "many transports": json.dumps(FINE | {"transports": ["x"] * 33}),
    "a transport that is no text": json.dumps(FINE | {"transports": ["\ud800"]}),
    "a long transport": json.dumps(FINE | {"transports": ["x" * 65]}),
}


@over_all("text", BAD_OPENS)
async def test_a_bad_open(transport: str, place: Place, text: str) -> None:
    peer = place.peer(transport)
    if transport in GETS and len(text) > 6000:
        return  # more than aiohttp takes of a URL
    assert await refused(peer, "o" + text) == (at_first(transport, 400), 4400, "carrier")
    assert len(place.rt) == 1  # the healthy one


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nonce":1}', "\ud800", "ä"])
async def test_a_bad_open_in_the_url(place: Place, text: str) -> None:
    peer = place.websocket()
    await peer.connect("?open=" + quote(text, errors="surrogatepass"))
    assert await x_of(peer) == (4400, "carrier")


async def test_unknown_members_of_an_open_and_odd_auth_are_no_error(transport: str, place: Place) -> None:
    auth = None if transport in GETS else ["\ud800", 10**30, None]  # which does not go in a URL
    peer = place.peer(transport, auth=auth)
    await peer.open(unknown={"a": 1}, transports=["smoke_signals", transport, transport])
    await peer.echo("hello")
    verdicts = {choice["name"]: choice["verdict"] for choice in peer.opened["transports"]}
    assert verdicts["smoke_signals"] == "refused"
    assert verdicts[transport] == "taken"


BAD_HEADS = (
    "",
    "z",
    "mhello",
    "a0,0",
    "p",
    "r",
    "r,,,,",
    "rx,1,0,0",
    "rx,0,0,0,1",
    "rx,1,0,0,0",
    "rx,-1,0,0,1",
    "rx,01,0,0,1",
    "rx,1,0,0,x",
    "rx,+1,0,0,1",
    "rx,1_0,0,0,1",
    "rx, 1,0,0,1",
    "rx,1,٣,0,1",
    "rx,1,²,0,1",
    "rx,1,0,0," + "9" * 17,
    f"rx,1,0,0,{2**53}",
    "rö,1,0,0,1",
    "r" + "x" * 129 + ",1,0,0,1",
    "rx\n,1,0,0,1",
)


@over_all("head", {f"head {number}": head for number, head in enumerate(BAD_HEADS)})
async def test_a_bad_head(transport: str, place: Place, head: str) -> None:
    peer = place.peer(transport)
    if head in ("p", "z", "a0,0") and transport == "websocket":
        return  # a probe, and what is ignored in front of a head
    if head == "p" and transport in ("sse", "xhr_streaming", "multipart", "htmlfile"):
        return  # a probe
    assert await refused(peer, head) == (at_first(transport, 400), 4400, "carrier")
    if isinstance(peer, HttpPeer) and head[:1] == "r":
        assert (await peer.post("send", ["u" + head[1:]])).status in (400, 404)


async def test_heads_in_the_wrong_place(place: Place) -> None:
    peer = place.polls()
    await peer.open()
    assert (await peer.post("send", [peer.attach_frame()])).refusal == (400, 4400, "carrier")
    assert (await peer.post("send", ["o" + json.dumps(FINE)])).refusal == (400, 4400, "carrier")
    assert (await peer.post("long_polling", [peer.uplink_frame()])).refusal == (400, 4400, "carrier")
    other = place.websocket()
    other.sid, other.key = peer.sid, peer.key
    assert await refused(other, peer.uplink_frame()) == (0, 4400, "carrier")
    assert await refused(other, b"binary") == (0, 4400, "carrier")
    await peer.echo("still here")


# -- bodies ------------------------------------------------------------------------------------------------------------

BAD_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "lines of nothing": b"\n\n\n",
    "no json": b"[",
    "an object": b"{}",
    "a string": b'"mhello"',
    "empty": b"[]",
    "numbers": b"[1]",
    "null": b"[null]",
    "an array in an array": b'[["mhello"]]',
    "not UTF-8": b'["m\xff"]',
    "half a character": b'["m\xc3"]',
    "a byte order mark": b'\xef\xbb\xbf["mhello"]',
    "UTF-16": '["mhello"]'.encode("utf-16"),
    "deep": b"[" * 20_000,
    "a huge integer": b"[" + b"9" * 10_000 + b"]",
    "two batches": b'["mhello"]\n["mhello"]',
    "something behind it": b'["mhello"] x',
    "a NUL": b"\x00",
}


@pytest.mark.parametrize("where", ["long_polling", "polling", "send"])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_body_that_is_no_batch(place: Place, where: str, body: bytes) -> None:
    peer = place.polls()
    await peer.open()
    assert (await peer.post(where, body)).refusal == (400, 4400, "carrier")
    await peer.echo("still here")


@pytest.mark.parametrize("where", ["long_polling", "polling", "send"])
async def test_a_body_above_the_limit(place: Place, where: str) -> None:
    limit = place.rt._service.config.max_body
    peer = place.polls()
    await peer.open()
    head = peer.uplink_frame() if where == "send" else peer.attach_frame()
    filling = batch(head, "z" * (limit - len(batch(head, ""))))
    assert len(filling) == limit
    if where != "long_polling":  # which holds it
        assert (await peer.post(where, filling)).status == 200  # an unknown frame, as large as it may be
    assert (await peer.post(where, filling + b"\n")).refusal == (413, 4413, "carrier")

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b'["p"]\n' * 1000

    async with peer.http.post(f"{peer.url}/v1/{where}", data=chunks(limit // 6000 + 2)) as response:
        answer = Answer(response.status, await response.json(content_type=None))
    assert answer.refusal == (413, 4413, "carrier")
    await peer.echo("still here")


@pytest.mark.parametrize("where", ["polling", "send"])
async def test_too_many_frames(place: Place, where: str) -> None:
    peer = place.polls()
    await peer.open()
    assert peer.opened["max_batch"][0] == 20
    head = peer.uplink_frame() if where == "send" else peer.attach_frame()
    assert (await peer.post(where, [head] + ["q"] * 19)).status == 200
    assert (await peer.post(where, [head] + ["q"] * 20)).refusal == (413, 4413, "carrier")
    await peer.echo("still here")


async def test_a_compressed_body(place: Place) -> None:
    peer = place.polls()
    await peer.open()
    url = place.url("/echo/v1/send")
    for body in (gzip.compress(batch(peer.uplink_frame(), "mpacked")), b"\x1f\x8b no gzip at all"):
        async with place.http.post(url, data=body, headers={"Content-Encoding": "gzip"}) as answer:
            assert answer.status == 415
    await peer.echo("as it is")


# -- frames of a session that exists -----------------------------------------------------------------------------------

PROTOCOL_ERRORS: dict[str, tuple[str, ...]] = {
    "an empty frame": ("",),
    "an open": ("o{}",),
    "an attach": ("rx,1,0,0,1",),
    "an uplink head": ("ux,0,0,1",),
    "an ack of nothing sent": ("a1,0",),
    "an ack of more taken than received": ("a0,1",),
    "an ack in words": ("aone,two",),
    "an ack of one number": ("a0",),
    "a negative ack": ("a-1,-1",),
    "an ack in other digits": ("a٠,٠",),
    "an absurd ack": (f"a{2**53},0",),
    "a gap": ("n3", "mthree"),
    "an absurd number": (f"n{2**60}",),
    "no number": ("n", "mx"),
    "a number in words": ("nx",),
    "a drop of what": ("dmany",),
    "a drop of nothing": ("d",),
    "a close without a code": ("c",),
    "a close in words": ("cnow,",),
    "a close below the codes": ("c999,",),
    "a close above the codes": ("c5000,",),
    "an end without a scope": ("x1000,",),
    "an end of something else": ("x1000,world,,",),
    "an end in words": ("xnow,session,,",),
    "a go-away of what": ("gone",),
    "a window exceeded in messages": tuple("m" for _ in range(17)),
}


@over_all("frames", PROTOCOL_ERRORS)
async def test_a_protocol_error_ends_the_session(transport: str, place: Place, frames: tuple[str, ...]) -> None:
    peer, session = await place.parked(transport)
    assert await ends(peer, session, *frames) == (status(transport, 400), 1002, "session")


@pytest.mark.parametrize("transport", POLLS)
@pytest.mark.parametrize("frames", [("a1,0",), ("n9", "mx"), ("",)])
async def test_a_protocol_error_in_a_poll(transport: str, place: Place, frames: tuple[str, ...]) -> None:
    peer, session = await place.parked(transport)
    assert await ends(peer, session, *frames, where="poll") == (400, 1002, "session")


async def test_an_absurd_ack_in_a_head(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    if isinstance(peer, HttpPeer):
        answer = await peer.post("send", [uplink_frame(session, 5, 0, 1), "mx"])
        assert answer.refusal == (400, 1002, "session")
        peer, session = await place.parked(transport)
    head = attach_frame(session, transport, 7, 5, 0, 1)
    assert await refused(peer, head) == (at_first(transport, 400), 1002, "session")
    assert session.close_code == 1002


async def test_a_gap_in_a_post_is_innocent_and_on_a_websocket_an_error(place: Place) -> None:
    peer, session = await place.parked("polling")
    assert isinstance(peer, HttpPeer)
    assert await peer.post("send", [uplink_frame(session, 0, 0, 3), "mthree"]) == (200, ["a0,0"])
    assert (await peer.post("polling", [attach_frame(session, "polling", 5, 0, 0, 3), "mthree"])).frames == ["r0,0"]
    await peer.send("mone")
    assert await session.receive() == "one"
    jumper = place.websocket("/park")
    jumper.sid = peer.sid
    await jumper.connect()
    await jumper.send(attach_frame(session, "websocket", 9, 0, 0, 5), "mfive")
    assert await x_of(jumper) == (1002, "session")


async def test_a_window_exceeded_in_bytes(transport: str) -> None:
    async with serving(max_size=70_000, max_queue_size=65_536) as place, healthy(place):
        peer, session = await place.parked(transport)
        assert (await peer.send("m" + "x" * 70_000)).status == 200  # alone, one above the window may go
        await eventually(lambda: session._machine.inbox.received == 1)
        assert await ends(peer, session, "m") == (status(transport, 400), 1002, "session")
        assert await session.receive() == "x" * 70_000  # what came before stays


INVALID = {
    "no base64": "b!!!!",
    "base64 without padding": "bAA",
    "base64 of the URL kind": "bA-_=",
    "base64 with a line feed": "bAA\n==",
    "base64 in other letters": "bàà==",
    "something behind the padding": "bAA==AA==",
}


@over_all("frame", INVALID)
async def test_bad_base64(transport: str, place: Place, frame: str) -> None:
    peer, session = await place.parked(transport)
    assert await ends(peer, session, frame) == (status(transport, 400), 1007, "session")


@pytest.mark.parametrize("transport", POLLS)
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc00\ud800"])
async def test_lone_surrogates(transport: str, place: Place, text: str) -> None:
    peer, session = await place.parked(transport)
    assert await ends(peer, session, "m" + text) == (400, 1007, "session")
    peer, session = await place.parked(transport)
    await peer.send("m\ud83d\ude00", "z" + text, "q" + text, "c1000," + text)  # elsewhere they do no harm
    assert await session.receive() == "\U0001f600"
    assert session.close_code == 1000


@pytest.mark.parametrize("payload", [b"m\xff", b"m\xc3", b"m\xed\xa0\x80", b"\xff"])
async def test_a_websocket_message_that_is_not_utf8(place: Place, payload: bytes) -> None:
    peer, session = await place.parked("websocket")
    assert isinstance(peer, WebSocketPeer)
    await peer.ws.send_frame(payload, WSMsgType.TEXT)
    assert await peer.closed() == 1007
    await eventually(lambda: session.closed)
    assert session.close_code == 1007
    mute = place.websocket("/park")
    await (await mute.connect()).send_frame(payload, WSMsgType.TEXT)
    assert await mute.closed() == 1007


async def test_messages_up_to_max_size(transport: str, place: Place) -> None:
    for message in ("x" * 2000, "ä" * 1000, b"\x00" * 2000, '"\\\n' * 666):
        peer, session = await place.parked(transport)
        await peer.send(message if isinstance(message, bytes) else "m" + message)
        assert await session.receive() == message
        larger = message + b"\x00" if isinstance(message, bytes) else "m" + message + "xxx"
        if isinstance(larger, bytes) and isinstance(peer, HttpPeer):
            larger = "b" + "AAAA" * 667
        assert await ends(peer, session, larger) == (status(transport, 413), 1009, "session")


async def test_a_message_above_what_aiohttp_takes(place: Place) -> None:
    for payload in ("m" + "x" * 200_000, b"\x00" * 200_000):
        peer, session = await place.parked("websocket")
        assert isinstance(peer, WebSocketPeer)
        await peer.send(payload)
        assert await peer.closed() == 1009
        await eventually(lambda session=session: session.closed)  # type: ignore[misc]
        assert session.close_code == 1009


UNKNOWN = ("z", "zanything", "Z1,2,3", "ümlaut", "\x00", " ", "0", "l" * 1000, "e", "h", "\u2028")


@over_all("frame", {f"frame {number}": frame for number, frame in enumerate(UNKNOWN)})
async def test_unknown_frames_are_ignored(transport: str, place: Place, frame: str) -> None:
    peer, session = await place.parked(transport)
    await peer.send(frame, "mone", frame, "mtwo")
    assert [await session.receive(), await session.receive()] == ["one", "two"]


async def test_further_fields_are_ignored(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    await peer.send("a0,0,9,x", "n1,what", "mone", "q" * 500)
    assert await session.receive() == "one"
    other = place.peer(transport, "/park")
    other.sid, other.key = peer.sid, peer.key
    frame = attach_frame(session, transport, 9, 0, 0, 2) + ",more,and more"
    if isinstance(other, WebSocketPeer):
        await other.connect()
        await other.send(frame)
        assert await other.read() == "r1,1"
    elif isinstance(other, StreamPeer):
        session.send_nowait("wake")
        await other.start(frame)
        assert await other.news() == "mwake"
        assert other.acked == 1
    else:
        assert isinstance(other, HttpPeer)
        session.send_nowait("wake")
        assert (await other.post(transport, [frame])).frames == ["r1,1", "mwake"]
        assert (await other.post("send", [uplink_frame(session, 1, 1, 2) + ",more"])).frames[0] == "a1,1"


async def test_duplicates_are_dropped(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    await peer.send("mone", "mtwo")
    await eventually(lambda: session._machine.inbox.received == 2)
    await peer.send("n1", "mone", "mtwo", "mthree")
    assert [await session.receive() for _ in range(3)] == ["one", "two", "three"]


async def test_an_end_by_the_client(transport: str, place: Place) -> None:
    for frame, code in (("x1000,session,,bye", 1000), ("x4411,carrier,7,", 4411)):
        peer, session = await place.parked(transport)
        answer = await peer.send(frame)
        await eventually(lambda session=session: session.closed)  # type: ignore[misc]
        assert session.close_code == code
        if isinstance(peer, WebSocketPeer):
            assert await peer.closed() == code
        else:
            assert answer.refusal[1:] == (code, "session")


@over_all("code", {str(code): code for code in (1002, 1004, 1005, 1006, 1015, 1016, 2999)})
async def test_a_close_with_a_code_that_no_clean_close_has(transport: str, place: Place, code: int) -> None:
    peer, session = await place.parked(transport)
    assert await ends(peer, session, f"c{code},odd") == (status(transport, 400), 1002, "session")


async def test_a_clean_close_is_answered_on_the_spot(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    answer = await peer.send("mone", "c1000,bye")
    if isinstance(peer, HttpPeer):
        assert answer == (200, ["x1000,session,2,bye"])
    else:
        assert await peer.end() == (1000, "x")
        assert peer.acked == 2
    assert session.close_code == 1000


@pytest.mark.parametrize("transport", POLLS)
async def test_a_poll_that_completes_a_close_is_answered_200(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    assert isinstance(peer, HttpPeer)
    closing = asyncio.create_task(session.close(3000, "bye"))
    assert await peer.news() == "c3000,bye"
    assert await peer.poll() == (200, ["x3000,session,0,bye"])
    await closing


# -- requests ----------------------------------------------------------------------------------------------------------


async def test_the_wrong_address(place: Place) -> None:
    wrong = {
        "/realtime/nowhere/v1/polling": 4406,
        "/realtime/echo/v1/smoke": 4406,
        "/realtime/echo/v2/polling": 4406,
        "/realtime/echo/v0/polling": 4406,
        "/realtime/echo/v01/polling": 4406,
        "/realtime/echo/v" + "9" * 3000 + "/polling": 4406,
        "/realtime/echo/v1/" + "x" * 5000: 4406,
        "/realtime/echo/v1/%ff%00": 4406,
        "/realtime/%ed%a0%80/v1/polling": 4406,
    }
    for path, code in wrong.items():
        for method in ("POST", "GET", "PUT", "OPTIONS"):
            async with place.http.request(method, place.base + path, data=b"") as response:
                answer = Answer(response.status, await response.json(content_type=None))
            assert answer.refusal == (404, code, "carrier")
            assert len(answer.frames[0].encode()) < 200
    for path in ("/realtime/nowhere", "/realtime/echo/v2", "/realtime/echo/v1"):
        peer = WebSocketPeer(place.http, place.base + path)
        if path.endswith("v1"):
            peer.url = peer.url.removesuffix("/v1") + "/v1/v3"
        await peer.connect()
        assert await x_of(peer) == (4406, "carrier")
    async with place.http.post(place.base + "/realtime/echo/vx/polling") as response:
        assert response.status == 404


async def test_the_wrong_method(place: Place) -> None:
    for name, methods in {"polling": "GET PUT DELETE", "send": "GET PATCH", "websocket": "POST PUT TRACE"}.items():
        for method in methods.split():
            async with place.http.request(method, place.url(f"/echo/v1/{name}")) as response:
                answer = Answer(response.status, await response.json(content_type=None))
                assert answer.refusal == (405, 4405, "carrier")
                assert response.headers["Allow"] == ("GET" if name == "websocket" else "POST")
    async with place.http.head(place.url("/echo/v1/polling")) as response:
        assert response.status == 405


@pytest.mark.parametrize("query", ["", "?open=%7B%7D"])
async def test_a_websocket_request_that_is_none(place: Place, query: str) -> None:
    for headers in ({}, {"Upgrade": "websocket"}, {"Upgrade": "h2c", "Connection": "Upgrade"}):
        async with place.http.get(place.url("/echo/v1/websocket") + query, headers=headers) as response:
            answer = Answer(response.status, await response.json(content_type=None))
        assert answer.refusal == (400, 4400, "carrier")
        assert "Upgrade" in answer.frames[0]


ORIGINS = [
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "\xff\udcff"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Referer": "https://evil.example/page"}, False),
    ({"Referer": "http://[broken"}, False),
    ({"Referer": "about:blank"}, False),
    ({"Origin": "https://friend.example"}, True),
    ({"Origin": "HTTPS://Friend.example"}, False),
    ({}, True),
]


@pytest.mark.parametrize(("headers", "fine"), ORIGINS)
async def test_origins(transport: str, headers: dict[str, str], fine: bool) -> None:
    async with serving(allowed_origins=("https://friend.example",)) as place, healthy(place):
        headers = {
            name: value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
            for name, value in headers.items()
        }
        peer = place.peer(transport, headers=headers)
        if fine:
            await peer.open()
            await peer.echo("hello")
            return
        if isinstance(peer, HttpPeer):
            for where in (transport, "send"):
                async with place.http.post(f"{peer.url}/v1/{where}", data="[]", headers=headers) as response:
                    answer = Answer(response.status, await response.json(content_type=None))
                    assert "Access-Control-Allow-Origin" not in response.headers
                assert answer.refusal == (403, 4403, "carrier")
                assert "allowed_origins" in answer.frames[0]
            hidden = HttpPeer(place.http, place.url("/nowhere"), headers=headers)
            assert (await hidden.post("polling", [])).refusal == (403, 4403, "carrier")
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await peer.open()
            assert caught.value.status == 403
        assert len(place.rt) == 1


async def test_the_same_origin_and_any_origin(transport: str, place: Place) -> None:
    for origin in (place.base, place.base.upper().replace("HTTP", "http")):
        peer = place.peer(transport, headers={"Origin": origin})
        await peer.open()
        await peer.echo("hello")
    async with serving(allowed_origins="*") as other:
        for value in ("https://anywhere.example", "null", "ümlaut"):
            peer = other.peer(transport, headers={"Origin": value})
            await peer.open()
            await peer.echo("hello")


async def test_what_an_allowed_page_may_read(place: Place) -> None:
    async with serving(allowed_origins=("https://friend.example",)) as place:
        headers = {"Origin": "https://friend.example", "Access-Control-Request-Headers": "X-One, X-Two"}
        async with place.http.options(place.url("/echo/v1/polling"), headers=headers) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "https://friend.example"
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
            assert response.headers["Access-Control-Allow-Headers"] == "X-One, X-Two"
            assert response.headers["Vary"] == "Origin"
        headers["Access-Control-Request-Headers"] = "ümlaut"
        async with place.http.options(place.url("/echo/v1/polling"), headers=headers) as response:
            assert response.status == 204
            assert "Access-Control-Allow-Headers" not in response.headers
        async with place.http.post(place.url("/echo/v1/polling"), data="[]", headers=headers) as response:
            assert response.status == 400
            assert response.headers["Access-Control-Allow-Origin"] == "https://friend.example"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store, no-transform"
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


# -- who may -----------------------------------------------------------------------------------------------------------


def by_header(rt: realtime.Server) -> None:
    """The X-Name header, or else `auth`, says who it is."""

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str | None:
        name = request.headers.get("X-Name", request.auth)
        if name in ("mallory", "eve"):
            raise realtime.Unauthorized(f"not you, {name}", status=401 if name == "mallory" else 403)
        return name


@pytest.mark.parametrize(("name", "http", "code"), [("mallory", 401, 4401), ("eve", 403, 4403)])
async def test_who_is_not_authorised(transport: str, place: Place, name: str, http: int, code: int) -> None:
    by_header(place.rt)
    peer = place.peer(transport, headers={"X-Name": name})
    assert await refused(peer, "o" + json.dumps(FINE)) == (at_first(transport, http), code, "carrier")
    assert len(place.rt) == 1
    place.rt._service.admission.hook = None


async def test_another_identity_than_the_sessions(transport: str, place: Place) -> None:
    by_header(place.rt)
    peer, session = await place.parked(transport, headers={"X-Name": "anna"})
    thief = place.peer(transport, "/park", headers={"X-Name": "bert"})
    thief.join(session, 5)
    assert await refused(thief, thief.attach_frame()) == (at_first(transport, 403), 4403, "carrier")
    if isinstance(thief, HttpPeer):
        assert (await thief.post("send", [thief.uplink_frame(), "c1000,"])).refusal == (403, 4403, "carrier")
    await peer.send("mstill mine")
    assert await session.receive() == "still mine"
    place.rt._service.admission.hook = None


async def test_auth_is_there_for_every_request(transport: str, place: Place) -> None:
    by_header(place.rt)
    peer = place.peer(transport, auth="anna")
    await peer.open()
    await peer.echo("hello")
    await peer.resume()
    await peer.echo("again")
    assert [session.identity for session in place.rt.sessions] == [None, "anna"]
    place.rt._service.admission.hook = None


async def test_a_session_that_ends_while_its_client_is_authorised(transport: str, place: Place) -> None:
    _, session = await place.parked(transport)
    asked = asyncio.Event()
    answer = asyncio.Event()

    @place.rt.authorize
    async def authorize(request: realtime.SessionRequest) -> None:
        asked.set()
        await answer.wait()

    late = place.peer(transport, "/park")
    late.join(session, 5)
    requests = [asyncio.create_task(refused(late, late.attach_frame()))]
    if isinstance(late, HttpPeer):

        async def send() -> tuple[int, int, str]:
            return (await late.post("send", [late.uplink_frame(), "m"])).refusal

        requests.append(asyncio.create_task(send()))
    await asked.wait()
    session._machine.end(3003, "over", place.rt._service.clock.now())
    answer.set()
    told = [(at_first(transport, 410), 3003, "session"), (status(transport, 410), 3003, "session")]
    assert [await request for request in requests] == told[: len(requests)]
    place.rt._service.admission.hook = None


async def test_a_nonce_opens_once_and_for_one(transport: str, place: Place) -> None:
    peer = place.peer(transport)
    peer.acking = False
    first = await peer.open()
    again = await peer.open()  # the answer may have been lost
    assert again["sid"] == first["sid"]
    other = place.peer(transport, "/park")
    other.nonce = peer.nonce
    frame = "o" + json.dumps(other.open_object())
    assert await refused(other, frame) == (at_first(transport, 409), 4409, "carrier")  # another endpoint
    await peer.send(*([] if isinstance(peer, HttpPeer) else ["a0,0"]))
    await eventually(lambda: all(session._machine.used for session in place.rt.sessions))
    frame = "o" + json.dumps(peer.open_object())
    assert await refused(peer, frame) == (at_first(transport, 409), 4409, "carrier")  # used
    assert len(place.rt) == 2


async def test_too_many_sessions(transport: str) -> None:
    async with serving(max_sessions=3, max_sessions_per_identity=1) as place, healthy(place):
        by_header(place.rt)
        anna = place.peer(transport, headers={"X-Name": "anna"})
        await anna.open()
        second = place.peer(transport, headers={"X-Name": "anna"})
        frame = "o" + json.dumps(second.open_object())
        assert await refused(second, frame) == (at_first(transport, 429), 4429, "carrier")
        await place.peer(transport, headers={"X-Name": "bert"}).open()
        third = place.peer(transport, headers={"X-Name": "carl"})
        frame = "o" + json.dumps(third.open_object())
        assert await refused(third, frame) == (at_first(transport, 429), 4429, "carrier")
        await anna.send("c1000,")
        await eventually(lambda: len(place.rt) == 2)
        assert place.rt._service.sessions.registry._identities.keys() == {"bert"}
        await second.open()
        await second.echo("now")


# -- sockets -----------------------------------------------------------------------------------------------------------


class Raw:
    """A socket that says what it is told."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Raw:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.place.port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.writer.close()

    async def post(self, where: str, body: bytes, *headers: str) -> None:
        """The beginning of a POST, or all of it."""
        lines = [f"POST /realtime/echo/v1/{where} HTTP/1.1", "Host: h", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """One answer with a Content-Length."""
        head = await arrives(self.reader.readuntil(b"\r\n\r\n"))
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await arrives(self.reader.readexactly(size))
        return Answer(int(head.split()[1]), json.loads(body) if body[:1] == b"[" else [body.decode()])


@pytest.mark.parametrize(
    "body", [b'5\r\n["p"\r\n0\r\n\r\n', b"zz\r\n", b"fffffffffffffffffffff\r\n", b"5\r\nabcdefgh\r\n", b"-1\r\n"]
)
async def test_a_broken_chunked_body(place: Place, body: bytes) -> None:
    async with Raw(place) as raw:
        await raw.post("send", body, "Transfer-Encoding: chunked")
        assert (await raw.answer()).status == 400


@pytest.mark.parametrize("headers", [("Transfer-Encoding: chunked",), ("Content-Length: 1000",)])
async def test_a_client_that_leaves_in_the_middle_of_a_body(place: Place, headers: tuple[str, ...]) -> None:
    async with Raw(place) as raw:
        await raw.post("send", b"5\r\n", *headers)
        await eventually(lambda: busy(place) == 1)
    await eventually(lambda: busy(place) == 0)


def busy(place: Place) -> int:
    """How many requests are being handled, but for WebSockets."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return sum("_handle_request" in name for name in names) - sum(
        not isinstance(link, LeanLink) for link in place.links
    )


async def test_a_client_that_leaves_in_the_middle_of_a_poll(place: Place) -> None:
    peer = place.polls("/park")
    await peer.open()
    session = await place.sessions.get()
    async with Raw(place) as raw:
        body = batch(peer.attach_frame())
        await raw.post("long_polling", body, f"Content-Length: {len(body)}")
        raw.writer.write(b"")
        lines = f"POST /realtime/park/v1/long_polling HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
        assert (await raw.answer()).status == 404  # at /echo
        raw.writer.write(lines.encode() + body)
        await eventually(lambda: session._machine.carrier is not None)
    await session.send("into the void")
    await eventually(lambda: session._machine.carrier is None)
    assert await peer.news() == "minto the void"  # a successful write is not delivery


async def test_garbage_behind_a_request(place: Place) -> None:
    peer = place.polls()
    await peer.open()
    async with Raw(place) as raw:
        body = batch(peer.uplink_frame(), "mone")
        await raw.post("send", body + b"\x00garbage \r\n\r\n", f"Content-Length: {len(body)}")
        assert (await raw.answer()).status in (200, 400)
        await arrives(raw.reader.read())
    async with Raw(place) as raw:
        raw.writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")  # TLS
        assert (await arrives(raw.reader.read())).startswith(b"HTTP/1.")


async def test_requests_in_a_row_on_one_connection(place: Place) -> None:
    peer = place.polls()
    await peer.open()
    async with Raw(place) as raw:
        for number in range(3):
            body = batch(f"u{peer.sid},0,0,{number + 1},{peer.key}", f"m{number}")
            await raw.post("send", body, f"Content-Length: {len(body)}")
        assert [(await raw.answer()).status for _ in range(3)] == [200, 200, 200]
    assert await peer.take(3) == ["m0", "m1", "m2"]


async def test_a_body_that_comes_too_slowly() -> None:
    async with serving(request_timeout=0.1) as place, healthy(place), Raw(place) as raw:
        start = time.monotonic()
        await raw.post("send", b"[", "Content-Length: 1000")

        async def drip() -> None:
            while True:
                raw.writer.write(b" ")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await raw.answer()).refusal == (408, 4408, "carrier")
        assert time.monotonic() - start > 0.05
        dripping.cancel()
        await asyncio.wait([dripping])


async def test_who_connects_and_says_nothing() -> None:
    async with serving(clock=VirtualClock(), open_timeout=30, ping_interval=None) as place, healthy(place):
        async with Raw(place):
            peer = place.websocket()
            await peer.connect()
            await peer.send("p1")  # a probe is no attach
            assert await peer.read() == "q1"
            place.tick(30)
            assert await x_of(peer) == (4408, "carrier")
            quiet = place.websocket()
            await quiet.connect()
            await quiet.drop()
        await eventually(lambda: len(asyncio.all_tasks()) < 12)


async def test_websocket_frames_that_break_rfc_6455(place: Place) -> None:
    for garbage in (b"\xf1\x80abcd", b"\x8f\x80abcd", b"\x89\xfeabcdef", b"\x80\x80abcd", b"\x81\xff" + b"\xff" * 12):
        peer, session = await place.parked("websocket")
        assert isinstance(peer, WebSocketPeer)
        peer.socket.write(garbage)
        assert await peer.closed() in (1002, 1009, 1006)
        await eventually(lambda session=session: session._machine.carrier is None)  # type: ignore[misc]


async def test_a_session_beside_it_is_not_disturbed_by_a_flood(place: Place) -> None:
    flooder, session = await place.parked("websocket")
    for _ in range(200):
        await flooder.send("p" + "x" * 100, "zzz", "a0,0", "q")
    await flooder.send("mend")
    assert await session.receive() == "end"
    with pytest.raises(Cut):
        await flooder.send("", *("m" for _ in range(3)))
        while True:
            await flooder.read()
