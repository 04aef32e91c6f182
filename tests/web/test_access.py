"""aiohttp's access log: of the protocol's requests the path, of all others, and for other loggers, all there is."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

import realtime
from realtime.web import sockets

from ..patience import eventually, within

OPEN = {"nonce": "n" * 22, "gen": 1, "transports": ["websocket", "sse"], "window": [256, 4_194_304]}


@asynccontextmanager
async def logged(**how: object) -> AsyncIterator[str]:
    """The address of an application with an endpoint and a page, whose requests are logged."""
    rt = realtime.Server(shutdown_timeout=0.3)

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/raw", raw=True)
    async def raw(session: realtime.Session) -> None:
        await session.close()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=request.query_string)

    app = web.Application()
    realtime.setup(app, rt)
    app.router.add_get("/page", page)
    runner = web.AppRunner(app, access_log=logging.getLogger("access"), shutdown_timeout=0.5, **how)  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is in the access log."""
    return [record.getMessage() for record in caplog.records if record.name == "access"]


@pytest.mark.parametrize("taking_over", [True, False])
async def test_a_websocket_has_a_short_line(
    taking_over: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "access")
    monkeypatch.setattr(sockets, "TAKING_OVER", taking_over)
    async with logged() as base, within():
        async with realtime.connect(f"{base}/realtime/echo", transports=["websocket"]) as session:
            await session.send("hello")
            assert await session.receive() == "hello"
        await eventually(lambda: lines(caplog))
        (line,) = lines(caplog)
        assert line.startswith("127.0.0.1 ")
        assert '"GET /realtime/echo/v1/websocket HTTP/1.1" 101 ' in line


async def test_a_line_has_the_path_of_what_the_protocol_asks(caplog: pytest.LogCaptureFixture) -> None:
    """A stream's query names a session; and a page's query, on the same connection, is its own affair."""
    caplog.set_level(logging.INFO, "access")
    connector = aiohttp.TCPConnector(limit=1)
    async with logged() as base, aiohttp.ClientSession(connector=connector) as http, within():
        frame = quote("o" + json.dumps(OPEN))
        for path in (
            f"/realtime/echo/v1/jsonp?callback=r1&frame={frame}",
            "/page?a=b",
            f"/realtime/echo/v1/sse?frame={quote('rnobody,1,0,0,ticket')}",
            "/page?c=d",
            "/realtime/echo/v1/polling",
        ):
            async with http.get(f"{base}{path}", headers={"User-Agent": "tester"}) as answer:
                await answer.read()
        await eventually(lambda: len(lines(caplog)) == 5)
        asked = [line.split('"')[1] for line in lines(caplog)]
        assert asked == [
            "GET /realtime/echo/v1/jsonp HTTP/1.1",
            "GET /page?a=b HTTP/1.1",
            "GET /realtime/echo/v1/sse HTTP/1.1",
            "GET /page?c=d HTTP/1.1",
            "GET /realtime/echo/v1/polling HTTP/1.1",
        ]
        # All else in the line is as it was.
        assert all(line.startswith("127.0.0.1 [") and line.endswith(' "-" "tester"') for line in lines(caplog))


async def test_a_bare_websockets_query_is_the_applications_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "access")
    async with logged() as base, aiohttp.ClientSession() as http, within():
        async with http.ws_connect(f"{base}/realtime/raw?room=1") as ws:
            await ws.receive()
        await eventually(lambda: lines(caplog))
        assert '"GET /realtime/raw?room=1 HTTP/1.1" 101 ' in lines(caplog)[0]


class Own(AbstractAccessLogger):
    """A logger of an application's own."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        self.logger.info("%s %s", request.path_qs, request.get("seen"))


async def test_a_logger_of_the_applications_own_sees_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "access")
    async with logged(access_log_class=Own) as base, within():
        async with realtime.connect(f"{base}/realtime/echo", transports=["websocket"]):
            pass
        await eventually(lambda: lines(caplog))
        assert lines(caplog)[0].startswith("/realtime/echo/v1/websocket?open=")


class Curious(AbstractAccessLogger):
    """One that looks at all that a response has."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        assert isinstance(response, web.WebSocketResponse)
        assert not hasattr(response, "nothing_of_the_kind")
        kept = response.get("kept"), len(response), len(response.cookies), response.ws_protocol
        said = response.status, response.reason, response.headers["Upgrade"], kept
        self.logger.info("%s", said)


@pytest.mark.parametrize("taking_over", [True, False])
async def test_a_logger_that_looks_at_the_response_to_a_handshake(
    caplog: pytest.LogCaptureFixture, taking_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of it was made."""
    monkeypatch.setattr(sockets, "TAKING_OVER", taking_over)
    caplog.set_level(logging.INFO, "access")
    async with logged(access_log_class=Curious) as base, within():
        async with realtime.connect(f"{base}/realtime/echo", transports=["websocket"]):
            pass
        await eventually(lambda: lines(caplog))
        assert lines(caplog)[0] == str((101, "Switching Protocols", "websocket", (None, 0, 0, None)))


async def test_where_nothing_is_logged_nothing_is_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "access")
    async with logged() as base, within(), realtime.connect(f"{base}/realtime/echo") as session:
        await session.send("hello")
        assert await session.receive() == "hello"
    assert lines(caplog) == []
