"""Request bodies on every route: what is compressed is not taken, and of all others no more than is needed."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

import realtime
from realtime.core.config import Config
from realtime.web.bodies import PACKED, Bodies

from ..patience import arrives, eventually, within
from .peer import HttpPeer, batch
from .place import Place, serving
from .route_costs import CODINGS, application, ask, body_of, cases_of

pytestmark = pytest.mark.usefixtures("quiet_log")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# What aiohttp unpacks together with a head, in pieces of 256 KiB, before it stops for whoever should read them.
WITH_THE_HEAD = 1_048_576
CASES = cases_of(application())


@asynccontextmanager
async def running() -> AsyncIterator[tuple[int, list[web.Request]]]:
    """An application with every route: its port, and the requests that came."""
    requests: list[web.Request] = []

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        requests.append(request)
        return await handler(request)

    app = application()
    app.middlewares.append(note)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], requests
    finally:
        await runner.cleanup()


async def is_cut(request: web.Request) -> None:
    await eventually(lambda: request.transport is None)


@pytest.mark.parametrize("coding", [*CODINGS, "unheard-of"])
async def test_no_route_takes_a_compressed_body(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*arguments: object) -> bytes:
        raise AssertionError("a body was read")

    monkeypatch.setattr(Bodies, "whole", never)
    monkeypatch.setattr(Bodies, "read_on", never)
    # Each case is told the first coding, and one of the others: none of them is ever looked into.
    others = [*CODINGS, "unheard-of"][1:]
    cases = CASES[others.index(coding) :: len(others)] if coding in others else CASES
    last = {case.form: case for case in cases}
    packed = {form: body_of(case, coding if coding in CODINGS else "gzip") for form, case in last.items()}
    async with running() as (port, requests):
        for case in cases:
            lines, body = packed[case.form]
            lines = [*lines, f"Content-Encoding: {coding}"] if coding not in CODINGS else lines
            _, status = await ask(port, case, lines, body)
            assert (case, status) == (case, 415)
            request = requests.pop()
            assert request.content.total_bytes <= WITH_THE_HEAD
            await is_cut(request)
        assert not requests


@pytest.mark.parametrize("way", ["plain", "chunked"])
async def test_a_peer_that_is_gone_before_its_body_is_looked_at(way: str) -> None:
    """Cut in the very turn of the loop in which its head has come, so that aiohttp tells nobody who reads the body."""
    done: asyncio.Queue[str] = asyncio.Queue()

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            done.put_nowait(request.path)

    app = application()
    app.middlewares.append(note)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    server = runner.server
    assert server is not None
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        for case in CASES:
            _, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
            await eventually(lambda: server.connections)
            (protocol,) = server.connections
            assert isinstance(protocol.transport, asyncio.Transport)
            lines, body = body_of(case, way)
            head = "\r\n".join([f"{case.method} {case.path} HTTP/1.1", "Host: h", *lines, "", ""]).encode()
            protocol.data_received(head + body[: len(body) // 2])
            protocol.transport.abort()
            assert await arrives(done.get()) == case.path.partition("?")[0]
            writer.close()
            await eventually(lambda: not server.connections)
    finally:
        await runner.cleanup()


async def test_the_sentence_and_what_would_be_taken(place: Place) -> None:
    for coding in ("GZIP", "identity, br", "x-unknown"):
        url = place.url("/echo/v1/send")
        async with place.http.post(url, data=b"", headers={"Content-Encoding": coding}) as answer:
            assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "identity")
            assert await answer.text() == f"{PACKED}\n"
            assert "no-store" in answer.headers["Cache-Control"]
    peer = place.polls(headers={"Content-Encoding": "identity"})
    await peer.open()
    await peer.echo("as it is")


async def test_a_peer_that_goes_on_sending_is_answered_and_cut(place: Place) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(
        b"POST /realtime/echo/v1/send HTTP/1.1\r\nHost: h\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: 100000000\r\n\r\n" + gzip.compress(bytes(1_000_000))
    )
    assert (await arrives(reader.readline())).split()[1] == b"415"
    async with within():
        with pytest.raises(ConnectionError):
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
                await asyncio.sleep(0)
    writer.close()


def open_frame(**members: Any) -> str:
    told = {"nonce": "n" * 22, "gen": 1, "window": [16, 65_536], "transports": []}
    return "o" + json.dumps(told | members)


CONFIG = Config()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_body_is_bounded_more_tightly_until_it_has_named_a_session(place: Place) -> None:
    least, most = CONFIG.max_open_body, CONFIG.max_body
    assert least * 8 < most
    peer = place.polls()
    await peer.open()
    large = "m" + "x" * 1_000_000
    assert len(large) > least
    assert (await peer.post("send", [peer.uplink_frame(), large])).status == 200
    for head in (open_frame(), "usomebody,0,0", "x"):
        assert (await peer.post("polling", [head, large])).refusal == (413, 4413, "carrier")
    for head in ("usomebody,0,0,1", "rsomebody,1,0,0,1"):
        assert (await peer.post("polling", [head, large])).refusal == (404, 4404, "session")
    # Much that says nothing in front of the head does not hide what the body is.
    assert (await peer.post("send", b" " * 5000 + batch(peer.uplink_frame(), large))).refusal[0] == 413


async def test_a_form_is_bounded_likewise(place: Place) -> None:
    headers = FORM | {"Origin": place.base}
    peer = place.polls()
    await peer.open()
    large = quote("m" + " " * 750_000)
    assert len(large) > 3 * CONFIG.max_open_body
    url = place.url("/echo/v1/send")
    for order in ("callback=f&batch={}", "batch={}&callback=f"):
        fields = order.format(quote(json.dumps([peer.uplink_frame()])[:-1] + ',"') + large + quote('"]'))
        async with place.http.post(url, data=io.BytesIO(fields.encode()), headers=headers) as answer:
            assert answer.status == 200, order
        fields = order.format(quote('["usomebody,0,0,1","') + large + quote('"]'))
        async with place.http.post(url, data=io.BytesIO(fields.encode()), headers=headers) as answer:
            assert answer.status == 413, order


async def test_auth_data_are_bounded(place: Place) -> None:
    fits = {"token": "x" * (CONFIG.max_auth_size - len('{"token": ""}'))}
    peer, session = await place.parked("polling", auth=fits)
    assert isinstance(peer, HttpPeer)
    assert session.request.auth == fits
    assert session.request._raw_auth == json.dumps(fits).encode()
    assert (await peer.send("t" + json.dumps("y" * 16_383))).refusal[:2] == (413, 1009)
    other = place.polls()
    assert (await other.refused(open_frame(auth=[{}] * 5000))).refusal == (413, 4413, "carrier")
    ws = place.websocket()
    socket = await ws.connect()
    await socket.send_str(open_frame(auth=[{}] * 5000))
    assert await ws.end() == (4413, "x")


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_headers_that_are_kept_are_bounded(place: Place, transport: str) -> None:
    many = {f"X-{number}": "x" * 5000 for number in range(7)}
    peer = place.peer(transport, headers=many)
    if isinstance(peer, HttpPeer):
        assert (await peer.refused(open_frame())).refusal == (400, 4400, "carrier")
    else:
        socket = await peer.connect()  # type: ignore[attr-defined] # a WebSocket's
        await socket.send_str(open_frame())
        assert await peer.end() == (4400, "x")
    peer = place.peer(transport, headers={f"X-{number}": "x" * 5000 for number in range(5)})
    await peer.open()


async def test_sockjs_bodies_that_wait_for_room_are_bounded_in_sum() -> None:
    settings: dict[str, Any] = {"max_size": 100_000, "max_batch_size": 1000, "max_queue": 16, "close_timeout": 0.05}
    rt = realtime.Server(**settings)
    handed: asyncio.Queue[realtime.Session] = asyncio.Queue()

    @rt.endpoint("/slow", sockjs=True)
    async def slow(session: realtime.Session) -> None:
        handed.put_nowait(session)
        await session.wait_closed()

    config = rt._service.endpoints["/slow"].config
    body = json.dumps(["x" * 1000] * 200).encode()
    assert 3 * len(body) < config.max_body < 4 * len(body)
    async with serving(rt) as place:
        name = place.url("/slow/0/one")
        async with place.http.post(f"{name}/xhr") as answer:
            assert answer.status == 200
        session = await handed.get()

        async def send() -> int:
            async with place.http.post(f"{name}/xhr_send", data=body) as answer:
                return answer.status

        sends = [asyncio.create_task(send()) for _ in range(6)]
        await eventually(lambda: sum(task.done() for task in sends) == 3)
        assert [task.result() for task in sends if task.done()] == [429] * 3
        await session.close()
        for task in sends:
            assert await arrives(task) in (204, 404, 429)


# -- what middlewares have read ----------------------------------------------------------------------------------------


@web.middleware
async def reads(request: web.Request, handler: Handler) -> web.StreamResponse:
    await request.read()
    return await handler(request)


@web.middleware
async def posts(request: web.Request, handler: Handler) -> web.StreamResponse:
    await request.post()
    return await handler(request)


@pytest.mark.parametrize("middleware", [reads, posts])
async def test_a_middleware_may_have_read_the_body(middleware: Any, transport: str) -> None:
    rt = realtime.Server(shutdown_timeout=0.3)

    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    rt.endpoint("/both", sockjs=True, engineio="/engine.io")(echo)
    async with serving(rt, prepare=lambda place: place.app.middlewares.append(middleware)) as place:
        peer = place.peer(transport)
        await peer.open()
        await peer.echo("hello")
        name = place.url("/both/0/one")
        async with place.http.post(f"{name}/xhr") as answer:
            assert await answer.text() == "o\n"
        for path, data in (("xhr_send", b'["a"]'), ("jsonp_send", {"d": '["b"]'})):
            async with place.http.post(f"{name}/{path}", data=data, headers={"Origin": place.base}) as answer:
                assert answer.status in (200, 204)
        async with place.http.get(f"{place.base}/engine.io?EIO=4&transport=polling") as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        at = f"{place.base}/engine.io?EIO=4&transport=polling&sid={sid}"
        async with place.http.post(at, data="4hello") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        fields = {"callback": "f", "batch": json.dumps([open_frame()])}
        url = place.url("/echo/v1/polling")
        async with place.http.post(url, data=fields, headers={"Origin": place.base}) as answer:
            assert '"o{' in (await answer.text()).replace("\\", "")


@pytest.mark.usefixtures("quiet_log")
async def test_a_body_that_a_middleware_has_not_kept_is_refused_in_words() -> None:
    @web.middleware
    async def takes(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.content.read()
        return await handler(request)

    async with serving(prepare=lambda place: place.app.middlewares.append(takes)) as place:
        answer = await place.polls().post("polling", [open_frame()])
        assert answer.refusal == (400, 4400, "carrier")
        assert "have it await request.read()" in answer.frames[0]
        async with place.http.post(place.url("/echo/v1/polling"), data=b"") as empty:
            assert "an empty batch" in await empty.text()
