"""The doctor and a soak from behind a corporate forward proxy."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import realtime
from realtime.client.doctor import examine

from ..client.soak import assert_exactly_once, soak_server
from ..patience import steady
from ..web.sockets import contexts
from .expected import ALL, STREAMS
from .forward import ForwardProxy
from .test_diagnosis import states


@steady
async def test_a_proxy_that_ends_hop_by_hop_headers(server: TestServer) -> None:
    async with ForwardProxy() as proxy:
        found = await examine(server.make_url("/realtime/echo"), proxy=proxy.url, patience=0.2)
        assert states(found) == {"websocket": "stripped"}
        assert found.order == ALL[1:]
        assert found.proxy == proxy.url
        assert "over https" in " ".join(found.advice)
        assert len(proxy.requests) > 20


@steady
async def test_a_proxy_that_scans_answers(server: TestServer) -> None:
    async with ForwardProxy(scans=True) as proxy:
        found = await examine(server.make_url("/realtime/echo"), proxy=proxy.url, patience=0.2)
        assert states(found) == {"websocket": "stripped", **dict.fromkeys(STREAMS, "buffered")}
        assert found.order == ("long_polling", "polling")


@steady
async def test_a_proxy_that_wants_a_password(server: TestServer) -> None:
    url = server.make_url("/realtime/echo")
    async with ForwardProxy(password="me:secret") as proxy:
        found = await examine(url, proxy=proxy.url, patience=0)
        assert not found.through
        assert set(states(found).values()) == {"refused"}
        assert "user name and password" in " ".join(found.advice)
        found = await examine(url, proxy=proxy.url.replace("//", "//me:secret@"), patience=0)
        assert states(found) == {"websocket": "stripped"}
        assert found.proxy is not None
        assert "secret" not in found.proxy


@steady
async def test_the_environment_names_a_proxy(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ForwardProxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        found = await examine(server.make_url("/realtime/echo"), patience=0)
        assert states(found) == {"websocket": "stripped"}
        assert found.proxy == proxy.url
        seen = len(proxy.requests)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        found = await examine(server.make_url("/realtime/echo"), patience=0)
        assert states(found) == {}
        assert found.proxy is None
        assert len(proxy.requests) == seen


@steady
async def test_nobody_listens_where_the_proxy_should_be(server: TestServer, unused_tcp_port: int) -> None:
    proxy = f"http://127.0.0.1:{unused_tcp_port}"
    found = await examine(server.make_url("/realtime/echo"), proxy=proxy, patience=0)
    assert set(states(found).values()) == {"unreachable"}
    assert "cannot connect to the forward proxy" in found.findings[0].what


@steady
async def test_everything_gets_through_by_connect(tmp_path: Path) -> None:
    """Over https a forward proxy only sees bytes."""
    ours, theirs = contexts(tmp_path)
    rt = realtime.Server()

    @rt.endpoint("/quiet")
    async def quiet(session: realtime.Session) -> None:
        async for _ in session:
            pass

    app = web.Application()
    realtime.setup(app, rt)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=ours)
    try:
        async with ForwardProxy() as proxy:
            found = await examine(
                server.make_url("/realtime/quiet"),
                proxy=proxy.url,
                patience=0.2,
                http=lambda: aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=theirs)),
            )
            assert states(found) == {}
            assert all(line.startswith("CONNECT 127.0.0.1:") for line in proxy.requests)
        found = await examine(server.make_url("/realtime/quiet"), patience=0)
        assert set(states(found).values()) == {"untrusted"}  # the certificate is nobody's
        assert "certificate" in found.findings[0].what
    finally:
        await server.close()


@pytest.mark.parametrize("transport", [*STREAMS, "long_polling", "polling"])
async def test_exactly_once_through_a_forward_proxy(transport: str) -> None:
    count = 2000
    async with soak_server(count) as soak, ForwardProxy() as proxy, aiohttp.ClientSession(proxy=proxy.url) as http:
        soak.url = f"http://127.0.0.1:{soak.port}/realtime/soak"
        server, client, _ = await soak.run(transports=[transport], http=http)
        assert_exactly_once(server, client, count)
        assert proxy.requests
