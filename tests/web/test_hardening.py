"""What the fuzz run found, one request each: never a 500, no traceback in the log, safe headers on every answer."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import realtime
from realtime.transports import TRANSPORTS

from ..patience import arrives, bounded
from .place import Place, serving
from .proof import attach_frame

pytestmark = pytest.mark.usefixtures("quiet_log")

OPEN = json.dumps({"nonce": "n" * 22, "gen": 1, "window": [16, 65_536]})


async def ask(place: Place, first: str, *headers: str, body: bytes = b"") -> tuple[int, str, bytes]:
    """One request on a connection of its own: the status, the head, and what has come of the body with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    try:
        writer.write("\r\n".join([first, *headers, "", ""]).encode() + body)
        head = await arrives(reader.readuntil(b"\r\n\r\n"))
        size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        rest = await arrives(reader.readexactly(int(size)) if size else reader.read(100_000))
    finally:
        writer.close()
    return int(head.split()[1]), head.decode(), rest


@pytest.mark.parametrize("key", ["ü", "x", "", "dGhlIHNhbXBsZQ=="])
@pytest.mark.parametrize("endpoint", ["echo", "nowhere"])
async def test_a_handshake_with_a_key_that_is_none(place: Place, key: str, endpoint: str) -> None:
    status, _, body = await ask(
        place,
        f"GET /realtime/{endpoint}/v1/websocket HTTP/1.1",
        *("Host: h", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        f"Sec-WebSocket-Key: {key}",
    )
    assert (status, body[:8]) == ((400, b'["x4400,') if endpoint == "echo" else (404, b'["x4406,'))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("address", ["nowhere/v1/send", "echo/v2/send", "echo/v1/sse"])
async def test_a_body_that_cannot_be_decoded_and_that_nobody_reads(place: Place, address: str, encoding: str) -> None:
    status, _, body = await ask(
        place,
        f"POST /realtime/{address} HTTP/1.1",
        *("Host: h", f"Content-Encoding: {encoding}", "Content-Length: 8"),
        body=b"nonsense",
    )
    assert status == 415
    assert body.startswith(b"a request body is taken as it is")


async def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for_at_shutdown() -> None:
    async with serving() as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(b"POST /realtime/nowhere/v1/send HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc")
        assert (await arrives(reader.readline())).split()[1] == b"404"
        async with bounded(5):  # and not native.PATIENCE
            await place.stop()
        writer.close()


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.0", "HTTP/0.9"])
@pytest.mark.parametrize("name", ["sse", "multipart", "htmlfile"])
async def test_a_stream_for_another_version_of_http(place: Place, version: str, name: str) -> None:
    frame = "o" + OPEN.replace(" ", "").replace('"', "%22")
    status, _, body = await ask(
        place, f"GET /realtime/echo/v1/{name}?callback=take&frame={frame} {version}", "Host: h", "Referer: http://h/"
    )
    assert status == 200
    assert body


@pytest.mark.parametrize("header", ["Origin: http://127.0.0.1", "Referer: http://127.0.0.1/"])
async def test_without_a_host_no_origin_is_the_same(place: Place, header: str) -> None:
    body = json.dumps(["o" + OPEN]).encode()
    status, _, answer = await ask(
        place, "POST /realtime/echo/v1/polling HTTP/1.0", header, f"Content-Length: {len(body)}", body=body
    )
    assert status == 403
    assert answer.count(b"127.0.0.1") <= 1  # what the request said, and not where the server is


async def test_answers_without_a_body_are_safe_too(place: Place) -> None:
    await place.polls().open()
    (session,) = place.rt.sessions
    stale, newer = (attach_frame(session, "sse", gen, 0, 0, 1) for gen in (1, 9))
    status, _, _ = await ask(place, f"GET /realtime/echo/v1/sse?frame={newer} HTTP/1.0", "Host: h")
    assert status == 200
    for request in (f"GET /realtime/echo/v1/sse?frame={stale}", "OPTIONS /realtime/echo/v1/send"):
        status, head, body = await ask(place, f"{request} HTTP/1.0", "Host: h")
        assert (status, body) == (204, b"")
        assert "X-Content-Type-Options: nosniff" in head
        assert "Cache-Control: no-store" in head


async def test_the_server_header_can_be_taken_away() -> None:
    async def nameless(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.pop("Server", None)

    rt = realtime.Server()
    app = web.Application()
    app.on_response_prepare.append(nameless)
    realtime.setup(app, rt)
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))
    async with client:
        for name in ("send", "sse", "websocket"):
            response = await client.post(f"/realtime/echo/v1/{name}", data="[]")
            assert response.status in (404, 405)
            assert "Server" not in response.headers


CASES = (
    "/realtime/all",
    "/realtime/all/websocket",
    "/realtime/all/info",
    "/realtime/all/iframe.html",
    "/realtime/all/0/a/websocket",
    "/realtime/all/0/b/eventsource",
    "/realtime/all/0/c/jsonp?c=take",
    "/realtime/all/negotiate",
    *(f"/realtime/all/v1/{name}?callback=take" for name in TRANSPORTS),
    "/realtime/all/v1/send?callback=take",
    "/engine.io/?EIO=4&transport=polling",
    "/engine.io/?EIO=4&transport=websocket",
    "/realtime/nowhere/v1/sse",
)
NO_TEXT = {
    "origin": (b"Host: h", b"Origin: http://\xff\xfe.example"),
    "host": (b"Host: \xff", b"Origin: http://h"),
    "referer": (b"Host: h", b"Referer: http://\xff/"),
    "version": (b"Host: h", b"Origin: http://h", b"Sec-WebSocket-Version: \xff", b"Sec-WebSocket-Key: \xff"),
    "protocol": (b"Host: h", b"Origin: http://evil", b"Sec-WebSocket-Protocol: \xff"),
}


@pytest.mark.parametrize("what", list(NO_TEXT))
async def test_what_is_no_text_in_a_header_is_refused_in_words(what: str) -> None:
    """A refusal may repeat what a header says, which need not be UTF-8."""
    rt = realtime.Server(shutdown_timeout=0.3)

    @rt.endpoint("/all", sockjs=True, engineio="/engine.io")
    async def everything(session: realtime.Session) -> None:
        await session.wait_closed()

    async with serving(rt) as place:
        for path in CASES:
            for name, upgraded in (("once", ()), ("upgraded", (b"Upgrade: websocket", b"Connection: Upgrade"))):
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                # A SockJS session of its own: the second poll of one would be held.
                asked = path.replace("/0/", f"/0/{name}-").encode()
                writer.write(b"\r\n".join((b"GET %b HTTP/1.1" % asked, *NO_TEXT[what], *upgraded, b"", b"")))
                status = int((await arrives(reader.readline())).split()[1])
                writer.close()
                # SockJS greets anybody, and a stream tells its refusal in an answer that says 200.
                assert status in (200, 204, 400, 403, 404, 405), (path, upgraded)
