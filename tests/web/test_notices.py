"""What the server says once in the log: who was refused for its page's origin, and sessions of other processes."""

from __future__ import annotations

import logging
import os

import aiohttp
import pytest

import realtime
from realtime.core.errors import Refusal
from realtime.core.proof import Key, Proof
from realtime.notices import MOST, PAUSE, Notices
from realtime.testing import Clients

from ..patience import within
from .place import Place

ELSEWHERE = "AbCd." + "x" * 24


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/realtime/echo/v1/polling"),
        ("GET", "/realtime/echo/v1/sse"),
        ("GET", "/realtime/echo/v1/websocket"),
        ("GET", "/realtime/echo/negotiate"),
        ("GET", "/realtime/all/info"),
        ("GET", "/engine.io/?EIO=4&transport=polling"),
        ("POST", "/realtime/all/0/a/xhr"),
    ],
)
async def test_each_refused_origin_is_said_once(method: str, url: str, caplog: pytest.LogCaptureFixture) -> None:
    rt = realtime.Server()
    rt.endpoint("/echo")(_wait)
    rt.endpoint("/all", sockjs=True, engineio="/engine.io")(_wait)
    async with within(), aiohttp.ClientSession() as http, Clients() as clients:
        server = await clients.server(rt)
        for origin in ("https://shop.example", "https://shop.example", "https://other.example"):
            async with http.request(method, server.make_url(url), headers={"Origin": origin}) as answer:
                assert answer.status == 403
        host = f"{server.host}:{server.port}"
    first, second = warnings(caplog)
    assert first.startswith(f"a page of 'https://shop.example' is refused, since it asks for another host, '{host}'.")
    assert "realtime.Server(allowed_origins=['https://shop.example'])" in first
    assert "a page of 'https://other.example' is refused" in second


async def test_other_hosts_and_pages_that_show_no_origin(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    url = place.url("/echo/v1/polling")
    for host in ("a.example", "b.example", "b.example"):
        await place.http.post(url, headers={"Origin": "https://x.example", "Host": host})
        await place.http.post(url, headers={"Sec-Fetch-Site": "cross-site", "Host": host})
        await place.http.post(url, headers={"Referer": "https://x.example/page?secret", "Host": host})
    said = warnings(caplog)
    assert [("'a.example'" in line, "'b.example'" in line) for line in said] == [(True, False)] * 2 + [
        (False, True)
    ] * 2
    assert sum("a page that shows no origin is refused" in line for line in said) == 2
    assert not any("secret" in line for line in said)


async def test_what_is_no_text_is_shown_as_such(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    await place.http.post(place.url("/echo/v1/polling"), headers={"Origin": "https://\udce9" + "x" * 5000})
    (said,) = warnings(caplog)
    assert said.isascii()
    assert len(said) < 600


def test_clients_cannot_fill_the_log_nor_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    notices = Notices(lambda: now)
    for _ in range(2):
        for number in range(3 * MOST):
            notices.warn(number, "%d", number)
    assert warnings(caplog) == [
        *map(str, range(MOST)),
        "256 different warnings were logged: further ones are not, for 3600 s",
    ]
    assert len(notices._said) == MOST
    caplog.clear()
    now = PAUSE
    notices.warn(0, "again")
    notices.warn(0, "again")
    assert warnings(caplog) == ["again"]


@pytest.mark.parametrize("name", ["polling", "sse", "send"])
async def test_a_session_of_another_process_is_refused_in_words(
    name: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"u{ELSEWHERE},0,0,1,key" if name == "send" else f"r{ELSEWHERE},1,0,0,1,key"
    reason = "opened by another process: one before a restart, or one of several, which has to get all its requests"
    for _ in range(3):
        if name == "sse":
            answer = await place.http.get(place.url("/echo/v1/sse"), params={"frame": head})
        else:
            answer = await place.http.post(place.url(f"/echo/v1/{name}"), json=[head])
        assert f"x4404,session,,{reason}" in await answer.text()
    (said,) = warnings(caplog)
    assert said.startswith("a request names a session that another process has opened (its sid begins with AbCd,")
    assert "make them a cluster" in said
    assert "let the proxy send all requests of a client to the same one" in said
    assert "x" * 24 not in said


@pytest.mark.parametrize("sid", ["nonsense", "AbCd.short", "a.b.c", "AbCde." + "x" * 24])
async def test_what_is_no_sid_of_any_process_is_just_unknown(
    sid: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    own = f"{place.rt._service.sessions._worker}.{'x' * 24}"
    for named in (sid, own):
        with pytest.raises(Refusal, match="no such session: it never was, or ended too long ago"):
            await place.rt._service.sessions.route(named, Proof(Key("key")))
    assert warnings(caplog) == []


def test_processes_that_were_forked_name_their_sids_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = realtime.Server()._service.sessions
    before = sessions._worker
    sessions.started()
    assert sessions._worker == before
    monkeypatch.setattr(os, "getpid", lambda: -1)
    sessions.started()
    assert sessions._worker != before


@pytest.mark.parametrize("transport", ["websocket", "sse", "xhr_streaming", "long_polling", "polling"])
@pytest.mark.parametrize("where", ["jar", "headers", "own"])
async def test_the_client_says_whose_its_cookies_are(
    transport: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "realtime.server")
    seen: list[realtime.SessionRequest] = []
    rt = realtime.Server(allowed_origins="https://own.example")
    rt.endpoint("/x")(_wait)

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> None:
        seen.append(request)

    jar = aiohttp.CookieJar(unsafe=True)
    async with within(), aiohttp.ClientSession(cookie_jar=jar) as http, Clients() as client:
        server = await client.server(rt)
        if where == "jar":
            jar.update_cookies({"login": "abc"}, server.make_url("/"))
        headers = {} if where == "jar" else {"cookie": "login=abc"}
        if where == "own":
            headers["origin"] = "https://own.example"
        session = await client(rt, "/realtime/x", transports=transport, http=http, headers=headers)
        origin = "https://own.example" if where == "own" else str(server.make_url("/")).rstrip("/")
        assert session.negotiation
    assert {(request.cookies["login"], request.headers["Origin"]) for request in seen} == {("abc", origin)}
    assert not any(request.cookies_hidden for request in seen)
    assert "hidden" not in caplog.text


async def test_without_cookies_the_client_says_no_origin() -> None:
    seen: list[realtime.SessionRequest] = []
    rt = realtime.Server()
    rt.endpoint("/x")(_wait)

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> None:
        seen.append(request)

    async with within(), Clients() as client:
        await client(rt, "/realtime/x", headers={"X-Other": "1"})
    assert seen
    assert not any("Origin" in request.headers for request in seen)


@pytest.mark.parametrize("header", ["Cookie: login=abc", "Authorization: Basic YTpi"])
async def test_hidden_cookies_are_told_of(header: str, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "realtime.server")
    seen: list[bool] = []

    @place.rt.authorize
    async def authorize(request: realtime.SessionRequest) -> None:
        seen.append(request.cookies_hidden)

    name, value = header.split(": ")
    await place.polls(headers={name: value}).open()
    line, *_ = [record for record in caplog.records if "are hidden" in record.getMessage()]
    assert (line.levelname, set(seen)) == ("DEBUG", {True})
    seen.clear()
    assert "it shows no Origin of '127.0.0.1:" in line.message
    assert "abc" not in line.message
    await place.polls(headers={name: value, "Origin": place.base}).open()
    await place.polls(headers={"Authorization": "Bearer x"}).open()
    assert set(seen) == {False}


async def _wait(session: realtime.Session) -> None:
    await session.wait_closed()
