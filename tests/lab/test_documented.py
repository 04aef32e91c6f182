"""What docs/deployment.md promises of its configurations, beside that everything gets through (test_diagnosis)."""

from __future__ import annotations

import io
import re
from pathlib import Path

import aiohttp
import pytest

import realtime
from realtime.core.config import Config
from realtime.testing import serve

from ..patience import arrives
from .boxes import BOXES as CONFIGURATIONS
from .boxes import Box, standing

BOXES = ["nginx as documented", "haproxy as documented", "caddy as documented"]
# Longer than any pause that a server with default settings makes.
PINGS = (Config().ping_interval or 0.0) + (Config().ping_timeout or 0.0)


@pytest.mark.parametrize("name", BOXES)
async def test_what_the_server_is_told_of_the_client(name: str, tmp_path: Path) -> None:
    """The host with its port, by which origins are compared, and who asked how."""
    told: list[realtime.SessionRequest] = []
    rt = realtime.Server()

    @rt.endpoint("/watch")
    async def watch(session: realtime.Session) -> None:
        told.append(session.request)

    async with serve(rt) as server:
        assert server.port is not None
        async with standing(name, server.port, tmp_path) as url:
            for transport in ("websocket", "xhr_streaming", "long_polling"):
                origin = {"Origin": url}
                async with realtime.connect(f"{url}/realtime/watch", transports=[transport], headers=origin):
                    pass
    assert len(told) == 3
    for request in told:
        assert request.headers["Host"] == url.removeprefix("http://")
        assert request.headers["X-Forwarded-For"] == "127.0.0.1"
        assert request.headers["X-Forwarded-Proto"] == "http"


@pytest.mark.parametrize("name", BOXES)
async def test_no_client_says_which_host_is_ours(name: str, tmp_path: Path) -> None:
    """Its own X-Forwarded-Host and Forwarded do not get through, where the proxy is believed."""
    told: list[realtime.SessionRequest] = []
    rt = realtime.Server(trusted_proxies="127.0.0.1")

    @rt.endpoint("/watch")
    async def watch(session: realtime.Session) -> None:
        told.append(session.request)

    written = {"X-Forwarded-Host": "evil.example", "Forwarded": "for=6.6.6.6;host=evil.example;proto=https"}
    async with serve(rt) as server:
        assert server.port is not None
        async with standing(name, server.port, tmp_path) as url, aiohttp.ClientSession() as http:
            asked = f"{url}/realtime/watch/v1/polling"
            async with http.post(asked, data="[]", headers=written | {"Origin": "http://evil.example"}) as no:
                assert no.status == 403
            headers = written | {"Origin": url}
            async with realtime.connect(f"{url}/realtime/watch", transports=["polling"], headers=headers):
                pass
    (request,) = told
    assert (request.host, request.scheme, request.remote) == (url.removeprefix("http://"), "http", "127.0.0.1")


@pytest.mark.parametrize("name", BOXES)
async def test_the_largest_message_fits(name: str, tmp_path: Path) -> None:
    """A message of max_size, each character escaped to six."""
    rt = realtime.Server()

    @rt.endpoint("/size")
    async def size(session: realtime.Session) -> None:
        async for message in session:
            await session.send(f"{len(message)}")

    async with serve(rt) as server:
        assert server.port is not None
        async with standing(name, server.port, tmp_path) as url:
            for transport in ("websocket", "sse", "polling"):
                async with realtime.connect(f"{url}/realtime/size", transports=[transport]) as session:
                    await session.send("\0" * Config().max_size)
                    assert await session.receive() == str(Config().max_size)
            too_large = io.BytesIO(b"x" * (Config().max_body + 1))
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{url}/realtime/size/v1/send", data=too_large) as no,
            ):
                assert no.status == 413
                assert "4413" in await no.text(), "the server itself should say it"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nginx as documented", ["proxy_read_timeout", "proxy_send_timeout"]),
        ("haproxy as documented", ["timeout client", "timeout server", "timeout tunnel"]),
    ],
)
def test_time_outs_outlast_the_pings(name: str, settings: list[str]) -> None:
    config = CONFIGURATIONS[name].config()
    for setting in settings:
        (seconds,) = re.findall(rf"{setting} (\d+)s", config)
        assert int(seconds) > PINGS


@pytest.mark.parametrize("documented", [True, False])
async def test_error_pages_do_not_hide_why(documented: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an nginx that makes pages of its own of all errors the documented location gets the server's answers through,
    so that a client knows at once that its session is gone; without its one line nobody would be told."""
    name, line = "nginx as documented", "proxy_intercept_errors off;"
    config = CONFIGURATIONS[name].config()
    assert config.count(line) == 1
    pages = "    proxy_intercept_errors on;\n    error_page 400 403 404 409 410 500 503 /error.html;\n"
    config = config.replace("    location /realtime/", f"{pages}    location /realtime/")
    config = config if documented else config.replace(line, "")
    monkeypatch.setitem(CONFIGURATIONS, name, Box("nginx", lambda: config))
    rt = realtime.Server()

    @rt.endpoint("/watch")
    async def watch(session: realtime.Session) -> None:
        await session.wait_closed()

    async with serve(rt) as server, aiohttp.ClientSession() as http:
        assert server.port is not None
        async with standing(name, server.port, tmp_path) as url:
            for transport in ("long_polling", "polling", "xhr_streaming", "send"):
                head = "unobody,0,0,1,key" if transport == "send" else "rnobody,1,0,0,1,key"
                async with http.post(f"{url}/realtime/watch/v1/{transport}", json=[head]) as answer:
                    assert answer.status == 404
                    assert ("x4404,session,,no such session" in await answer.text()) is documented
            if documented:  # and a client whose session the server has forgotten
                session = await realtime.connect(f"{url}/realtime/watch", transports="polling", backoff=(0.01, 0.02))
                (there,) = rt.sessions
                there._machine.end(4410, "gone", rt._service.clock.now())
                rt._service.sessions.registry.tombstones.clear()
                await arrives(session.wait_closed())
                assert session.close_code == 4404
