"""Handshakes that are none, clients that leave before they are answered, and opens that are asked about for long."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote

import pytest
from aiohttp import WSMsgType, web

import realtime
from realtime.core.errors import Refusal
from realtime.gates.openings import Openings
from realtime.request import SessionRequest
from realtime.web.takeover import LeanResponse

from ..patience import arrives, eventually
from .peer import HttpPeer, batch
from .place import Place, serving
from .raw import is_read

pytestmark = pytest.mark.usefixtures("quiet_log")

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")


def opening(nonce: str = "", gen: int = 1) -> str:
    """An open, as it stands in a URL."""
    members = {"nonce": nonce or secrets.token_urlsafe(18), "gen": gen, "window": [16, 65_536]}
    return quote(json.dumps(members), safe="")


WEBSOCKETS = {
    "native": "/realtime/all/v1/websocket",
    "unknown endpoint": "/realtime/nowhere/v1/websocket",
    "other version": "/realtime/all/v2/websocket",
    "raw": "/realtime/all",
    "sockjs": "/realtime/all/000/abcdefgh/websocket",
    "sockjs raw": "/realtime/all/websocket",
    "engineio": "/engine.io/?EIO=4&transport=websocket",
}
OPENS = {
    "native": ("GET", "/realtime/all/v1/websocket?open=OPEN", HANDSHAKE),
    "raw": ("GET", "/realtime/all", HANDSHAKE),
    "sockjs": ("GET", "/realtime/all/000/NAME/websocket", HANDSHAKE),
    "sockjs raw": ("GET", "/realtime/all/websocket", HANDSHAKE),
    "engineio": ("GET", "/engine.io/?EIO=4&transport=websocket", HANDSHAKE),
    "sse": ("GET", "/realtime/all/v1/sse?frame=oOPEN", ()),
    "multipart": ("GET", "/realtime/all/v1/multipart?frame=oOPEN", ()),
    "htmlfile": ("GET", "/realtime/all/v1/htmlfile?callback=take&frame=oOPEN", ()),
    "jsonp": ("GET", "/realtime/all/v1/jsonp?callback=take&frame=oOPEN", ()),
    "xhr_streaming": ("POST", "/realtime/all/v1/xhr_streaming", ()),
    "long_polling": ("POST", "/realtime/all/v1/long_polling", ()),
    "polling": ("POST", "/realtime/all/v1/polling", ()),
    "sockjs poll": ("POST", "/realtime/all/000/NAME/xhr", ("Content-Length: 0",)),
    "sockjs stream": ("POST", "/realtime/all/000/NAME/xhr_streaming", ("Content-Length: 0",)),
    "engineio poll": ("GET", "/engine.io/?EIO=4&transport=polling", ()),
}
UPGRADED = ("native", "raw", "sockjs", "sockjs raw")  # before the application is asked
every_websocket = pytest.mark.parametrize("door", list(WEBSOCKETS))
every_open = pytest.mark.parametrize("door", list(OPENS))


class Hook:
    """An authorize hook that answers when it is let."""

    def __init__(self, rt: realtime.Server) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.refuses = False
        rt.authorize(self)

    async def __call__(self, request: SessionRequest) -> str:
        self.asked += 1
        await self.answers.wait()
        if self.refuses:
            raise realtime.Unauthorized("not you")
        return "ada"


@asynccontextmanager
async def doors(**settings: Any) -> AsyncIterator[tuple[Place, list[realtime.Session]]]:
    """A place whose /all lets in clients of every kind, and the sessions whose handlers were started."""
    rt = realtime.Server(shutdown_timeout=0.3, **settings)
    started: list[realtime.Session] = []

    @rt.endpoint("/all", sockjs=True, engineio="/engine.io")
    async def everything(session: realtime.Session) -> None:
        started.append(session)
        async for message in session:
            await session.send(message)

    async with serving(rt) as place:
        yield place, started


def request_of(method: str, path: str, headers: tuple[str, ...] = (), version: str = "1.1") -> bytes:
    """A request; OPEN and NAME in its path are made up."""
    path = path.replace("OPEN", opening()).replace("NAME", secrets.token_hex(4))
    body = b""
    if method == "POST" and not headers:
        body = batch("o" + unquote(opening()))
        headers = (f"Content-Length: {len(body)}",)
    if "callback=" in path:
        headers = ("Referer: http://h/page", *headers)  # a tag shows its page
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: h", *headers, "", ""]).encode() + body


async def ask(place: Place, data: bytes) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    try:
        writer.write(data)
        head = (await arrives(reader.readuntil(b"\r\n\r\n"))).decode()
        headers = {name.title(): value for name, _, value in (x.partition(": ") for x in head.split("\r\n")[1:-2])}
        body = await arrives(reader.readexactly(int(headers.get("Content-Length", 0))))
    finally:
        writer.close()
    return int(head.split()[1]), headers, body.decode()


async def asked(place: Place, count: int) -> None:
    """So many requests have come to the server, and as far as they get."""
    server = place.runner.server
    assert server is not None
    await eventually(lambda: server.requests_count >= count)
    assert (await ask(place, request_of("GET", "/realtime/all/negotiate")))[0] == 200


async def unconnected(place: Place) -> None:
    """The server has seen that everybody left."""
    server = place.runner.server
    assert server is not None
    await place.http.close()
    await eventually(lambda: all(handler.transport is None for handler in server.connections))
    await eventually(lambda: all(link.transport is None or link.transport.is_closing() for link in place.links))


# -- who has left --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "end"])
@every_websocket
async def test_whoever_leaves_in_the_handshake_leaves_no_trace(door: str, how: str) -> None:
    async with doors() as (place, _):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", place.port)) as client:
                client.sendall(request_of("GET", WEBSOCKETS[door], HANDSHAKE))
                if how == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert (await ask(place, request_of("GET", "/realtime/all/negotiate")))[0] == 200
        await unconnected(place)
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


@every_websocket
async def test_a_handshake_that_cannot_be_answered(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way the connection is found to be gone: aiohttp gets an answer that it can meet the same with."""

    async def prepare(self: web.WebSocketResponse, request: web.BaseRequest) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    async with doors() as (place, _):
        for kind in (web.WebSocketResponse, LeanResponse):
            monkeypatch.setattr(kind, "prepare", prepare)
        status, _, body = await ask(place, request_of("GET", WEBSOCKETS[door], HANDSHAKE))
        assert status == 499
        assert "Error" not in body
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


async def test_whoever_leaves_behind_a_ping_leaves_no_trace() -> None:
    async with doors() as (place, _):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", place.port)) as client:
                client.sendall(request_of("GET", WEBSOCKETS["native"], HANDSHAKE))
                await asyncio.get_running_loop().run_in_executor(None, client.recv, 4096)
                client.sendall(b"\x89\x80abcd" * 3)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await unconnected(place)


@every_open
async def test_whoever_leaves_while_the_application_is_asked_opens_nothing(door: str) -> None:
    async with doors(max_sessions_per_identity=1) as (place, started):
        hook = Hook(place.rt)
        for _ in range(3):
            asked = hook.asked
            _, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(request_of(*OPENS[door]))
            await eventually(lambda asked=asked: hook.asked > asked)  # type: ignore[misc]
            writer.close()
        await unconnected(place)
        hook.answers.set()
        _, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(request_of(*OPENS[door]))
        await eventually(lambda: started)  # not refused: there is a place in the limits
        assert len(place.rt) == len(started) == 1
        writer.close()
        for session in started:
            session._machine.end(1000, "", place.rt._service.clock.now())


@pytest.mark.parametrize("door", UPGRADED)
async def test_whoever_closes_a_websocket_while_the_application_is_asked_opens_nothing(door: str) -> None:
    async with doors() as (place, started):
        hook = Hook(place.rt)
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(request_of(*OPENS[door]))
        await arrives(reader.readuntil(b"\r\n\r\n"))
        await eventually(lambda: hook.asked)
        writer.write(b"\x81\x82\0\0\0\0m1" + b"\x88\x82\0\0\0\0\x03\xe8")  # a message, and a close
        await is_read(writer)
        hook.answers.set()
        assert (await arrives(reader.read()))[:1] == b"\x88"  # the close is answered, and nothing else said
        assert not started
        writer.close()


@pytest.mark.parametrize("door", UPGRADED)
async def test_what_comes_while_the_application_is_asked_is_not_lost(door: str) -> None:
    """More than is read ahead: the rest waits where it is."""
    async with doors() as (place, _):
        hook = Hook(place.rt)
        path = OPENS[door][1].replace("OPEN", opening()).replace("NAME", "abcdefgh")
        async with place.http.ws_connect(place.base + path) as ws:
            await eventually(lambda: hook.asked)
            texts = [f"text {number}" for number in range(16 if door == "native" else 100)]
            for text in texts:
                for _ in range(3):
                    await ws.ping()
                await ws.send_str({"native": f"m{text}", "sockjs": json.dumps([text])}.get(door, text))
            hook.answers.set()
            got: list[str] = []
            while len(got) < len(texts):
                message = await arrives(ws.receive())
                assert message.type is WSMsgType.TEXT, message
                if door == "native":
                    got += [message.data[1:]] if message.data[0] == "m" else []
                    await ws.send_str(f"a{len(got)},{len(got)}")
                elif door == "sockjs":
                    got += json.loads(message.data[1:]) if message.data[0] == "a" else []
                else:
                    got.append(message.data)
            assert got == texts


# -- opens that come again ---------------------------------------------------------------------------------------------


async def test_an_open_that_comes_again_while_the_application_is_asked() -> None:
    async with doors(opens_per_second_per_address=0.1, max_sessions_per_identity=1) as (place, started):
        hook = Hook(place.rt)
        peer = HttpPeer(place.http, place.url("/all"))
        peer.transport = "long_polling"
        first = asyncio.create_task(peer.post("long_polling", ["o" + json.dumps(peer.open_object())]))
        await eventually(lambda: hook.asked)
        again = asyncio.create_task(peer.post("polling", ["o" + json.dumps(peer.open_object())]))
        third = asyncio.create_task(peer.post("polling", ["o" + json.dumps(peer.open_object())]))
        await asked(place, 3)
        hook.answers.set()
        answers = await arrives(asyncio.gather(first, again, third))
        assert {answer.status for answer in answers} == {200}
        assert len({json.loads(answer.frames[0][1:])["sid"] for answer in answers if answer.frames[0][0] == "o"}) == 1
        assert (hook.asked, len(place.rt), len(started)) == (1, 1, 1)
        for session in started:
            session._machine.end(1000, "", place.rt._service.clock.now())


async def test_who_comes_again_gets_the_answer_to_the_first_question() -> None:
    async with doors() as (place, started):
        hook = Hook(place.rt)
        nonce = secrets.token_urlsafe(18)
        path = f"/realtime/all/v1/sse?frame=o{opening(nonce)}"
        _, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(request_of("GET", path))
        await eventually(lambda: hook.asked)
        writer.close()
        again, other = await asyncio.open_connection("127.0.0.1", place.port)
        other.write(request_of("GET", f"/realtime/all/v1/sse?frame=o{opening(nonce, 2)}"))
        await is_read(other)
        assert (await ask(place, request_of("GET", "/realtime/all/negotiate")))[0] == 200
        hook.answers.set()
        assert b"200 OK" in await arrives(again.readline())
        await eventually(lambda: started)
        assert (hook.asked, len(started)) == (1, 1)
        other.close()


COOKIE = (b"Cookie", b"a=1")
API_KEY = (b"X-Api-Key", b"1")
PAGE = (b"Origin", b"https://a.example")
FACTS: dict[str, Any] = {
    "remote": "1.2.3.4",
    "host": "h",
    "raw_headers": (COOKIE, API_KEY, PAGE),
    "query_string": "x=1&open=a",
}


def with_headers(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """What is changed in a request that has these headers."""
    return {"raw_headers": headers}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"query_string": "x=1&frame=b", "transport": "sse"}, True),
        ({"query_string": "x=2&open=a"}, False),
        ({"remote": "1.2.3.5"}, False),
        ({"auth": {"token": 1}}, False),
        ({"host": "other"}, False),
        ({"scheme": "https"}, False),
        (with_headers((b"Cookie", b"a=2"), API_KEY, PAGE), False),
        (with_headers(), False),
        (with_headers(COOKIE, (b"X-Api-Key", b"2"), PAGE), False),
        (with_headers(COOKIE, API_KEY, PAGE, (b"X-Tenant", b"2")), False),
        (with_headers(COOKIE, API_KEY, (b"Sec-WebSocket-Protocol", b"token-2"), PAGE), False),
        (with_headers(COOKIE, API_KEY, (b"Origin", b"https://b.example")), False),
        (with_headers(COOKIE, API_KEY), False),
        (with_headers(PAGE, (b"x-api-key", b"1"), COOKIE), True),
        (with_headers(COOKIE, API_KEY, (b"Referer", b"https://a.example/page")), True),
        (
            with_headers(
                *((name, b"2") for name in (b"Accept", b"Content-Length", b"Sec-WebSocket-Key", b"X-Request-Id")),
                *(COOKIE, API_KEY, PAGE, (b"Upgrade", b"websocket"), (b"Sec-Fetch-Mode", b"cors")),
            ),
            True,
        ),
    ],
)
async def test_only_who_shows_the_same_is_not_asked_about(change: dict[str, Any], same: bool) -> None:
    rt = realtime.Server(opens_per_second_per_address=100)
    hook = Hook(rt)
    openings = Openings(rt._service)
    one = asyncio.create_task(openings.identify("/x", "n", SessionRequest(**FACTS), "a"))
    other = asyncio.create_task(openings.identify("/x", "n", SessionRequest(**FACTS | change), "a"))
    await eventually(lambda: hook.asked == (1 if same else 2))
    hook.answers.set()
    assert set(await arrives(asyncio.gather(one, other))) == {"ada"}
    assert hook.asked == (1 if same else 2)
    assert not len(openings)


async def test_who_comes_again_behind_a_withdrawal_gets_no_older_answer() -> None:
    """The question was asked before the identity was withdrawn, whoever gets the answer."""
    async with doors() as (place, started):
        hook = Hook(place.rt)
        peer = HttpPeer(place.http, place.url("/all"))
        peer.transport = "polling"
        first = asyncio.create_task(peer.post("polling", ["o" + json.dumps(peer.open_object())]))
        await eventually(lambda: hook.asked)
        await place.rt.close_identity("ada", reason="out")
        again = asyncio.create_task(peer.post("polling", ["o" + json.dumps(peer.open_object())]))
        await asked(place, 2)
        hook.answers.set()
        answers = await arrives(asyncio.gather(first, again))
        assert [answer.frames for answer in answers] == [["x4401,carrier,,out"]] * 2
        assert (hook.asked, started) == (1, [])


@pytest.mark.parametrize("kind", ["native", "sockjs"])
async def test_an_answer_older_than_a_withdrawal_is_none_to_a_newer_session_either(kind: str) -> None:
    """Who was asked about before the withdrawal does not come in by the nonce (or name) of who was let in behind it."""
    async with doors() as (place, started):
        answers: list[asyncio.Event] = []

        @place.rt.authorize
        async def hook(request: SessionRequest) -> str:
            answers.append(asyncio.Event())
            await answers[-1].wait()
            return "ada"

        nonce = secrets.token_urlsafe(18)

        async def knock(token: str) -> str:
            path = f"v1/polling?token={token}" if kind == "native" else f"0/name/xhr?token={token}"
            body = batch("o" + unquote(opening(nonce))) if kind == "native" else b""
            async with place.http.post(f"{place.url('/all')}/{path}", data=body) as response:
                return await response.text()

        old = asyncio.create_task(knock("old"))
        await eventually(lambda: len(answers) == 1)
        await place.rt.close_identity("ada", reason="out")
        new = asyncio.create_task(knock("new"))
        await eventually(lambda: len(answers) == 2)
        answers[1].set()
        assert (await arrives(new))[:3] == ('["o' if kind == "native" else "o\n")
        answers[0].set()
        assert "4401" in await arrives(old)
        await eventually(lambda: len(started) == 1)
        for session in started:
            session._machine.end(1000, "", place.rt._service.clock.now())


async def test_a_refusal_is_everybodys() -> None:
    rt = realtime.Server()
    hook = Hook(rt)
    hook.refuses = True
    openings = Openings(rt._service)
    tasks = [asyncio.create_task(openings.identify("/x", "n", SessionRequest(**FACTS), "a")) for _ in range(3)]
    await eventually(lambda: hook.asked)
    hook.answers.set()
    results = await arrives(asyncio.gather(*tasks, return_exceptions=True))
    assert [result.code for result in results if isinstance(result, Refusal)] == [4401] * 3
    assert (hook.asked, len(openings)) == (1, 0)


async def test_when_the_first_is_cancelled_the_next_asks() -> None:
    rt = realtime.Server()
    hook = Hook(rt)
    openings = Openings(rt._service)
    tasks = [asyncio.create_task(openings.identify("/x", "n", SessionRequest(**FACTS), "a")) for _ in range(3)]
    await eventually(lambda: hook.asked)
    tasks[0].cancel()
    await eventually(lambda: hook.asked == 2)
    hook.answers.set()
    assert await arrives(asyncio.gather(*tasks[1:])) == ["ada", "ada"]
    assert (tasks[0].cancelled(), hook.asked, len(openings)) == (True, 2, 0)


# -- what is no handshake ----------------------------------------------------------------------------------------------


def changed(**changes: str | None) -> tuple[str, ...]:
    """The headers of a handshake, some of them others or left out."""
    headers: dict[str, str | None] = {name: value for name, _, value in (each.partition(": ") for each in HANDSHAKE)}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return tuple(f"{name}: {value}" for name, value in headers.items() if value is not None)


@pytest.mark.parametrize(
    ("headers", "version", "words"),
    [
        (changed(Sec_WebSocket_Version="12"), "1.1", "Sec-WebSocket-Version '12'"),
        (changed(Sec_WebSocket_Version="14, 13"), "1.1", "Sec-WebSocket-Version '14, 13'"),
        (changed(Sec_WebSocket_Version="é"), "1.1", "Sec-WebSocket-Version"),
        (changed(Sec_WebSocket_Version=None), "1.1", "Sec-WebSocket-Version is missing"),
        (changed(Sec_WebSocket_Key="x"), "1.1", "Sec-WebSocket-Key"),
        (changed(Sec_WebSocket_Key="ü"), "1.1", "Sec-WebSocket-Key"),
        (changed(Sec_WebSocket_Key="dGhlIHNhbXBsZQ=="), "1.1", "Sec-WebSocket-Key"),
        (changed(Upgrade=None), "1.1", "the Upgrade header"),
        (changed(Upgrade="h2c"), "1.1", "the Upgrade header"),
        (changed(Connection="keep-alive"), "1.1", "the Connection header"),
        (HANDSHAKE, "1.0", "HTTP/1.0 has no Upgrade"),
    ],
)
@pytest.mark.parametrize("door", ["native", "raw", "sockjs", "sockjs raw", "engineio"])
async def test_what_is_wrong_with_a_handshake_is_said(
    door: str, headers: tuple[str, ...], version: str, words: str
) -> None:
    async with doors() as (place, started):
        status, answered, body = await ask(place, request_of("GET", WEBSOCKETS[door], headers, version))
        assert status == 400
        assert words in body
        assert (answered.get("Sec-Websocket-Version") == "13") is ("Version" in words)
        assert not started


@pytest.mark.parametrize("path", [WEBSOCKETS["unknown endpoint"], WEBSOCKETS["other version"]])
async def test_an_upgrade_of_http_1_0_is_ignored_where_it_would_be_refused_too(path: str) -> None:
    async with doors() as (place, _):
        status, _, body = await ask(place, request_of("GET", path, HANDSHAKE, "1.0"))
        assert (status, body[:8]) == (404, '["x4406,')


async def test_only_a_missing_upgrade_is_held_against_the_network() -> None:
    async with doors() as (place, _):

        async def verdict() -> str:
            told = json.loads((await ask(place, request_of("GET", "/realtime/all/negotiate")))[2])
            return str({choice["name"]: choice["verdict"] for choice in told["transports"]}["websocket"])

        for door in ("native", "raw"):
            for headers in (changed(Sec_WebSocket_Version="12"), changed(Sec_WebSocket_Key="x")):
                await ask(place, request_of("GET", WEBSOCKETS[door], headers))
        assert await verdict() == "offered"
        await ask(place, request_of("GET", WEBSOCKETS["raw"], changed(Upgrade=None)))
        assert await verdict() == "demoted"


# -- what else HTTP asks of refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_which_methods_there_are_is_told(place: Place, method: str) -> None:
    async with place.http.request(method, place.url("/echo/negotiate")) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert (await answer.json(content_type=None))[0].startswith("x4405,carrier,")


@pytest.mark.parametrize(
    "path",
    [
        "/realtime/all/negotiate",
        "/realtime/all/v1/sse",
        "/realtime/all/v1/websocket",
        "/realtime/nowhere/v1/sse",
        "/realtime/all/info",
        "/realtime/all/000/a/jsonp?c=x",
        "/realtime/all/000/a/websocket",
        "/realtime/all",
        "/engine.io/?EIO=4&transport=polling",
        "/engine.io/?EIO=4&transport=websocket",
    ],
)
async def test_a_forbidden_page_learns_nothing_and_a_cache_why(path: str) -> None:
    async with doors() as (place, _):
        headers = (*HANDSHAKE, "Origin: https://evil.example")
        status, answered, _ = await ask(place, request_of("GET", path, headers))
        assert (status, answered["Vary"]) == (403, "Origin")
        assert not [name for name in answered if name.startswith("Access-Control")]
