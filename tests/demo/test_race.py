"""The lanes: each transport on a port of its own, and what it costs, counted at the sockets."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode

import aiohttp
import pytest

import realtime
from realtime.client.wire import own_transports
from realtime.demo.meter import Account, Meter
from realtime.demo.race import _orders
from realtime.transports import TRANSPORTS

from .conftest import PATIENCE, Page


def test_a_request_finds_the_account_of_its_endpoint() -> None:
    meter = Meter()
    account = meter.accounts["/realtime/r/x/sse"] = Account()
    assert meter.account_of(b"GET /realtime/r/x/sse/v1/sse?frame=o HTTP/1.1\r\n") == (True, account)
    assert meter.account_of(b"OPTIONS /realtime/r/x/sse/v1/send HTTP/1.1\r\n") == (True, account)
    assert meter.account_of(b"POST /realtime/r/x/other/v1/send HTTP/1.1\r\n") == (True, None)
    assert meter.account_of(b"GET /demo/config HTTP/1.1\r\n") == (True, None)
    for more in (b'["m1"]', b"\x81\x85abcdefghi", b"batch=%5B%22m1%22%5D"):
        assert meter.account_of(more) == (False, None)


@pytest.mark.parametrize(
    ("rate", "size"),
    [("NaN", "1"), ("1", "Infinity"), ("1" + "0" * 400, "1"), ("-1", "1"), ("[" * 4000, "1")],
    ids=["no number", "endless", "huge", "negative", "deep"],
)
def test_orders_that_make_no_sense_are_for_nothing(rate: str, size: str) -> None:
    """Of a NaN an event loop makes a timer that disturbs all others."""
    assert _orders(f'{{"rate": {rate}, "size": {size}}}') == (0.0, 1)


async def test_there_is_a_lane_for_each_transport(page: Page) -> None:
    status, config = await page.get("/demo/config")
    assert status == 200
    assert config["transports"] == list(TRANSPORTS)
    assert config["lanes"] == list(page.demo.lanes)
    assert len({page.demo.port, *page.demo.lanes}) == 1 + len(TRANSPORTS)
    assert config["metered"] is True


async def test_lanes_are_reached_by_the_pages_own_origin_and_no_other(page: Page) -> None:
    for port in page.demo.lanes:
        for origin, admitted in ((page.origin, True), ("http://elsewhere.example", False)):
            async with page.http.get(page.at(port, "/demo/probe"), headers={"Origin": origin}) as response:
                assert response.status == 204
                assert response.headers.get("Access-Control-Allow-Origin") == (origin if admitted else None)
                assert response.headers["Connection"] == "close"
            negotiate = page.at(port, "/realtime/echo/negotiate")
            async with page.http.get(negotiate, headers={"Origin": origin}) as response:
                assert response.status == (200 if admitted else 403)


@pytest.mark.parametrize("name", own_transports())
async def test_a_lane_echoes_and_what_it_costs_is_counted(page: Page, name: str) -> None:
    _, race = await page.post("/demo/race")
    port = page.demo.lanes[list(TRANSPORTS).index(name)]
    before = page.demo.meter.accounts[race["paths"][name]]
    assert before == Account()
    async with asyncio.timeout(PATIENCE):
        session = await realtime.connect(page.at(port, race["paths"][name]), transports=[name])
        for number in range(5):
            await session.send(f"e{number} ".ljust(1000, "x"))
            assert str(await session.receive()).startswith(f"e{number} ")
        _, counts = await page.get(f"/demo/race/{race['token']}")
        await session.close()
    lane = counts["lanes"][name]
    assert (lane["up"], lane["down"]) == (5, 5)
    # The messages at least, and what carried them.
    assert lane["received"] > 5000
    assert lane["sent"] > 5000
    if name == "websocket":
        assert lane["requests"] == 1
        assert lane["received"] + lane["sent"] < 14_000
    else:
        assert lane["requests"] > 5
    for other, untouched in counts["lanes"].items():
        assert other == name or not any(untouched.values())


async def test_a_lane_of_webtransport_is_beside_them(page: Page) -> None:
    _, config = await page.get("/demo/config")
    assert config["webtransport"] is True
    _, race = await page.post("/demo/race")
    url = page.at(page.demo.port, race["paths"]["webtransport"])
    async with page.http.get(f"{url}/negotiate") as response:
        (offer,) = [one for one in (await response.json())["transports"] if one["name"] == "webtransport"]
    async with page.http.get(page.at(page.demo.port, "/"), headers={"Accept": "text/html"}) as response:
        assert f" https://127.0.0.1:{offer['port']}" in response.headers["Content-Security-Policy"]
    assert len(b64decode(offer["hash"])) == 32
    async with asyncio.timeout(PATIENCE):
        session = await realtime.connect(
            url, transports=["webtransport"], attach_timeout=PATIENCE, open_timeout=PATIENCE
        )
        await session.send("e1")
        assert await session.receive() == "e1"
        _, counts = await page.get(f"/demo/race/{race['token']}")
        await session.close()
    lane = counts["lanes"]["webtransport"]
    assert lane == {"up": 1, "down": 1, "received": 0, "sent": 0, "requests": 0}


async def test_every_byte_of_a_request_and_its_answer_is_counted(page: Page) -> None:
    _, race = await page.post("/demo/race")
    path = race["paths"]["polling"]
    reader, writer = await asyncio.open_connection("127.0.0.1", page.demo.port)
    async with asyncio.timeout(PATIENCE):
        # A page's request on the same connection first: it is nobody's.
        other = b"GET /demo/config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        writer.write(other)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        assert page.demo.meter.accounts[path] == Account()
        asked = f"GET {path}/v1/polling HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        writer.write(asked)
        answer = await reader.read()
    writer.close()
    assert page.demo.meter.accounts[path] == Account(received=len(asked), sent=len(answer), requests=1)


async def test_a_lane_sends_down_and_only_counts_what_comes_up(page: Page) -> None:
    _, race = await page.post("/demo/race")
    async with asyncio.timeout(PATIENCE):
        session = await realtime.connect(page.at(page.demo.lanes[0], race["paths"]["websocket"]))
        await session.send("d" + json.dumps({"rate": 100, "size": 64}))
        for number in range(1, 4):
            assert await session.receive() == f"d{number} ".ljust(64, "x")
        await session.send("d" + json.dumps({"rate": 0, "size": 64}))
        for nonsense in ("d", "d{}", 'd{"rate": "x", "size": 1}', b"binary", "u1"):
            await session.send(nonsense)
        await session.send("e")
        while await session.receive() != "e":
            pass
        await session.close()
    _, counts = await page.get(f"/demo/race/{race['token']}")
    assert counts["lanes"]["websocket"]["up"] == 8


async def test_visitors_are_told_apart_and_bounded(page: Page) -> None:
    tokens = set()
    while True:
        status, race = await page.post("/demo/race")
        if status != 200:
            break
        tokens.add(race["token"])
    assert status == 503
    assert "come back" in race["error"]
    assert len(tokens) == 24
    assert len(page.demo.meter.accounts) == 24 * len(TRANSPORTS)
    for token in tokens:
        assert await page.post(f"/demo/race/{token}/leave") == (200, {})
    assert page.demo.meter.accounts == {}
    status, told = await page.get(f"/demo/race/{tokens.pop()}")
    assert (status, told) == (404, {"error": "this race is over: start another"})
    async with page.http.get(page.origin + race.get("path", "/realtime/r/x/sse/negotiate")) as response:
        assert response.status == 404


async def test_nothing_is_changed_for_another_sites_page(page: Page) -> None:
    for path in ("/demo/race", "/demo/plug", "/demo/plug/x/restart", "/demo/race/x/leave"):
        async with page.http.post(page.origin + path, headers={"Origin": page.origin}) as response:
            assert response.status == 403
        # Nor may it ask whether it may send the header.
        asks = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
        async with page.http.options(page.origin + path, headers=asks) as response:
            assert response.status == 405
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_page_may_load_what_is_the_demos_and_nothing_else(page: Page) -> None:
    headers = {"Accept": "text/html"}
    async with page.http.get(page.origin, headers=headers) as response:
        policy = dict(part.partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split("; "))
        text = await response.text()
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == "'self'"
    assert "unsafe" not in str(policy)
    for port in page.demo.lanes:
        assert f"ws://127.0.0.1:{port}" in policy["connect-src"].split()
        for directive in ("script-src", "connect-src", "frame-src", "form-action"):
            assert f"http://127.0.0.1:{port}" in policy[directive].split()
    # Nothing inline, and nothing from elsewhere.
    assert "<script>" not in text
    assert "<style" not in text
    assert "style=" not in text
    assert "http://" not in text
    assert "https://" not in text
    for name in ("demo.css", "base.js", "icon.svg"):
        async with page.http.get(f"{page.origin}/demo/{name}") as response:
            assert response.status == 200
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with page.http.get(f"{page.origin}/demo/app.js") as response:
        assert response.status == 404
    # A name that is none doesn't get into the policy.
    async with aiohttp.ClientSession() as http, http.get(page.origin, headers={**headers, "Host": "x; *"}) as response:
        assert "x;" not in response.headers["Content-Security-Policy"]
