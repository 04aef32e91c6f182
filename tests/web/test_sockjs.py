"""SockJS over real sockets: its URLs, headers, statuses and frames, written from its document (0.3.3)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

import realtime
from realtime.sessions import Sessions
from realtime.testing import VirtualClock

from .place import Place, eventually, serving

PATIENCE = 30
NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
# What script tags, frames and forms ask for.
TAG = re.compile(r"/(?:jsonp|jsonp_send|htmlfile|iframe[^/]*)(?:\?|$)")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@asynccontextmanager
async def place_with(options: realtime.SockJS | bool = True, **settings: Any) -> AsyncIterator[Place]:
    """A place with /sock, which hands its sessions to the test, /said, which answers, and /bye, which closes."""

    def prepare(place: Place) -> None:
        @place.rt.endpoint("/sock", sockjs=options)
        async def sock(session: realtime.Session) -> None:
            place.sessions.put_nowait(session)
            await session.wait_closed()

        @place.rt.endpoint("/said", sockjs=options)
        async def said(session: realtime.Session) -> None:
            async for message in session:
                await session.send(message)

        @place.rt.endpoint("/bye", sockjs=options)
        async def bye(session: realtime.Session) -> None:
            await session.close(3000, "Go away!")

    async with serving(prepare=prepare, **settings) as place:
        yield place


async def ask(place: Place, method: str, path: str, body: str | bytes = b"", **headers: str) -> tuple[int, str, Any]:
    """Status, body and headers of an answer. `x_y="…"` is a header X-Y."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if TAG.search(path) and not {"Origin", "Referer"} & named.keys():
        named["Referer"] = f"{place.base}/page"  # as of a page of the server's own
    url = aiohttp.client.URL(place.url(path), encoded=True)  # type: ignore[attr-defined]
    async with asyncio.timeout(PATIENCE), place.http.request(method, url, data=body, headers=named) as answer:
        return answer.status, await answer.text(), answer.headers


def assert_safe(headers: Any) -> None:
    """No cache keeps this answer, and no browser takes it for something else."""
    assert "no-store" in headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff"


async def xhr(place: Place, path: str = "/said/000/a", **headers: str) -> str:
    """What a poll is answered."""
    status, body, _ = await ask(place, "POST", path + "/xhr", **headers)
    assert status == 200
    return body


async def send(place: Place, body: str, path: str = "/said/000/a") -> int:
    """The status of a send."""
    return (await ask(place, "POST", path + "/xhr_send", body))[0]


async def handed(place: Place) -> realtime.Session:
    """The next session at /sock."""
    async with asyncio.timeout(PATIENCE):
        return await place.sessions.get()


# -- what is no session ----------------------------------------------------------------------------------------------


async def test_greeting() -> None:
    async with place_with() as place:
        for path in ("/said", "/said/"):
            status, body, headers = await ask(place, "GET", path)
            assert (status, body) == (200, "Welcome to SockJS!\n")
            assert headers["Content-Type"] == "text/plain; charset=UTF-8"
            assert_safe(headers)


@pytest.mark.parametrize(
    "path",
    ["/a", "//", "/a/a", "/a/a/", "/iframe.htm", "/IFRAME.html", "/iframe-/.html", "///xhr", "/a./a/xhr", "/a/a./xhr"],
)
async def test_there_is_nothing_else(path: str) -> None:
    async with place_with() as place:
        for method in ("GET", "POST"):
            assert (await ask(place, method, "/said" + path))[0] == 404  # the application's: none of ours is there


async def test_without_sockjs_there_is_none() -> None:
    async with serving() as place:
        assert (await ask(place, "GET", "/echo"))[0] == 426  # an endpoint, as for any browser
        assert (await ask(place, "POST", "/echo/000/a/xhr"))[0] == 404


async def test_info() -> None:
    async with place_with() as place:
        seen = set()
        for _ in range(3):
            status, body, headers = await ask(place, "GET", "/said/info")
            assert status == 200
            told = json.loads(body)
            seen.add(told.pop("entropy"))
            assert told == {"websocket": True, "cookie_needed": False, "origins": ["*:*"]}
            assert headers["Cache-Control"] == NOT_CACHED
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in headers
        assert len(seen) == 3


async def test_iframe_page() -> None:
    async with place_with(realtime.SockJS(client_url="/sockjs.js"), allowed_origins="https://a.example") as place:
        for name in ("iframe.html", "iframe-1.6.1.html", "iframe-.html?t=1"):
            status, body, headers = await ask(place, "GET", f"/said/{name}")
            assert status == 200
            assert '<script src="/sockjs.js"></script>' in body
            # Kept, as the document wants, and asked about each time.
            assert headers["Cache-Control"] == "public, max-age=31536000, no-cache"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Security-Policy"] == "frame-ancestors 'self' https://a.example"
            assert headers["Referrer-Policy"] == "same-origin"
            assert "Expires" in headers
        status, body, headers = await ask(place, "GET", "/said/iframe.html", If_None_Match=headers["ETag"])
        assert (status, body) == (304, "")
        assert "Content-Type" not in headers


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "", "GET"),
        ("POST", "/info", "OPTIONS, GET"),
        ("POST", "/iframe.html", "GET"),
        ("GET", "/0/a/xhr", "OPTIONS, POST"),
        ("GET", "/0/a/xhr_send", "OPTIONS, POST"),
        ("PUT", "/0/a/xhr_streaming", "OPTIONS, POST"),
        ("POST", "/0/a/eventsource", "GET"),
        ("HEAD", "/0/a/htmlfile?c=x", "GET"),
        ("POST", "/0/a/jsonp", "GET"),
        ("GET", "/0/a/jsonp_send", "POST"),
        ("POST", "/0/a/websocket", "GET"),
        ("POST", "/websocket", "GET"),
    ],
)
async def test_methods(method: str, path: str, allow: str) -> None:
    async with place_with() as place:
        status, body, headers = await ask(place, method, "/said" + path)
        assert (status, body, headers["Allow"]) == (405, "", allow)
        assert "Content-Type" not in headers
        assert_safe(headers)


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/info", "OPTIONS, GET"), *((f"/0/a/xhr{rest}", "OPTIONS, POST") for rest in ("", "_send", "_streaming"))],
)
async def test_preflights(path: str, methods: str) -> None:
    async with place_with(allowed_origins=("https://a.example", "null")) as place:
        for origin in ("https://a.example", "null"):
            status, body, headers = await ask(
                place, "OPTIONS", "/said" + path, Origin=origin, Access_Control_Request_Headers="a, b, c"
            )
            assert (status, body) == (204, "")
            assert headers["Access-Control-Allow-Origin"] == origin
            assert headers["Access-Control-Allow-Credentials"] == "true"
            assert headers["Access-Control-Allow-Methods"] == methods
            assert headers["Access-Control-Allow-Headers"] == "a, b, c"
            assert headers["Access-Control-Max-Age"] == "31536000"
            assert "public" in headers["Cache-Control"]  # the document wants it kept; nothing of a session is in it
            assert headers["X-Content-Type-Options"] == "nosniff"
        status, _, headers = await ask(place, "OPTIONS", "/said" + path, Origin="https://evil.example")
        assert status == 403
        assert_safe(headers)


# -- polling ---------------------------------------------------------------------------------------------------------


async def test_a_session() -> None:
    async with place_with() as place:
        assert await xhr(place) == "o\n"
        assert await send(place, '["x","y"]') == 204
        assert await xhr(place, "/said/999/a") in ('a["x","y"]\n', 'a["x"]\n')  # the server's name means nothing
        assert await send(place, "[]") == 204


async def test_the_answer_to_a_send() -> None:
    async with place_with() as place:
        await xhr(place)
        status, body, headers = await ask(place, "POST", "/said/0/a/xhr_send", '["x"]')
        assert (status, body) == (204, "")
        assert headers["Content-Type"] == "text/plain; charset=UTF-8"
        assert headers["Cache-Control"] == NOT_CACHED


async def test_bad_sends() -> None:
    async with place_with(max_size=65_536, max_batch_size=65_536) as place:
        assert await send(place, '["x"]') == 404
        await xhr(place)
        for body, text in (
            ("", "Payload expected."),
            ('["x', "Broken JSON encoding."),
            ("[1]", "Broken JSON encoding."),
        ):
            status, answer, _ = await ask(place, "POST", "/said/0/a/xhr_send", body)
            assert (status, answer) == (500, text + "\n")
        assert await send(place, '["still here"]') == 204
        assert await xhr(place) == 'a["still here"]\n'
        assert await send(place, "x" * 600_000) == 413


async def test_a_second_receiver_is_refused_and_an_aborted_one_ends_the_session() -> None:
    async with place_with() as place:
        assert await xhr(place, "/sock/0/a") == "o\n"
        session = await handed(place)
        held = asyncio.create_task(xhr(place, "/sock/0/a"))
        await eventually(lambda: session._machine.carrier is not None)
        assert await xhr(place, "/sock/0/a") == 'c[2010,"Another connection still open"]\n'
        held.cancel()
        await asyncio.wait([held])
        assert await xhr(place, "/sock/0/a") == 'c[1002,"Connection interrupted"]\n'
        assert session.close_code == 1006
        assert await send(place, '["x"]', "/sock/0/a") == 404


async def test_a_close_is_told_to_whoever_asks_until_it_is_forgotten() -> None:
    async with place_with(clock=VirtualClock()) as place:
        assert await xhr(place, "/bye/0/a") == "o\n"
        for _ in range(3):
            assert await xhr(place, "/bye/0/a") == 'c[3000,"Go away!"]\n'
        assert await send(place, '["across the close"]', "/bye/0/a") == 204
        place.tick(6)
        assert await xhr(place, "/bye/0/a") == "o\n"
        assert await xhr(place, "/bye/0/a") == 'c[3000,"Go away!"]\n'


async def test_a_session_that_is_closed_while_a_poll_is_held() -> None:
    async with place_with() as place:
        await xhr(place, "/sock/0/a")
        session = await handed(place)
        held = asyncio.create_task(xhr(place, "/sock/0/a"))
        await eventually(lambda: session._machine.carrier is not None)
        await session.close(3001, 'a "reason"')
        assert await held == 'c[3001,"a \\"reason\\""]\n'


async def test_heartbeats_and_disconnect_delay() -> None:
    clock = VirtualClock()
    async with place_with(realtime.SockJS(heartbeat_delay=25, disconnect_delay=5), clock=clock) as place:
        await xhr(place, "/sock/0/a")
        session = await handed(place)
        held = asyncio.create_task(xhr(place, "/sock/0/a"))
        await eventually(lambda: session._machine.carrier is not None)
        place.tick(26)
        assert await held == "h\n"
        assert not session.closed
        place.tick(6)
        await session.wait_closed()
        assert session.close_code == 4410
        assert await send(place, '["x"]', "/sock/0/a") == 404
        assert await xhr(place, "/sock/0/a") == "o\n"  # a new one
        assert await handed(place) is not session


async def test_one_name_opens_one_session_however_many_ask_at_once() -> None:
    async with place_with() as place:
        gate = asyncio.Event()
        asked = 0

        @place.rt.authorize
        async def somebody(request: realtime.SessionRequest) -> str | None:
            nonlocal asked
            asked += 1
            await gate.wait()
            return "somebody"

        polls = [asyncio.create_task(xhr(place, "/sock/0/a")) for _ in range(5)]
        await eventually(lambda: asked == 5)
        gate.set()
        await handed(place)
        await eventually(lambda: sum(poll.done() for poll in polls) >= 4)
        answers = sorted(poll.result() for poll in polls if poll.done())
        assert answers.count("o\n") == 1
        assert len(place.rt) == 1
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)


async def test_of_two_identities_that_find_a_name_free_at_once_one_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = asyncio.Event()
    asking = 0
    claim = Sessions.claim

    async def slow(sessions: Sessions, nonce: str, binding: object) -> realtime.Session | None:
        nonlocal asking
        found = await claim(sessions, nonce, binding)
        asking += 1
        await told.wait()
        return found

    monkeypatch.setattr(Sessions, "claim", slow)
    async with place_with() as place:

        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str | None:
            return request.headers["X-Name"]

        names = ("ada", "eve")
        asks = [asyncio.create_task(ask(place, "POST", "/sock/000/a/xhr", X_Name=name)) for name in names]
        await eventually(lambda: asking == 2)
        told.set()
        answers = {name: (await each)[:2] for name, each in zip(names, asks, strict=True)}
        (session,) = place.rt.sessions
        assert answers.pop(str(session.identity)) == (200, "o\n")
        assert list(answers.values()) == [(200, 'c[4403,"the session belongs to another identity"]\n')]


async def test_a_burst_waits_for_room() -> None:
    async with place_with(max_queue=16) as place:
        assert await xhr(place, "/said/0/b") == "o\n"
        burst = [str(number) for number in range(1000)]
        sending = asyncio.create_task(send(place, json.dumps(burst), "/said/0/b"))
        got: list[str] = []
        while len(got) < 1000:
            frame = await xhr(place, "/said/0/b")
            assert frame[0] == "a"
            got += json.loads(frame[1:])
        assert got == burst
        assert await sending == 204


# -- streams ---------------------------------------------------------------------------------------------------------


class Stream:
    """A stream by a bare socket: every chunk as it came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = ""

    @classmethod
    async def open(cls, place: Place, target: str, method: str = "POST", version: str = "1.1") -> Stream:
        """Asks, and reads the head."""
        stream = cls(*await asyncio.open_connection("127.0.0.1", place.port))
        target = place.prefix + target
        stream.writer.write(f"{method} {target} HTTP/{version}\r\nHost: 127.0.0.1:{place.port}\r\n".encode())
        stream.writer.write(f"Referer: {place.base}/page\r\n".encode())
        stream.writer.write(b"Content-Length: 0\r\n\r\n" if method == "POST" else b"\r\n")
        async with asyncio.timeout(PATIENCE):
            stream.head = (await stream.reader.readuntil(b"\r\n\r\n")).decode()
        return stream

    async def chunk(self) -> str:
        """The next chunk."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:size].decode()


STREAMS = [
    ("POST", "/xhr_streaming", "h" * 2048 + "\n", "{}\n"),
    ("GET", "/eventsource", "\r\n", "data: {}\r\n\r\n"),
    ("GET", "/htmlfile?c=cb", None, "<script>\np({});\n</script>\r\n"),
]


@pytest.mark.parametrize(("method", "path", "prelude", "form"), STREAMS)
async def test_each_frame_is_a_chunk(method: str, path: str, prelude: str | None, form: str) -> None:
    def laid(frame: str) -> str:
        return form.format(json.dumps(frame) if "script" in form else frame)

    async with place_with(realtime.SockJS(response_limit=4096)) as place:
        stream = await Stream.open(place, "/sock/0/s" + path, method)
        assert f"Cache-Control: {NOT_CACHED}" in stream.head
        begun = await stream.chunk()
        if prelude is None:
            assert len(begun) > 1024
            assert "var c = parent.cb;" in begun
        else:
            assert begun == prelude
        assert await stream.chunk() == laid("o")
        session = await handed(place)
        await session.send("x")
        assert await stream.chunk() == laid('a["x"]')
        await session.send("y" * 4096)
        assert await stream.chunk() == laid('a["' + "y" * 4096 + '"]')
        assert await stream.chunk() == ""  # recycled
        again = await Stream.open(place, "/sock/0/s" + path, method)
        await again.chunk()
        other = await Stream.open(place, "/sock/0/s" + path, method)
        await other.chunk()
        assert await other.chunk() == laid('c[2010,"Another connection still open"]')
        assert await other.chunk() == ""
        await session.close(3000, "bye")
        assert await again.chunk() == laid('c[3000,"bye"]')
        assert await again.chunk() == ""
        for one in (stream, again, other):
            one.writer.close()


async def test_http_1_0_has_no_chunks() -> None:
    async with place_with() as place:
        stream = await Stream.open(place, "/bye/0/s/xhr_streaming", version="1.0")
        assert "chunked" not in stream.head
        assert "Content-Length" not in stream.head
        async with asyncio.timeout(PATIENCE):
            body = await stream.reader.read()
        assert body == b"h" * 2048 + b'\no\nc[3000,"Go away!"]\n'
        stream.writer.close()


async def test_an_aborted_stream_is_free_at_once() -> None:
    async with place_with() as place:
        stream = await Stream.open(place, "/sock/0/s/xhr_streaming")
        assert [await stream.chunk(), await stream.chunk()][1] == "o\n"
        stream.writer.transport.abort()
        again = await Stream.open(place, "/sock/0/s/xhr_streaming")
        assert [await again.chunk(), await again.chunk()][1] == 'c[1002,"Connection interrupted"]\n'
        again.writer.close()


# -- scripts ---------------------------------------------------------------------------------------------------------


async def test_jsonp() -> None:
    async with place_with() as place:
        status, body, headers = await ask(place, "GET", "/said/0/j/jsonp?c=%63b")
        assert (status, body) == (200, '/**/cb("o");\r\n')
        assert headers["Content-Type"] == "application/javascript; charset=UTF-8"
        for form, sent in ((FORM, "d=%5B%22x%22%5D"), ({"Content-Type": "text/plain"}, '["%78"]')):
            status, body, headers = await ask(place, "POST", "/said/0/j/jsonp_send", sent, **form)
            assert (status, body, headers["Content-Type"]) == (200, "ok", "text/plain; charset=UTF-8")
            status, body, _ = await ask(place, "GET", "/said/0/j/jsonp?callback=cb")
            assert body == '/**/cb("a[\\"%s\\"]");\r\n' % ("x" if form is FORM else "%78")
        for sent in ("", "d=", "p=p"):
            status, body, _ = await ask(place, "POST", "/said/0/j/jsonp_send", sent, **FORM)
            assert (status, body) == (500, "Payload expected.\n")
        many = "&".join(f"a{number}=" for number in range(100))
        assert (await ask(place, "POST", "/said/0/j/jsonp_send", many, **FORM))[0] == 500


@pytest.mark.parametrize("path", ["jsonp", "htmlfile"])
async def test_callbacks(path: str) -> None:
    async with place_with() as place:
        status, body, _ = await ask(place, "GET", f"/said/0/a/{path}")
        assert (status, body) == (500, '"callback" parameter required\n')
        for name in ("%20", "*", "abc(", "abc%28", "%3Cscript%3E", "x" * 33):
            status, body, _ = await ask(place, "GET", f"/said/0/a/{path}?c={name}")
            assert (status, body) == (500, 'invalid "callback" parameter\n')
        assert len(place.rt) == 0


async def test_text_cannot_run_as_code() -> None:
    nasty = "\"'\\</script><script>alert(1)//<!--\u2028\u2029&"
    async with place_with() as place:
        await ask(place, "GET", "/sock/0/j/jsonp?c=x")
        session = await handed(place)
        await session.send(nasty)
        _, body, _ = await ask(place, "GET", "/sock/0/j/jsonp?c=x")
        found = re.fullmatch(r"/\*\*/x\((.*)\);\r\n", body)
        assert found is not None
        assert found[1].isascii()
        assert "<" not in found[1]
        assert json.loads(json.loads(found[1])[1:]) == [nasty]


# -- WebSocket -------------------------------------------------------------------------------------------------------


async def websocket(place: Place, path: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
    """A SockJS WebSocket."""
    ws: aiohttp.ClientWebSocketResponse = await place.http.ws_connect(place.url(path), **options)
    return ws


async def test_websocket() -> None:
    async with place_with() as place:
        ws = await websocket(place, "/said/0/w/websocket")
        twin = await websocket(place, "/said/0/w/websocket")  # a session of its own
        for one in (ws, twin):
            assert await one.receive_str(timeout=PATIENCE) == "o"
            for sent in ("", "[]", '["a"]', '"b"'):
                await one.send_str(sent)
            got: list[str] = []
            while len(got) < 2:
                got += json.loads((await one.receive_str(timeout=PATIENCE))[1:])
            assert got == ["a", "b"]
            await one.close()


@pytest.mark.parametrize("broken", ['["a', "7", "[1]", "{}"])
async def test_broken_frames_end_a_websocket(broken: str) -> None:
    async with place_with() as place:
        ws = await websocket(place, "/sock/0/w/websocket")
        await ws.receive_str(timeout=PATIENCE)
        session = await handed(place)
        await ws.send_str(broken)
        assert (await ws.receive(timeout=PATIENCE)).type is WSMsgType.CLOSE
        await session.wait_closed()
        assert session.close_code == 1002


async def test_a_close_over_websocket() -> None:
    async with place_with() as place:
        ws = await websocket(place, "/bye/0/w/websocket")
        assert [await ws.receive_str(timeout=PATIENCE) for _ in range(2)] == ["o", 'c[3000,"Go away!"]']
        message = await ws.receive(timeout=PATIENCE)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 3000)


async def test_a_heartbeat_over_websocket_and_its_silence() -> None:
    async with place_with(clock=VirtualClock(), ping_timeout=10) as place:
        ws = await websocket(place, "/sock/0/w/websocket", autoping=False)
        await ws.receive_str(timeout=PATIENCE)
        session = await handed(place)
        place.tick(26)
        assert await ws.receive_str(timeout=PATIENCE) == "h"
        assert (await ws.receive(timeout=PATIENCE)).type is WSMsgType.PING
        place.tick(15)
        await session.wait_closed()
        assert session.close_code == 1006
        await ws.close()


async def test_no_websockets() -> None:
    async with place_with(realtime.SockJS(websocket=False)) as place:
        assert json.loads((await ask(place, "GET", "/said/info"))[1])["websocket"] is False
        for path in ("/said/0/w/websocket", "/said/websocket"):
            assert (await ask(place, "GET", path))[0] == 404


async def test_what_is_no_handshake() -> None:
    async with place_with() as place:
        for path in ("/said/0/w/websocket", "/said/websocket"):
            status, body, _ = await ask(place, "GET", path)
            assert (status, body) == (
                400,
                "Not a valid websocket request: the Upgrade header is missing or wrong\n",
            )


async def test_bare_websockets_below_and_at_the_endpoint() -> None:
    async with place_with() as place:
        for path in ("/said/websocket", "/said"):
            ws = await websocket(place, path)
            await ws.send_str("as it is")
            assert await ws.receive_str(timeout=PATIENCE) == "as it is"
            await ws.close()


# -- text only -------------------------------------------------------------------------------------------------------


async def test_bytes_are_refused_and_skipped_in_rooms() -> None:
    async with place_with() as place:
        await xhr(place, "/sock/0/a")
        session = await handed(place)
        await session.join("lobby")
        for sending in (session.send, session.send_nowait):
            with pytest.raises(realtime.LocalProtocolError, match="SockJS carries text only"):
                result = sending(b"bytes")
                if result is not None:
                    await result
        await place.rt.room("lobby").send(b"bytes")
        await place.rt.room("lobby").send("text")
        assert await xhr(place, "/sock/0/a") == 'a["text"]\n'
        assert session._machine.outbox.dropped == 1


# -- admission -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/info", "/0/a/xhr_streaming", "/0/a/xhr", "/0/a/xhr_send", "/0/a/jsonp?c=x"])
async def test_a_page_of_another_origin(path: str) -> None:
    async with place_with() as place:
        method = "GET" if "info" in path or "jsonp" in path else "POST"
        status, body, headers = await ask(place, method, "/said" + path, '["x"]', Origin="https://evil.example")
        assert status == 403
        assert "allowed_origins" in body
        assert "Access-Control-Allow-Origin" not in headers
        assert_safe(headers)
        assert len(place.rt) == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/0/w/websocket", "", 400),
        ("POST", "/0/none/xhr_send", '["x"]', 404),
        ("POST", "/0/a/xhr_send", "", 500),
        ("POST", "/0/a/xhr_send", "[" * 5000, 500),
        ("POST", "/0/a/xhr_send", "x" * 600_000, 413),
        ("GET", "/0/a/jsonp?c=*", "", 500),
        ("POST", "/0/a/xhr_send", '["x"]', 204),
    ],
)
async def test_answers_that_are_no_frames_are_safe_too(method: str, path: str, body: str, status: int) -> None:
    async with place_with(max_size=65_536, max_batch_size=65_536) as place:
        await xhr(place, "/said/0/a")
        answered, _, headers = await ask(place, method, "/said" + path, body)
        assert answered == status
        assert_safe(headers)


async def test_an_allowed_page() -> None:
    async with place_with(allowed_origins="https://a.example") as place:
        status, body, headers = await ask(place, "POST", "/said/0/a/xhr", Origin="https://a.example")
        assert (status, body) == (200, "o\n")
        assert headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert headers["Access-Control-Allow-Credentials"] == "true"


async def test_cookies_of_requests_through_the_iframe_page_are_hidden_where_any_page_may_frame_it() -> None:
    for allowed, cookies in (("*", {}), ("https://a.example", {"user": "ada"})):
        async with place_with(allowed_origins=allowed) as place:
            referer = place.url("/sock/iframe-1.6.1.html")
            login = {"Cookie": "user=ada", "Authorization": "Basic YTpi", "Referer": referer, "Origin": place.base}
            await xhr(place, "/sock/0/a", **login)
            request = (await handed(place)).request
            assert request.cookies == cookies
            assert ("Authorization" in request.headers) is (allowed != "*")


async def test_who_may_frame_the_iframe_page() -> None:
    """It speaks in our origin for whoever frames it: browsers see to that by its policy, and old ones show the page."""
    async with place_with(allowed_origins="https://a.example") as place:
        for shown, status in (
            ({"Referer": "https://a.example/page"}, 200),
            ({"Referer": f"{place.base}/page"}, 200),
            ({"Referer": "https://a.example/page", "Sec_Fetch_Site": "cross-site"}, 200),
            ({"Referer": "https://evil.example/page"}, 403),
            ({"Sec_Fetch_Site": "cross-site", "Referer": "https://evil.example/"}, 403),
        ):
            answered, body, headers = await ask(place, "GET", "/said/iframe.html", **shown)
            assert answered == status
            if status == 403:
                assert "<script" not in body
                assert_safe(headers)


async def test_a_change_of_the_iframe_pages_script_reaches_who_has_the_page() -> None:
    tags: list[str] = []
    for url in ("/one.js", "/two.js"):
        async with place_with(realtime.SockJS(client_url=url)) as place:
            kept = {"If_None_Match": tags[0]} if tags else {}
            status, body, headers = await ask(place, "GET", "/said/iframe.html", **kept)
            assert status == 200
            assert f'src="{url}"' in body
            assert "no-cache" in headers["Cache-Control"]  # so that it is asked
            tags.append(headers["ETag"])
    assert tags[0] != tags[1]


async def test_who_may_come_in_is_asked_for_every_request() -> None:
    async with place_with(authorize_ttl=0) as place:

        @place.rt.authorize
        async def by_cookie(request: realtime.SessionRequest) -> str | None:
            if "user" not in request.cookies:
                raise realtime.Unauthorized("log in first")
            return request.cookies["user"]

        page = {"Origin": place.base}
        assert await xhr(place, **page) == 'c[4401,"log in first"]\n'
        assert await xhr(place, Cookie="user=ada", **page) == "o\n"
        assert (await xhr(place, Cookie="user=eve", **page)).startswith("c[4403,")
        status, _, _ = await ask(place, "POST", "/said/0/a/xhr_send", '["x"]', Cookie="user=eve", **page)
        assert status == 403
        ws = await websocket(place, "/said/0/w/websocket", headers=page)
        assert await ws.receive_str(timeout=PATIENCE) == 'c[4401,"log in first"]'
        assert (await ws.receive(timeout=PATIENCE)).data == 4401


async def test_limits() -> None:
    async with place_with(max_sessions=1) as place:
        assert await xhr(place, "/said/0/a") == "o\n"
        assert (await xhr(place, "/said/0/b")).startswith("c[4429,")


@pytest.mark.parametrize(
    ("came", "gone"), [("", "dummy"), ("JSESSIONID=abc", "abc"), ('JSESSIONID="a b"', "dummy"), ("other=1", "dummy")]
)
async def test_jsessionid(came: str, gone: str) -> None:
    async with place_with(realtime.SockJS(cookie_needed=True)) as place:
        headers = {"Cookie": came} if came else {}
        for method, path in (("POST", "xhr"), ("GET", "jsonp?c=x")):
            _, _, answered = await ask(place, method, f"/said/0/{path[0]}/{path}", **headers)
            assert answered["Set-Cookie"] == f"JSESSIONID={gone}; path=/"
        _, body, answered = await ask(place, "GET", "/said/info")
        assert json.loads(body)["cookie_needed"] is True
        assert "Set-Cookie" not in answered


async def test_over_tls_pages_of_other_sites_get_the_cookie_back() -> None:
    async with place_with(realtime.SockJS(cookie_needed=True), trusted_proxies="127.0.0.1") as place:
        _, _, headers = await ask(place, "POST", "/said/0/a/xhr", X_Forwarded_Proto="https")
        assert headers["Set-Cookie"] == "JSESSIONID=dummy; path=/; Secure; SameSite=None"


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_draining() -> None:
    async with place_with() as place:
        await xhr(place)
        held = asyncio.create_task(xhr(place))
        (session,) = place.rt.sessions
        await eventually(lambda: session._machine.carrier is not None)
        await place.rt.drain(timeout=PATIENCE)
        assert await held == 'c[1012,"the server restarts"]\n'
        assert (await xhr(place, "/said/0/new")).startswith("c[4503,")


async def test_rubbish_is_never_a_500_but_for_the_documents() -> None:
    async with place_with() as place:
        await xhr(place)
        for path in ("/said/0/a/xhr_send", "/said/0/a/jsonp_send", "/said/0/a/xhr", "/said/%ff/%00/xhr"):
            for body in (b"\xff\xfe", b"[" * 5000, b'["\\ud800"]', b"d=%ff", b"\0"):
                for kind in ("text/plain", FORM["Content-Type"], "x", "application/json; charset=rubbish"):
                    status, answer, _ = await ask(place, "POST", path, body, Content_Type=kind)
                    assert status in (200, 204, 404) or answer.strip() in ("Payload expected.", "Broken JSON encoding.")
                    if path.endswith("xhr"):
                        break
                if path.endswith("xhr"):
                    break
        assert not place.loop_errors
